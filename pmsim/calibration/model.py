"""What the simulator says of cells, with trial values of a machine's constants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Final

from pmsim.calibration.cells import Call, Cell, Figure
from pmsim.calibration.host import Host
from pmsim.experiments.replicate import SCRATCH
from pmsim.reproduction.observables import Observable
from pmsim.scenario.known import KnownConstant
from pmsim.scenario.nodes import node_of
from pmsim.scenario.scenario import Scenario
from pmsim.simulation.result.scratch import scratch
from pmsim.simulation.run.asking import constants_used
from pmsim.simulation.run.replications import run_once
from pmsim.simulation.tables.memory import MemoryTables
from pmsim.units import NS

KINDS: Final[Mapping[Call, str]] = {
    "membarrier": "user_membarrier",
    "mprotect": "user_mprotect",
    "madvise": "user_madvise",
    "munmap": "user_munmap",
    "munmap_tables": "user_munmap",
}
"""The kind of workload that stands for a call."""
_OPERATIONS: Final[Mapping[Figure, str]] = {"mmap": "mmap", "touch": "page_fault"}
CHANGES: Final = 2
"""Calls of a run: each is as long as the first, as nothing is drawn at random."""

Values = Mapping[str, int]
"""Trial values in picoseconds, by dotted paths below the machine."""


def observable(cell: Cell) -> Observable:
    """Return what of a run stands for a cell's figure."""
    if cell.figure == "lost":
        return Observable(what="stolen")
    operation = _OPERATIONS.get(cell.figure, cell.call.removesuffix("_tables"))
    return Observable(what="operation", of=(operation,))


@dataclass(frozen=True, slots=True)
class Setup:
    """What cells are simulated on.

    Attributes
    ----------
    machine, kernel
        A platform's name or path, or a mapping; a profile's name.
    cpu
        The CPU that calls, by Linux's number.
    numbers
        What pmsim calls each CPU of Linux's number.
    """

    machine: str | Mapping[str, Any]
    kernel: str
    cpu: int
    numbers: Mapping[int, int]


def setup_of(host: Host, machine: Mapping[str, Any], kernel: str, cell: Cell) -> Setup:
    """Return what a cell is simulated on: the machine, cut to the CPUs that the cell is about.

    One more than those stays, which is not told, so that a call of some is no call of all.
    """
    numbers = host.numbers
    last = max(numbers[cpu] for cpu in (host.cpu, *cell.cpus))
    return Setup({**machine, "cpus": min(len(numbers), last + 2)}, kernel, host.cpu, numbers)


def scenario_of(cell: Cell, setup: Setup) -> Scenario:
    """Return the scenario that stands for a cell."""
    process: dict[str, Any] = {
        "kind": KINDS[cell.call],
        "name": "process",
        "cpu": setup.numbers[setup.cpu],
        "threads": [setup.numbers[cpu] for cpu in cell.cpus],
        "threads_do": "spin" if cell.others == "spinning" else "sleep",
        "changes": CHANGES,
    }
    if cell.call != "membarrier":
        process["pages"] = cell.pages
    if cell.others == "idle":
        idle = f"{cell.idle_ns}ns"
        process |= {"changes": 1, "arrival": {"times": [idle]}, "nap": "1s"}
    elif cell.others == "asleep":
        process["nap"] = "1s"
    if cell.call == "munmap_tables":
        process["frees_tables"] = True
    elif cell.call == "munmap":
        process["frees_tables"] = False
    if cell.figure in _OPERATIONS:
        process["touch"] = True
    written = {
        "pmsim": 1,
        "name": cell.name,
        "machine": setup.machine,
        "kernel": setup.kernel,
        "until": "done",
        "workloads": [process],
    }
    return Scenario.from_dict(written, cell.name)


@dataclass
class Model:
    """Cells, simulated.

    Parameters
    ----------
    scenarios
        The scenario of each cell, its machine as it is before anything is fitted.
    """

    scenarios: Mapping[Cell, Scenario]
    _asked: dict[Cell, frozenset[str]] = field(default_factory=dict)
    _found: dict[tuple[Cell, tuple[tuple[str, int], ...]], float] = field(default_factory=dict)

    @cached_property
    def constants(self) -> dict[str, KnownConstant]:
        """Every constant of the machine by its path."""
        first = next(iter(self.scenarios.values()))
        return {one.path: one for one in first.resolve().machine.constants}

    def asked(self, cell: Cell) -> frozenset[str]:
        """Return the paths of the constants that a cell may hang on: those its run asks for."""
        if cell not in self._asked:
            used = constants_used(self.scenarios[cell].resolve())
            self._asked[cell] = frozenset(one.path for one in used if _paid(cell, one.path))
        return self._asked[cell]

    def predict(self, cell: Cell, values: Values) -> float:
        """Return what a cell takes with trial values, in nanoseconds."""
        of_it = tuple(
            sorted(
                (path, ps)
                for path, ps in values.items()
                if path in self.asked(cell) and ps != self.constants[path].value
            )
        )
        key = cell, of_it
        if key not in self._found:
            self._found[key] = self._run(cell, of_it)
        return self._found[key]

    def slopes(
        self, cells: Sequence[Cell], values: Values, paths: Iterable[str], step: float = 0.05
    ) -> dict[tuple[Cell, str], float]:
        """Return how much each cell grows with each constant, ns per ps: by differences.

        Where a cell does not ask for a constant it has no entry.
        """
        found = {}
        for path in paths:
            up = max(round(values[path] * step), NS)
            moved = {**values, path: values[path] + up}
            for cell in cells:
                if path in self.asked(cell):
                    difference = self.predict(cell, moved) - self.predict(cell, values)
                    found[cell, path] = difference / up
        return found

    def _run(self, cell: Cell, values: Iterable[tuple[str, int]]) -> float:
        changes = [(f"machine.{path}", node_of(f"{ps}ps")) for path, ps in values]
        scenario = self.scenarios[cell]
        scenario = scenario.with_nodes(changes) if changes else scenario
        with MemoryTables(partial(scratch, Path(gettempdir()), SCRATCH)) as tables:
            duration = run_once(scenario.resolve(), 0, tables)
            return observable(cell).read(tables.finished(), duration) / NS


_TELLING: Final = ("costs.ipi.", "host.", "costs.idle.")
"""Where the constants are that are paid by who tells a CPU, and who is told."""


def _paid(cell: Cell, path: str) -> bool:
    """Return whether a cell can hang on a constant: a machine asks for all when it is built."""
    if path.startswith("costs.idle."):
        return cell.others == "idle"
    return bool(cell.told) or not path.startswith(_TELLING)
