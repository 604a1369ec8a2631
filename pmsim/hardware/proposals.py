"""Frozen cost tables of shootdown protocols that were proposed, and not built or not merged.

What there is of them are papers, white papers and patches. A machine that gives their costs answers
what-if questions; each number needs its source or the word estimate there. Semantics: machine-model
page, sections 11 to 14.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from pmsim.constants import Constant, Group, Kind
from pmsim.hardware.topology import MAX_CPUS, ByDistance
from pmsim.units import MS

MOST_ENTRIES: Final = 1 << 16
"""The most entries of a ring, and the most ticks that what was freed is held back."""

NOTHING: Final[ByDistance] = (0, 0, 0, 0, 0)
"""No cost at any distance."""

Line = Annotated[
    ByDistance,
    Constant(
        text="Initiator: cache-line transfer, to read a target's acknowledgement.",
        kind=Kind.TIME_BY_DISTANCE,
    ),
]
"""How long it takes until an initiator has read what a target wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoherentCosts(Group):
    """What it costs where TLBs follow the stores to page tables, as caches follow all stores."""

    store: Annotated[
        ByDistance,
        Constant(
            text="Initiator: one store to a line of eight entries, up to the acknowledgement of the"
            " farthest CPU that holds a translation of it.",
            kind=Kind.TIME_BY_DISTANCE,
        ),
    ] = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryCosts(Group):
    """What it costs where a directory knows which TLBs hold a translation."""

    lookup: Annotated[int, Constant(text="Initiator: finding the holders in the directory.")] = 0
    message: Annotated[int, Constant(text="Initiator: one holder is told.")] = 0
    round_trip: Annotated[
        ByDistance,
        Constant(
            text="Initiator: from the last message to a holder's answer.",
            kind=Kind.TIME_BY_DISTANCE,
        ),
    ] = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class RarCosts(Group):
    """What a cross-call by Intel's remote action requests costs."""

    slots: Annotated[
        int,
        Constant(
            text="Payloads that may be under way at once; a CPU uses that of its number modulo"
            " these.",
            kind=Kind.COUNT,
            least=1,
            most=MAX_CPUS,
        ),
    ] = 64
    payload: Annotated[int, Constant(text="Initiator: writing what is to be done.")] = 0
    queue: Annotated[
        int, Constant(text="Initiator: marking the action in one target's table.", least=1)
    ]
    send: Annotated[int, Constant(text="Initiator: one write that sends requests.")] = 0
    fanout: Annotated[
        int,
        Constant(
            text="Consecutive CPU numbers that one write reaches.",
            kind=Kind.COUNT,
            least=1,
            most=MAX_CPUS,
        ),
    ] = 1
    delivery: Annotated[
        ByDistance, Constant(text="From the write to the action.", kind=Kind.TIME_BY_DISTANCE)
    ] = NOTHING
    action: Annotated[int, Constant(text="Target: the action, done by the processor itself.")] = 0
    line: Line = NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class LatrCosts(Group):
    """What it costs where CPUs drop at their ticks what user space has freed."""

    save: Annotated[
        int, Constant(text="Initiator: writing what was freed into the ring of its CPU.")
    ] = 0
    scan: Annotated[
        int, Constant(text="Each tick and switch: looking into the ring of one online CPU.")
    ] = 0
    sweep: Annotated[
        int, Constant(text="Each tick and switch: dropping what one entry is about.")
    ] = 0
    tick: Annotated[int, Constant(text="From one tick to the next.", least=1)] = 1 * MS
    ring: Annotated[
        int,
        Constant(text="Entries of one CPU's ring.", kind=Kind.COUNT, least=1, most=MOST_ENTRIES),
    ] = 64
    reclaim: Annotated[
        int,
        Constant(
            text="Ticks after which what was freed may be used again; fewer than 2 are unsound.",
            kind=Kind.COUNT,
            least=0,
            most=MOST_ENTRIES,
        ),
    ] = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class DeferredCosts(Group):
    """What it costs to leave isolated CPUs in user mode out of calls."""

    check: Annotated[
        int, Constant(text="Initiator: seeing that one target is in user mode, and leaving it out.")
    ] = 0
    entry_flush: Annotated[
        int,
        Constant(
            text="Isolated CPU: dropping everything on each entry from user mode into the kernel."
        ),
    ] = 0
