"""A Linux 6.1 booted on a small machine, and what its programs did, in words of the kernel.

The machine: every CPU a core of one die; a lone cross-call takes some microseconds. Kernel work
costs what `KernelCosts` says unless a test gives its own.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

from pmsim.hardware.costs import IpiCosts, MachineCosts, SchedCosts, TlbCosts
from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.machine import Machine
from pmsim.hardware.tlb import CallKind
from pmsim.hardware.topology import Topology
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.tlbflush import Cause
from pmsim.units import MS, NS, US

PROFILE = "linux-6.1-x86_64"
EVERYTHING = -1
"""Pages of a flush that names no range."""

Program = Callable[[KernelHandle], Generator[Any, Any, Any]]


class Flush(NamedTuple):
    """A broadcast: why, what kind, and over how many pages."""

    cause: str
    kind: str
    pages: int


def full(cause: str, pages: int = EVERYTHING) -> Flush:
    """A broadcast after which no CPU has any translation left."""
    return Flush(cause, "full", pages)


def ranged(cause: str, pages: int) -> Flush:
    """A broadcast that drops single pages."""
    return Flush(cause, "range", pages)


def small_machine(cpus: int) -> Machine:
    """A machine whose costs are all alike."""
    ipi = IpiCosts(20 * NS, 80 * NS, 16, (400 * NS,) * 5, (40 * NS,) * 5, 250 * NS, 150 * NS)
    tlb = TlbCosts(100 * NS, 400 * NS, 15 * NS, 1536, 100 * NS)
    return Machine(Topology(cores=cpus), MachineCosts(ipi, tlb, SchedCosts(3 * MS, US, 2 * US)))


class Booted:
    """A kernel on a machine of its own, and the rows that it wrote.

    Parameters
    ----------
    cpus
        How many the machine has.
    costs
        Costs of kernel work.
    overrides
        Keys of the profile.
    """

    def __init__(self, cpus: int = 4, costs: KernelCosts | None = None, **overrides: Any) -> None:
        self.machine = small_machine(cpus)
        self.operations: list[dict[str, Any]] = []
        self.calls: list[dict[str, int]] = []
        self.machine.on_crosscalls = self._note_calls
        profile = load_profile(PROFILE, overrides)
        self.kernel = Kernel(self.machine, profile, costs, self._note_operations)
        self._spawned = 0

    def spawn(self, program: Program, cpu: int = 0) -> None:
        """Let a program begin at time 0; call before the run."""
        self._spawned += 1

        def body(task: Any) -> Generator[Any, Any, Any]:
            return program(self.kernel.bind(task))

        self.machine.spawn(cpu, body, name=f"program {self._spawned}")

    def run(self, program: Program | None = None) -> Booted:
        """Run until everything is done, a program on CPU 0 included."""
        if program is not None:
            self.spawn(program)
        self.machine.run()
        self.kernel.operations.flush()
        self.machine.accounts()
        return self

    @property
    def flushes(self) -> list[Flush]:
        """All broadcasts in order of their ends."""
        return [
            Flush(Cause(c["cause"]).name.lower(), CallKind(c["kind"]).name.lower(), c["pages"])
            for c in self.calls
        ]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The operations of one kind."""
        return [row for row in self.operations if row["kind"] == kind]

    def _note_operations(self, columns: Any) -> None:
        for row in zip(*columns.values(), strict=True):
            self.operations.append(dict(zip(columns, row, strict=True)))

    def _note_calls(self, rows: Any) -> None:
        self.calls += [dict(zip(CROSSCALL_COLUMNS, row, strict=True)) for row in rows.tolist()]


class Ear:
    """Gathers what programs say while they run."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def __call__(self, word: Any) -> Any:
        self.heard.append(word)
        return word
