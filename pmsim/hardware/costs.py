"""Frozen cost tables of a machine. Every time is an ``int`` in picoseconds.

Each constant is declared once, in its field (`pmsim.constants`). The tables carry no numbers of
their own, save a time slice: constants come from a platform file, each with its source
(``pmsim/data/platforms``), and what a file may leave out costs nothing. Semantics: machine-model
page, sections 3 to 5, 8 and 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Final, Literal

from pmsim.constants import PPM, Constant, Group, Kind, Section
from pmsim.hardware.proposals import (
    NOTHING,
    CoherentCosts,
    DeferredCosts,
    DirectoryCosts,
    LatrCosts,
    Line,
    RarCosts,
)
from pmsim.hardware.topology import MAX_CPUS, ByDistance, Distance
from pmsim.units import LONGEST_RUN, MS

MutexRule = Literal["adaptive", "sleeping"]
"""How a task waits for a mutex that is held: it spins while the owner runs, or always sleeps."""

CrosscallOrder = Literal["concurrent", "serial"]
"""Whether the initiator runs the function while the others do (5.13 and later) or after them."""

MOST_ENTRIES: Final = 1 << 20
"""The largest TLB, and the most pages of one operation: beyond all that is built."""
MOST_LINES: Final = 1 << 30
"""The most cache lines: 64 GiB."""
LONGEST_WALK: Final = 1 * MS
"""The longest refill of one entry; of all of them it makes about 18 minutes."""


def by_distance(given: dict[Distance, int]) -> ByDistance:
    """Fill a table by distance from the classes given.

    A missing class takes the next nearer one's value or, where there is none, the nearest present
    one's.

    Raises
    ------
    ValueError
        If no class is given at all.
    """
    if not given:
        raise ValueError("a table by distance needs at least one entry")
    nearest = given[min(given)]
    row: list[int] = []
    for distance in Distance:
        nearest = given.get(distance, nearest)
        row.append(nearest)
    return (row[0], row[1], row[2], row[3], row[4])


@dataclass(frozen=True, slots=True)
class Jitter(Group):
    """A random, never negative addition to each delivery."""

    dist: Annotated[
        Literal["half-normal", "exponential", "uniform"],
        Constant(
            text="half-normal: `scale` is the deviation of the whole normal; exponential: its"
            " mean; uniform: its upper end.",
            kind=Kind.CHOICE,
        ),
    ]
    scale: Annotated[int, Constant(text="How large.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class IpiCosts(Group):
    """What a cross-call by interrupts costs."""

    queue: Annotated[
        int, Constant(text="Initiator: csd enqueue, the call into one target's queue.", least=1)
    ]
    send: Annotated[int, Constant(text="Initiator: one write that sends interrupts.")] = 0
    ecall: Annotated[
        int,
        Constant(
            text="Initiator: into the firmware and back for each such write, where the kernel"
            " cannot send interrupts itself (RISC-V: `sbi_send_ipi`)."
        ),
    ] = 0
    fanout: Annotated[
        int,
        Constant(
            text="Consecutive CPU numbers that one write reaches, an IPI cluster: 16 for the"
            " x2APIC's, 1 for one write per target.",
            kind=Kind.COUNT,
            least=1,
            most=MAX_CPUS,
        ),
    ] = 1
    shorthand: Annotated[
        bool,
        Constant(
            text="Whether one write can tell all other CPUs (x86: the shorthand all-but-self);"
            " kernels from 5.4 on use it.",
            kind=Kind.SWITCH,
        ),
    ] = False
    delivery: Annotated[
        ByDistance, Constant(text="From the write to the IRQ entry.", kind=Kind.TIME_BY_DISTANCE)
    ] = NOTHING
    line: Line = NOTHING
    request_lines: Annotated[
        int,
        Constant(
            text="Target: cache lines that the function of a flush of user space reads there, and"
            " that the initiator has just written; each takes `line` of the farthest target. 0"
            " where other costs contain that.",
            kind=Kind.COUNT,
            most=16,
        ),
    ] = 0
    entry: Annotated[
        int, Constant(text="Target: IRQ entry, from the interrupt to the queue.", least=1)
    ]
    exit: Annotated[int, Constant(text="Target: back to what was interrupted.")] = 0
    jitter: Annotated[
        Jitter | None, Constant(text="Random addition to each delivery.", kind=Kind.JITTER)
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TlbiCosts(Group):
    """What an invalidation broadcast by the interconnect costs."""

    operation: Annotated[
        int, Constant(text="Shared server: one operation on a page, or on a range of pages.")
    ] = 0
    everything: Annotated[
        int, Constant(text="Shared server: the operation that empties every TLB.")
    ] = 0
    barrier: Annotated[
        int, Constant(text="Shared server: the barrier behind the operations.", least=1)
    ]
    answer: Annotated[
        int, Constant(text="Shared server: one other CPU's answer to the barrier.")
    ] = 0
    contention: Annotated[
        int,
        Constant(
            text="Shared server: what an invalidation takes longer for each other one that is"
            " waiting or being served when it is asked for.",
        ),
    ] = 0
    own_barrier: Annotated[
        bool,
        Constant(
            text="The barrier waits for its own CPU's operations alone, and does not keep the"
            " server (AMD: TLBSYNC).",
            kind=Kind.SWITCH,
        ),
    ] = False
    round_trip: Annotated[
        ByDistance,
        Constant(
            text="Initiator: from the service's end to the farthest CPU's answer.",
            kind=Kind.TIME_BY_DISTANCE,
        ),
    ] = NOTHING
    victim_share_ppm: Annotated[
        int,
        Constant(
            text="The part of the service for which a computing CPU stands still, 0 to 1; read"
            " to the millionth.",
            kind=Kind.SHARE,
            most=PPM,
            key="share",
        ),
    ] = 0
    recovery: Annotated[
        int,
        Constant(
            text="How long after a service a computing CPU goes on losing its share, until its"
            " pipeline and its caches of translations are what they were.",
        ),
    ] = 0
    pages: Annotated[
        int,
        Constant(
            text="Pages that one operation covers at most (AMD: INVLPGB's count).",
            kind=Kind.COUNT,
            least=1,
            most=MOST_ENTRIES,
        ),
    ] = 1
    range: Annotated[
        bool,
        Constant(
            text="The CPUs have operations on ranges (Arm: FEAT_TLBIRANGE).", kind=Kind.SWITCH
        ),
    ] = False
    erratum_4118414: Annotated[
        bool,
        Constant(
            text="A barrier may be over before accesses through the old translations are, so that"
            " kernels repeat it (Arm: erratum 4118414 of the Neoverse N1, and those like it of"
            " 2026).",
            kind=Kind.SWITCH,
        ),
    ] = False
    erratum_798181: Annotated[
        bool,
        Constant(
            text="Flushes also interrupt other CPUs, so that they complete (Arm: erratum 798181 of"
            " the Cortex-A15 up to r2p1, and up to r3p2 where REVIDR tells of no fix).",
            kind=Kind.SWITCH,
        ),
    ] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SbiCosts(Group):
    """What a cross-call through RISC-V's firmware costs."""

    trap: Annotated[int, Constant(text="Initiator: into the firmware.")] = 0
    queue: Annotated[
        int, Constant(text="Initiator: enqueue, the call into one hart's queue.", least=1)
    ]
    send: Annotated[int, Constant(text="Initiator: one write that interrupts one hart.")] = 0
    delivery: Annotated[
        ByDistance,
        Constant(text="From the write to the firmware's handler.", kind=Kind.TIME_BY_DISTANCE),
    ] = NOTHING
    line: Line = NOTHING
    entry: Annotated[int, Constant(text="Target: from the interrupt to the queue.", least=1)]
    exit: Annotated[int, Constant(text="Target: back to what was interrupted.")] = 0
    range_pages: Annotated[
        int,
        Constant(
            text="Pages above which the firmware makes a flush of a range one of everything"
            " (OpenSBI: tlb_range_flush_limit, 4 KiB).",
            kind=Kind.COUNT,
            least=1,
            most=MOST_ENTRIES,
        ),
    ] = 1


