"""The keys of a machine's costs, and the cost tables that follow from them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any, Final, Literal

from pydantic import Field, Tag, model_validator

from pmsim.hardware.costs import (
    PPM,
    ByDistance,
    IdleState,
    IpiCosts,
    Jitter,
    MachineCosts,
    SbiCosts,
    SchedCosts,
    TlbCosts,
    TlbiCosts,
    by_distance,
)
from pmsim.hardware.topology import MAX_CPUS, Distance
from pmsim.kernel.costs import KernelCosts
from pmsim.quantities import MAPPING_OR_OTHER, Keys, PositiveTime, Time, refused
from pmsim.units import MS, format_time

Count = Annotated[int, Field(ge=1, le=MAX_CPUS, strict=True)]

DEFAULT_QUANTUM: Final = 3 * MS
"""Time slice where a machine gives none: what Linux 6.1 keeps a task running for at least on eight
or more CPUs (kernel/sched/fair.c: ``sysctl_sched_min_granularity`` of 0.75 ms, times
``1 + log2(8)``)."""

_NO_TIMES: Final = ("fanout", "entries", "name", "share", "pages", "range")
"""Keys whose values are no times."""


class DistanceKeys(Keys):
    """A cost for each distance of two CPUs.

    A class that is missing takes the next nearer one's value or, where there is none, the nearest
    present one's.
    """

    self: Time | None = Field(default=None, description="A CPU to itself.")
    thread: Time | None = Field(default=None, description="Threads of one core.")
    core: Time | None = Field(default=None, description="Cores of one die.")
    die: Time | None = Field(default=None, description="Dies of one package.")
    package: Time | None = Field(default=None, description="Different packages, for each hop.")

    @model_validator(mode="after")
    def _not_empty(keys) -> DistanceKeys:  # noqa: N805 - `self` is a key here
        if not keys.given():
            raise refused("missing-key", "no distance is given", "for example {core: 600ns}")
        return keys

    def given(keys) -> dict[Distance, int]:  # noqa: N805
        """Return the classes that are present."""
        values = {distance: getattr(keys, distance.name.lower()) for distance in Distance}
        return {distance: value for distance, value in values.items() if value is not None}


DistanceTable = Annotated[
    Annotated[Time, Tag("other")] | Annotated[DistanceKeys, Tag("mapping")], MAPPING_OR_OTHER
]
"""A time for every distance, or a mapping by distance."""


class JitterKeys(Keys):
    """A random, never negative addition to each delivery."""

    dist: Literal["half-normal", "exponential", "uniform"] = Field(
        description="half-normal: `scale` is the deviation of the whole normal; exponential: its"
        " mean; uniform: its upper end."
    )
    scale: Time = Field(description="How large.")


JitterKey = Annotated[
    Annotated[Time, Tag("other")] | Annotated[JitterKeys, Tag("mapping")], MAPPING_OR_OTHER
]
"""The scale of a half-normal distribution (0ns: no jitter), or ``{dist, scale}``."""


class IpiKeys(Keys):
    """What a cross-call by interrupts costs."""

    queue: PositiveTime = Field(description="Initiator: put the call into one target's queue.")
    send: Time = Field(default=0, description="Initiator: one write that sends interrupts.")
    fanout: Count = Field(
        default=1,
        description="Consecutive CPU numbers that one write reaches: 16 for an x2APIC cluster, 1"
        " for one write per target.",
    )
    delivery: DistanceTable = Field(default=0, description="From the write to the handler.")
    line: DistanceTable = Field(
        default=0, description="Initiator: read a target's acknowledgement (a cache line's way)."
    )
    entry: PositiveTime = Field(description="Target: from the interrupt to the queue.")
    exit: Time = Field(default=0, description="Target: back to what was interrupted.")
    jitter: JitterKey = Field(default=0, description="Random addition to each delivery.")


class TlbKeys(Keys):
    """What invalidating and refilling costs on one CPU."""

    invlpg: Time = Field(default=0, description="Invalidate one page.")
    flush_all: Time = Field(default=0, description="Invalidate everything, global entries too.")
    walk: Time = Field(default=0, description="Refill one entry.")
    entries: Annotated[int, Field(ge=0, le=1 << 20, strict=True)] | None = Field(
        default=None, description="Entries of the TLB; needed where `walk` is given."
    )
    sync_core: Time = Field(default=0, description="Serialise a CPU, for patched code.")

    @model_validator(mode="after")
    def _entries_where_walk(self) -> TlbKeys:
        if self.walk and self.entries is None:
            raise refused("missing-key", "the key 'entries' is missing, as 'walk' is given",
                         "how many entries a full flush empties, for example 1536")  # fmt: skip
        return self


class TlbiKeys(Keys):
    """What an invalidation broadcast by the interconnect costs."""

    operation: Time = Field(
        default=0, description="Shared server: one operation on a page, or on a range of pages."
    )
    everything: Time = Field(
        default=0, description="Shared server: the operation that empties every TLB."
    )
    barrier: PositiveTime = Field(description="Shared server: the barrier behind the operations.")
    round_trip: DistanceTable = Field(
        default=0, description="Initiator: from the service's end to the farthest CPU's answer."
    )
    share: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0,
        description="The part of the service for which a computing CPU stands still, 0 to 1; read"
        " to the millionth.",
    )
    pages: Annotated[int, Field(ge=1, le=1 << 20, strict=True)] = Field(
        default=1, description="Pages that one operation covers at most (AMD: INVLPGB's count)."
    )
    range: Annotated[bool, Field(strict=True)] = Field(
        default=False, description="The CPUs have operations on ranges (Arm: FEAT_TLBIRANGE)."
    )


class SbiKeys(Keys):
    """What a cross-call through RISC-V's firmware costs."""

    trap: Time = Field(default=0, description="Initiator: into the firmware.")
    queue: PositiveTime = Field(description="Initiator: put the call into one hart's queue.")
    send: Time = Field(default=0, description="Initiator: one write that interrupts one hart.")
    delivery: DistanceTable = Field(default=0, description="From the write to the handler.")
    line: DistanceTable = Field(
        default=0, description="Initiator: read a target's acknowledgement (a cache line's way)."
    )
    entry: PositiveTime = Field(description="Target: from the interrupt to the queue.")
    exit: Time = Field(default=0, description="Target: back to what was interrupted.")


