"""What watching a run costs: the same kernel work with the checker, and without one."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

import pmsim
from benchmarks import kernel as operations
from pmsim.kernel.safety.safety import Safety
from pmsim.kernel.safety.stale import StalePages

WANTED = 0.3
"""The largest part of a run that may be the checker's."""

ROUNDS = 5
"""Each case is measured so often both ways in turn; the fastest of each counts."""


class Blind(StalePages):
    """Notes nothing."""

    __slots__ = ()

    def mark(self, first: int, pages: int) -> int:
        """Note nothing."""
        return 0

    def newest(self, first: int, pages: int) -> int:
        """Return that nothing is stale."""
        return 0


class Unwatched(Safety):
    """Watches nothing."""

    def __init__(self, machine: Any, geometry: Any, log: Any) -> None:
        super().__init__(machine, geometry, log)
        self.stale = Blind()
        log.watcher = None
        machine.on_drops = None

    def revoked(self, *_: Any) -> None:
        """Look at nothing."""

    def returned(self, *_: Any) -> list[Any]:
        """Know of nothing."""
        return []

    def freed(self, *_: Any, **__: Any) -> None:
        """Look at nothing."""

    def reused(self, *_: Any) -> None:
        """Look at nothing."""

    def table_unlinked(self, *_: Any) -> None:
        """Look at nothing."""

    def table_freed(self, *_: Any) -> None:
        """Look at nothing."""

    def space_changed(self, *_: Any) -> int:
        """Look at nothing."""
        return 0

    def space_relied_on(self, *_: Any, **__: Any) -> None:
        """Look at nothing."""


def _scenario(name: str, **keys: Any) -> Callable[[], None]:
    scenario = pmsim.load(name).with_(**keys)
    return lambda: void(pmsim.run(scenario))


def void(_: object) -> None:
    """Drop something."""


def cases() -> dict[str, Callable[[], None]]:
    """Return what is measured, by what it is."""
    return {
        "policy-load, 20 ms": _scenario("policy-load", duration="20ms"),
        "process, 20 ms": _scenario("process", duration="20ms"),
        "module_burst, 50 ms": _scenario("module-burst", duration="50ms"),
        "vmalloc and vfree, alone": lambda: void(operations.run_vmalloc()),
        "pools of a page, protected": lambda: void(operations.run_protect()),
    }


def ratios(names: tuple[str, ...] = (), rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Return the CPU time of each case, without and with the checker, in seconds."""
    found = {}
    for name, run in cases().items():
        if names and name not in names:
            continue
        run()  # what is compiled or loaded the first time
        times: dict[bool, list[float]] = {False: [], True: []}
        for _ in range(rounds):
            for watches in (False, True):
                started = time.process_time()
                if watches:
                    run()
                else:
                    with mock.patch("pmsim.kernel.kernel.Safety", Unwatched):
                        run()
                times[watches].append(time.process_time() - started)
        found[name] = min(times[False]), min(times[True])
    return found


def compare(console: Console) -> None:
    """Print what part of each case is the checker's."""
    table = Table(title="the checker, on in every run", title_justify="left")
    for column in ("case", "without", "with", "its part of the run", f"at most {WANTED:.0%}"):
        table.add_column(column, justify="left" if column == "case" else "right")
    for name, (without, with_it) in ratios().items():
        share = 1 - without / with_it
        met = "met" if share < WANTED else "missed"
        table.add_row(name, f"{without:.2f} s", f"{with_it:.2f} s", f"{share:.1%}", met)
    console.print(table)