@dataclass(frozen=True, slots=True)
class TlbCosts(Group):
    """What invalidating and refilling costs on one CPU."""

    invlpg: Annotated[int, Constant(text="Invalidate one page.")] = 0
    flush_all: Annotated[int, Constant(text="Invalidate everything, global entries too.")] = 0
    walk: Annotated[
        int,
        # Platforms give what it takes from warm caches; from cold ones it is five times as much.
        Constant(text="Refill one entry.", most=LONGEST_WALK, factors=(Fraction(2), Fraction(5))),
    ] = 0
    entries: Annotated[
        int,
        Constant(
            text="Entries of the TLB; needed where `walk` is given.",
            kind=Kind.COUNT,
            most=MOST_ENTRIES,
            needed_with="walk",
            example="how many entries a full flush empties, for example 1536",
        ),
    ] = 0
    sync_core: Annotated[int, Constant(text="Serialise a CPU, for patched code.")] = 0
    kernel_entries: Annotated[
        int,
        Constant(
            text="Entries that the kernel's own work refills on a CPU whose TLB was emptied of"
            " everything.",
            kind=Kind.COUNT,
            most=MOST_ENTRIES,
        ),
    ] = 0
    flush_fixed: Annotated[
        int,
        Constant(
            text="Each flush of user space on a CPU, ranged or full: find out what there is to"
            " flush, before anything is."
        ),
    ] = 0
    flush_user: Annotated[
        int,
        Constant(
            text="Invalidate everything of an address space, which spares global entries; 0: as"
            " `flush_all`."
        ),
    ] = 0


