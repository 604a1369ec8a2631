"""What watching a run costs: the same kernel work with the checker and without, and its memory."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

import pmsim
from benchmarks import kernel as operations
from benchmarks.clock import cpu_seconds, met
from benchmarks.machines import SERVER
from benchmarks.memory import LARGE_RUNS, peak_of
from pmsim.kernel.safety.safety import Safety
from pmsim.kernel.safety.stale import StalePages

WANTED = 0.3
"""The largest part of a run that may be the checker's."""

FULL_OF_VIOLATIONS = "a violation on each of 56 CPUs"
WANTED_THERE = 0.45
"""Of a run whose every call returns while each CPU that it left out may still use what it revokes,
which no kernel does. With one such CPU it is hardly less: what a call costs is to note who was left
out and to look whom another may have told, 40 us; one more CPU costs 50 ns (`docs/safety.md`)."""

MOST_GIB = 2
"""What a run on 4,096 CPUs with the checker may take at most."""

ROUNDS = 7
"""Each case is measured so often both ways in turn; the shortest time of each way counts."""


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


def _together(times: int = operations.PROTECTS, **on: Any) -> Callable[[], None]:
    """Pools of a page, protected by 8 tasks whose shootdowns meet, so often, on some machine."""
    return lambda: void(operations.run_protect_together(times, **on))


def void(_: object) -> None:
    """Drop something."""


def cases() -> dict[str, Callable[[], None]]:
    """Return what is measured, by what it is."""
    return {
        "policy-load, 50 ms": _scenario("policy-load", duration="50ms"),
        "process, 200 ms": _scenario("process", duration="200ms"),
        "module_burst, 500 ms": _scenario("module-burst", duration="500ms"),
        "vmalloc and vfree, alone": lambda: void(operations.run_vmalloc()),
        "pools of a page, protected": lambda: void(operations.run_protect()),
        "the same by 8 tasks that meet": _together(),
        "the same on 448 CPUs": _together(topology=SERVER),
        "acknowledged before the flush": _together(keys=operations.AT_ENTRY),
        FULL_OF_VIOLATIONS: _together(keys=operations.ALL_DEFERRED, stay=operations.STAY),
    }


@contextmanager
def unwatched() -> Iterator[None]:
    """Leave out all that is there for the checker alone, within the block."""
    nothing = {"_is_taken_away": False, "_some_are_taken_away": False}
    with ExitStack() as stack:
        stack.enter_context(mock.patch("pmsim.kernel.kernel.Safety", Unwatched))
        for name, answer in nothing.items():
            place = f"pmsim.kernel.pagetables.pagetable.{name}"
            stack.enter_context(mock.patch(place, lambda *_, answer=answer: answer))
        yield


def shares(rounds: int = ROUNDS) -> dict[str, list[tuple[float, float]]]:
    """Return the CPU time of each case without and with the checker, in seconds, round by round."""
    found = {}
    for name, run in cases().items():
        run()  # what is compiled or loaded the first time
        pairs = []
        gc.collect()
        gc.freeze()  # what was there before is none of its work
        for _ in range(rounds):
            with unwatched():
                without = cpu_seconds(run)
            pairs.append((without, cpu_seconds(run)))
        gc.unfreeze()
        found[name] = pairs
    return found


def share(pairs: list[tuple[float, float]]) -> float:
    """Return what part of a run is the checker's: of the shortest times, which no load has made."""
    return 1 - min(without for without, _ in pairs) / min(watched for _, watched in pairs)


def wanted(name: str) -> float:
    """Return what part of a case may be the checker's."""
    return WANTED_THERE if name == FULL_OF_VIOLATIONS else WANTED


def compare(console: Console) -> None:
    """Print what part of each case is the checker's, and what memory the largest machine takes."""
    table = Table(title="the checker, on in every run", title_justify="left")
    for column in ("case", "without", "with", "its part of the run", "at most", ""):
        table.add_column(column, justify="left" if column == "case" else "right")
    for name, pairs in shares().items():
        without, watched = (min(times) for times in zip(*pairs, strict=True))
        part = share(pairs)
        most = wanted(name)
        table.add_row(
            name,
            f"{without:.2f} s",
            f"{watched:.2f} s",
            f"{part:.1%}",
            f"{most:.0%}",
            met(part < most),
        )
    console.print(table)
    table = Table(title="its memory, with all else, on 4,096 CPUs", title_justify="left")
    for column in ("a run", "peak", f"at most {MOST_GIB} GiB"):
        table.add_column(column, justify="left" if column == "a run" else "right")
    for name in LARGE_RUNS:
        gib = peak_of(name) / (1 << 20)
        table.add_row(name, f"{gib:.2f} GiB", met(gib < MOST_GIB))
    console.print(table)
