"""A kernel booted on a small machine, and what its programs did, in words of the kernel.

The machine: every CPU a core of one die; a lone cross-call takes some microseconds. Kernel work
costs what `KernelCosts` says unless a test gives its own. Its CPUs have what the kernel's
architecture has to tell each other by; those of x86 have INVLPGB where a test asks for it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Any, NamedTuple

from pmsim.hardware.costs import (
    IpiCosts,
    MachineCosts,
    MemoryCosts,
    SbiCosts,
    SchedCosts,
    TlbCosts,
    TlbiCosts,
)
from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.hardware.tlb import CallKind
from pmsim.hardware.topology import Topology
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.tlbflush import Cause
from pmsim.units import MS, NS, US

PROFILE = "linux-6.1-x86_64"
EVERYTHING = -1
"""Pages of a flush that names no range."""

Program = Callable[[KernelHandle], Generator[Any, Any, Any]]


class Flush(NamedTuple):
    """A broadcast: why, what kind, over how many pages; by what, and in how many operations."""

    cause: str
    kind: str
    pages: int
    protocol: str = "ipi"
    invalidations: int = 0


def full(cause: str, pages: int = EVERYTHING) -> Flush:
    """A broadcast after which no CPU has any translation left."""
    return Flush(cause, "full", pages)


def ranged(cause: str, pages: int) -> Flush:
    """A broadcast that drops single pages."""
    return Flush(cause, "range", pages)


def dvm(cause: str, pages: int, invalidations: int | None = None) -> Flush:
    """A broadcast by the interconnect that drops single pages, by default each by itself."""
    return Flush(cause, "range", pages, "tlbi", pages if invalidations is None else invalidations)


def dvm_all(cause: str, pages: int = EVERYTHING) -> Flush:
    """A broadcast by the interconnect after which no CPU has any translation left."""
    return Flush(cause, "full", pages, "tlbi", 1)


def sbi(flush: Flush) -> Flush:
    """The same broadcast, made by the firmware."""
    return flush._replace(protocol="sbi")


TLBI = TlbiCosts(
    operation=25 * NS,
    everything=50 * NS,
    barrier=100 * NS,
    round_trip=(500 * NS,) * 5,
    victim_share_ppm=250_000,
)
"""A DVM operation on each page, as Arm's CPUs without FEAT_TLBIRANGE."""

TLBI_RANGE = replace(TLBI, range=True)
"""The same with operations on ranges."""

INVLPGB = replace(TLBI, pages=8)
"""AMD's, 8 pages each."""

SBI = SbiCosts(
    trap=500 * NS,
    queue=20 * NS,
    send=80 * NS,
    delivery=(400 * NS,) * 5,
    line=(40 * NS,) * 5,
    entry=250 * NS,
    exit=150 * NS,
)


CACHED = MemoryCosts()
"""Caches that keep everything."""


def small_machine(
    cpus: int,
    profile: KernelProfile | None = None,
    tlbi: TlbiCosts | None = None,
    quantum: int = 3 * MS,
    memory: MemoryCosts = CACHED,
    topology: Topology | None = None,
) -> Machine:
    """A machine whose costs are all alike, for the architecture and the order of a kernel."""
    by_ipi = IpiCosts(
        queue=20 * NS,
        send=80 * NS,
        fanout=16,
        delivery=(400 * NS,) * 5,
        line=(40 * NS,) * 5,
        entry=250 * NS,
        exit=150 * NS,
    )
    tlb = TlbCosts(100 * NS, 400 * NS, 15 * NS, 1536, 100 * NS)
    sched = SchedCosts(quantum, US, 2 * US)
    topology = topology or Topology(cores=cpus)
    if profile is None:
        return Machine(topology, MachineCosts(by_ipi, tlb, sched))
    if profile.invalidate_by == "tlbi":
        tlbi = tlbi or TLBI
    costs = MachineCosts(by_ipi, tlb, sched, tlbi=tlbi, sbi=SBI, memory=memory)
    shootdown = profile.shootdown_on(costs)
    return Machine(topology, costs, profile.crosscall_order, shootdown=shootdown)


class Booted:
    """A kernel on a machine of its own, and the rows that it wrote.

    Parameters
    ----------
    cpus
        How many the machine has.
    costs
        Costs of kernel work.
    profile
        Which kernel.
    tlbi
        Costs of invalidating by broadcast, where the CPUs can; by default `TLBI` where the kernel
        needs it, and not at all elsewhere.
    caches
        What they keep, and costs of what is in none.
    topology
        Where they are; cores of one die where not given.
    overrides
        Keys of the profile.
    """

    def __init__(
        self,
        cpus: int = 4,
        costs: KernelCosts | None = None,
        *,
        profile: str = PROFILE,
        tlbi: TlbiCosts | None = None,
        caches: MemoryCosts = CACHED,
        topology: Topology | None = None,
        **overrides: Any,
    ) -> None:
        loaded = load_profile(profile, overrides)
        self.machine = small_machine(cpus, loaded, tlbi, memory=caches, topology=topology)
        self.operations: list[dict[str, Any]] = []
        self.calls: list[dict[str, int]] = []
        self.machine.on_crosscalls = self._note_calls
        self.kernel = Kernel(self.machine, loaded, costs, self._note_operations)
        self._spawned = 0

    def spawn(self, program: Program, cpu: int = 0) -> None:
        """Let a program begin at time 0; call before the run."""
        self._spawned += 1

        def body(task: Any) -> Generator[Any, Any, Any]:
            return program(KernelHandle(self.kernel, task))

        self.machine.spawn(cpu, body, name=f"program {self._spawned}")

    def run(self, program: Program | None = None) -> Booted:
        """Run until everything is done, a program on CPU 0 included."""
        if program is not None:
            self.spawn(program)
        self.machine.run()
        self.kernel.operations.flush()
        self.machine.accounts()
        assert self.kernel.operations.begun == len(self.operations), "an operation has no end"
        return self

    @property
    def flushes(self) -> list[Flush]:
        """All broadcasts in order of their ends."""
        return [_flush(call) for call in self.calls]

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """The operations of one kind."""
        return [row for row in self.operations if row["kind"] == kind]

    def _note_operations(self, columns: Any) -> None:
        for row in zip(*columns.values(), strict=True):
            self.operations.append(dict(zip(columns, row, strict=True)))

    def _note_calls(self, rows: Any) -> None:
        self.calls += [dict(zip(CROSSCALL_COLUMNS, row, strict=True)) for row in rows.tolist()]


def _flush(call: dict[str, int]) -> Flush:
    return Flush(
        Cause(call["cause"]).name.lower(),
        CallKind(call["kind"]).name.lower(),
        call["pages"],
        list(PROTOCOLS)[call["protocol"]],
        call["invalidations"],
    )


class Ear:
    """Gathers what programs say while they run."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def __call__(self, word: Any) -> Any:
        self.heard.append(word)
        return word