@dataclass(frozen=True, slots=True)
class MemoryCosts(Group):
    """What kernel data cost that are in no cache any more.

    Nothing of the machine pays it: the kernel does, where it walks more areas than caches keep.
    """

    miss: Annotated[int, Constant(text="Fetch one cache line from memory.")] = 0
    lines: Annotated[
        int,
        Constant(
            text="Lines of such data that caches keep beside everything else that goes on.",
            kind=Kind.COUNT,
            most=MOST_LINES,
        ),
    ] = 0


@dataclass(frozen=True, slots=True)
class SchedCosts(Group):
    """What the run queue costs."""

    quantum: Annotated[
        int,
        Constant(
            text="Time slice: CPU time after which a task makes way for another.",
            basis="derived",
            note=": Linux 6.1, kernel/sched/fair.c, sysctl_sched_min_granularity of 0.75 ms times"
            " 1 + log2(8), on eight or more CPUs",
            least=1,
            most=LONGEST_RUN,
        ),
    ] = 3 * MS
    context_switch: Annotated[int, Constant(text="Switch to another task.")] = 0
    wakeup: Annotated[int, Constant(text="From a release to the sleeper being runnable.")] = 0
    mutex: Annotated[
        MutexRule,
        Constant(
            text="How one waits for a mutex. adaptive: spins while its owner runs, as Linux does"
            " (CONFIG_MUTEX_SPIN_ON_OWNER: x86, arm64, arm, riscv); sleeping: gives the CPU up at"
            " once.",
            kind=Kind.CHOICE,
        ),
    ] = "adaptive"


@dataclass(frozen=True, slots=True)
class IdleState(Group):
    """One idle state."""

    name: Annotated[str, Constant(text="Its name.", kind=Kind.NAME)]
    exit: Annotated[int, Constant(text="Time to leave it.")]
    residency: Annotated[
        int, Constant(text="Entered after so long a time of idleness.", most=LONGEST_RUN)
    ] = 0


@dataclass(frozen=True, slots=True)
class MachineCosts:
    """All hardware costs of a machine; ``idle`` ascends by residency.

    ``tlbi``, ``sbi`` and those of `pmsim.hardware.proposals` are there where the machine has that
    way of telling other CPUs; ``own`` are those of protocols that are not pmsim's own.
    """

    ipi: Annotated[IpiCosts, Section("Cross-calls.")]
    tlb: Annotated[TlbCosts, Section("Invalidation and refill.")] = TlbCosts()
    sched: Annotated[SchedCosts, Section("Run queue.")] = SchedCosts()
    idle: Annotated[
        tuple[IdleState, ...], Section("Idle states; none: leaving idleness takes no time.")
    ] = ()
    tlbi: Annotated[
        TlbiCosts | None, Section("Invalidation by the interconnect; none: the machine cannot.")
    ] = None
    sbi: Annotated[
        SbiCosts | None, Section("Cross-calls through the firmware; none: the machine cannot.")
    ] = None
    coherent: Annotated[
        CoherentCosts | None, Section("TLBs that follow stores; none: the machine cannot.")
    ] = None
    directory: Annotated[
        DirectoryCosts | None, Section("A directory of TLBs; none: the machine cannot.")
    ] = None
    rar: Annotated[
        RarCosts | None, Section("Remote action requests; none: the machine cannot.")
    ] = None
    deferred: Annotated[
        DeferredCosts | None, Section("Deferral on isolated CPUs; none: nothing is deferred.")
    ] = None
    latr: Annotated[
        LatrCosts | None,
        Section("Frees that wait for ticks; none: every flush is told at once."),
    ] = None
    memory: Annotated[MemoryCosts, Section("Data that are in no cache.")] = MemoryCosts()
    own: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        residencies = [state.residency for state in self.idle]
        if residencies != sorted(residencies):
            raise ValueError("idle states must ascend by residency")
