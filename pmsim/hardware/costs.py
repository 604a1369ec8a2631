"""Frozen cost tables of a machine. Every time is an ``int`` in picoseconds.

The tables carry no numbers of their own: constants come from a platform file, each with its source
(``pmsim/data/platforms``). Semantics: machine-model page, sections 3 to 5, 8 and 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pmsim.hardware.topology import Distance

ByDistance = tuple[int, int, int, int, int]
"""Five costs in picoseconds, indexed by `Distance`."""

CrosscallOrder = Literal["concurrent", "serial"]
"""Whether the initiator runs the function while the others do (5.13 and later) or after them."""

PPM = 1_000_000
"""Millionths in a whole."""


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
class Jitter:
    """A random, never negative addition to each interrupt's delivery.

    ``dist`` is ``half-normal`` (``scale`` its standard deviation parameter), ``exponential``
    (``scale`` its mean) or ``uniform`` (0 to ``scale``).
    """

    dist: Literal["half-normal", "exponential", "uniform"]
    scale: int


@dataclass(frozen=True, slots=True)
class IpiCosts:
    """What a cross-call costs (machine-model page, section 4)."""

    queue: int
    send: int
    fanout: int
    delivery: ByDistance
    line: ByDistance
    entry: int
    exit: int
    jitter: Jitter | None = None

    def __post_init__(self) -> None:
        _at_least_one(queue=self.queue, entry=self.entry, fanout=self.fanout)


@dataclass(frozen=True, slots=True)
class SbiCosts:
    """What a remote fence by the firmware costs (machine-model page, section 9).

    ``trap`` is the way into the firmware; the others are those of `IpiCosts`, with the firmware's
    handler as the target's.
    """

    trap: int
    queue: int
    send: int
    delivery: ByDistance
    line: ByDistance
    entry: int
    exit: int

    def __post_init__(self) -> None:
        _at_least_one(queue=self.queue, entry=self.entry)


@dataclass(frozen=True, slots=True)
class TlbiCosts:
    """What an invalidation broadcast by the interconnect costs (machine-model page, section 8).

    Parameters
    ----------
    operation, everything, barrier
        How long the shared server is taken by one operation on a page or a range of pages, by the
        one that empties every TLB, and by the barrier behind them.
    round_trip
        From the end of the service to the initiator's knowing that the others are done.
    victim_share_ppm
        Millionths of the service that a computing CPU stands still for.
    pages
        Pages that one operation covers at most.
    range
        Whether the CPUs have operations on ranges of pages (Arm's FEAT_TLBIRANGE).
    """

    operation: int
    everything: int
    barrier: int
    round_trip: ByDistance
    victim_share_ppm: int
    pages: int = 1
    range: bool = False

    def __post_init__(self) -> None:
        _at_least_one(barrier=self.barrier, pages=self.pages)
        if not 0 <= self.victim_share_ppm <= PPM:
            raise ValueError(f"a share is 0 to {PPM} ppm, not {self.victim_share_ppm}")


@dataclass(frozen=True, slots=True)
class TlbCosts:
    """What invalidating and refilling costs on one CPU (machine-model page, section 5)."""

    invlpg: int
    flush_all: int
    walk: int
    entries: int
    sync_core: int


@dataclass(frozen=True, slots=True)
class SchedCosts:
    """Run queue: time slice, switch, and wake-up of a sleeping lock waiter."""

    quantum: int
    context_switch: int
    wakeup: int

    def __post_init__(self) -> None:
        _at_least_one(quantum=self.quantum)


@dataclass(frozen=True, slots=True)
class IdleState:
    """One idle state: entered after ``residency`` of idleness, left in ``exit``."""

    name: str
    exit: int
    residency: int


@dataclass(frozen=True, slots=True)
class MachineCosts:
    """All hardware costs of a machine; ``idle`` ascends by residency.

    ``tlbi`` and ``sbi`` are there where the machine has that way of telling other CPUs.
    """

    ipi: IpiCosts
    tlb: TlbCosts
    sched: SchedCosts
    idle: tuple[IdleState, ...] = ()
    tlbi: TlbiCosts | None = None
    sbi: SbiCosts | None = None

    def __post_init__(self) -> None:
        residencies = [state.residency for state in self.idle]
        if residencies != sorted(residencies):
            raise ValueError("idle states must ascend by residency")


def _at_least_one(**costs: int) -> None:
    for name, value in costs.items():
        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")