class SchedKeys(Keys):
    """What the run queue costs."""

    quantum: PositiveTime = Field(
        default=DEFAULT_QUANTUM, description="CPU time after which a task makes way for another."
    )
    context_switch: Time = Field(default=0, description="Switch to another task.")
    wakeup: Time = Field(default=0, description="From a release to the sleeper being runnable.")


class IdleKeys(Keys):
    """One idle state."""

    name: Annotated[str, Field(min_length=1, max_length=32)] = Field(description="Its name.")
    exit: Time = Field(description="Time to leave it.")
    residency: Time = Field(default=0, description="Entered after so long a time of idleness.")


class CostKeys(Keys):
    """All costs of a machine; a group that is absent costs nothing."""

    ipi: IpiKeys = Field(description="Cross-calls.")
    tlbi: TlbiKeys | None = Field(
        default=None, description="Invalidation by the interconnect; none: the machine cannot."
    )
    sbi: SbiKeys | None = Field(
        default=None, description="Cross-calls through the firmware; none: the machine cannot."
    )
    tlb: TlbKeys = Field(default=TlbKeys(), description="Invalidation and refill.")
    sched: SchedKeys = Field(default=SchedKeys(), description="Run queue.")
    idle: Annotated[tuple[IdleKeys, ...], Field(max_length=32)] = Field(
        default=(), description="Idle states; none: leaving idleness takes no time."
    )
    kernel: KernelCosts = Field(default=KernelCosts(), description="CPU time of kernel work.")


def cost_tables(keys: CostKeys) -> MachineCosts:
    """Return the costs of the hardware."""
    tlb, sched = keys.tlb, keys.sched
    idle = sorted(
        keys.idle, key=lambda state: state.residency
    )  # stable: equal ones keep their order
    return MachineCosts(
        ipi=_ipi(keys.ipi),
        tlb=TlbCosts(tlb.invlpg, tlb.flush_all, tlb.walk, tlb.entries or 0, tlb.sync_core),
        sched=SchedCosts(sched.quantum, sched.context_switch, sched.wakeup),
        idle=tuple(IdleState(state.name, state.exit, state.residency) for state in idle),
        tlbi=_tlbi(keys.tlbi) if keys.tlbi is not None else None,
        sbi=_sbi(keys.sbi) if keys.sbi is not None else None,
    )


def _ipi(keys: IpiKeys) -> IpiCosts:
    return IpiCosts(
        queue=keys.queue,
        send=keys.send,
        fanout=keys.fanout,
        delivery=_table(keys.delivery),
        line=_table(keys.line),
        entry=keys.entry,
        exit=keys.exit,
        jitter=_jitter(keys.jitter),
    )


def _tlbi(keys: TlbiKeys) -> TlbiCosts:
    return TlbiCosts(
        operation=keys.operation,
        everything=keys.everything,
        barrier=keys.barrier,
        round_trip=_table(keys.round_trip),
        victim_share_ppm=round(keys.share * PPM),
        pages=keys.pages,
        range=keys.range,
    )


def _sbi(keys: SbiKeys) -> SbiCosts:
    return SbiCosts(
        trap=keys.trap,
        queue=keys.queue,
        send=keys.send,
        delivery=_table(keys.delivery),
        line=_table(keys.line),
        entry=keys.entry,
        exit=keys.exit,
    )


def _table(keys: int | DistanceKeys) -> ByDistance:
    return by_distance(keys.given() if isinstance(keys, DistanceKeys) else {Distance.SELF: keys})


def _jitter(keys: int | JitterKeys) -> Jitter | None:
    dist, scale = (keys.dist, keys.scale) if isinstance(keys, JitterKeys) else ("half-normal", keys)
    return Jitter(dist, scale) if scale else None


def costs_as_dict(costs: MachineCosts) -> dict[str, Any]:
    """Return the hardware's costs as an inline machine has them, times as text."""
    groups = {name: group for name, group in asdict(costs).items() if group is not None}
    groups["idle"] = list(groups["idle"])
    groups["ipi"]["jitter"] = groups["ipi"]["jitter"] or 0
    if "tlbi" in groups:
        groups["tlbi"]["share"] = groups["tlbi"].pop("victim_share_ppm") / PPM
    return {name: _with_units(group) for name, group in groups.items()}


def _with_units(data: Any) -> Any:
    """Write every number as a time, save those behind keys that count something."""
    if isinstance(data, dict):
        return {k: v if k in _NO_TIMES else _with_units(v) for k, v in data.items()}
    if isinstance(data, list):
        return [_with_units(item) for item in data]
    if isinstance(data, tuple):
        return {d.name.lower(): _with_units(data[d]) for d in Distance}
    return format_time(data) if isinstance(data, int) else data
