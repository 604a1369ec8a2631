"""The keys of a machine, and the machine that follows from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    Discriminator,
    Field,
    Tag,
    model_validator,
)
from pydantic_core import PydanticCustomError

from pmsim.hardware.costs import (
    ByDistance,
    IdleState,
    IpiCosts,
    Jitter,
    MachineCosts,
    SchedCosts,
    TlbCosts,
    by_distance,
)
from pmsim.hardware.topology import MAX_CPUS, Distance, Topology
from pmsim.kernel.costs import KernelCosts
from pmsim.quantities import Keys, PositiveTime, Time
from pmsim.units import MS, format_time

Count = Annotated[int, Field(ge=1, le=MAX_CPUS, strict=True)]

DEFAULT_QUANTUM: Final = 3 * MS
"""Time slice where a machine gives none: what Linux 6.1 keeps a task running for at least on eight
or more CPUs (kernel/sched/fair.c: ``sysctl_sched_min_granularity`` of 0.75 ms, times
``1 + log2(8)``)."""


FORMAT: Final = 1
"""Version of the format of scenario and platform files."""


def _known_format(version: int) -> int:
    if version != FORMAT:
        message = f"version {version} of the format is not known"
        raise _fault("unknown-version", message, f"this pmsim reads version {FORMAT}")
    return version


FormatVersion = Annotated[
    int,
    Field(strict=True, json_schema_extra={"const": FORMAT}),
    AfterValidator(_known_format),
]


class TopologyKeys(Keys):
    """``packages x dies x cores x threads`` logical CPUs, threads numbered innermost."""

    packages: Count = Field(default=1, description="Packages (sockets).")
    dies: Count = Field(default=1, description="Dies of a package.")
    cores: Count = Field(default=1, description="Cores of a die.")
    threads: Count = Field(default=1, description="Threads of a core.")
    hops: (
        tuple[
            Annotated[tuple[Annotated[int, Field(ge=0, le=32, strict=True)], ...],
                      Field(max_length=MAX_CPUS)], ...
        ]
        | None
    ) = Field(
        default=None,
        description="Interconnect hops between packages, a row for each; they multiply costs of the"
        " distance `package`.",
    )  # fmt: skip


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
            raise _fault("missing-key", "no distance is given", "for example {core: 600ns}")
        return keys

    def given(keys) -> dict[Distance, int]:  # noqa: N805
        """Return the classes that are present."""
        values = {distance: getattr(keys, distance.name.lower()) for distance in Distance}
        return {distance: value for distance, value in values.items() if value is not None}


def _shape(value: object) -> str:
    """Tell a mapping from a single value, so that only the faults of what was meant come up."""
    return "keys" if isinstance(value, dict | BaseModel) else "value"


DistanceTable = Annotated[
    Annotated[Time, Tag("value")] | Annotated[DistanceKeys, Tag("keys")], Discriminator(_shape)
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
    Annotated[Time, Tag("value")] | Annotated[JitterKeys, Tag("keys")], Discriminator(_shape)
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
            raise _fault("missing-key", "the key 'entries' is missing, as 'walk' is given",
                         "how many entries a full flush empties, for example 1536")  # fmt: skip
        return self


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
    tlb: TlbKeys = Field(default=TlbKeys(), description="Invalidation and refill.")
    sched: SchedKeys = Field(default=SchedKeys(), description="Run queue.")
    idle: Annotated[tuple[IdleKeys, ...], Field(max_length=32)] = Field(
        default=(), description="Idle states; none: leaving idleness takes no time."
    )
    kernel: KernelCosts = Field(default=KernelCosts(), description="CPU time of kernel work.")


class MachineKeys(Keys):
    """A machine described in full, in a scenario or as a platform file."""

    pmsim: FormatVersion = Field(default=FORMAT, description="Version of the format.")
    name: str = Field(default="inline", description="What it is called in results.")
    description: str = Field(default="", description="What it stands for.")
    topology: TopologyKeys = Field(description="Who is how far from whom.")
    cpus: Count | None = Field(
        default=None,
        description="Logical CPUs: cuts the topology, or extends it by packages of the same shape.",
    )
    costs: CostKeys = Field(description="What the hardware costs.")


@dataclass(frozen=True, slots=True)
class MachineDescription:
    """A machine with every cost filled in: what a simulation is built from.

    Attributes
    ----------
    name, description
        What it is called, and what it stands for.
    topology, costs
        The hardware.
    kernel_costs
        CPU time of kernel work on it.
    """

    name: str
    description: str
    topology: Topology
    costs: MachineCosts
    kernel_costs: KernelCosts

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that reads as an inline machine, every key present."""
        topology = {k: v for k, v in asdict(self.topology).items() if v is not None}
        cpus = topology.pop("cpus")
        return {
            "name": self.name,
            "description": self.description,
            "topology": topology,
            "cpus": cpus,
            "costs": _costs_as_dict(self.costs)
            | {"kernel": self.kernel_costs.model_dump(mode="json")},
        }


def describe(keys: MachineKeys) -> MachineDescription:
    """Return the machine that some keys describe.

    Raises
    ------
    ValueError
        If topology, number of CPUs and hops do not fit together.
    """
    return MachineDescription(
        keys.name, keys.description, _topology(keys), _costs(keys.costs), keys.costs.kernel
    )


def _topology(keys: MachineKeys) -> Topology:
    given = keys.topology
    shape = (given.packages, given.dies, given.cores, given.threads)
    cpus = keys.cpus if keys.cpus is not None else prod(shape)
    hops = given.hops
    if hops is not None and keys.cpus is not None:
        # Packages that are cut away take their rows with them.
        n = Topology(*shape, cpus).n_packages
        hops = tuple(row[:n] for row in hops[:n])
    return Topology(*shape, cpus, hops)


def _costs(keys: CostKeys) -> MachineCosts:
    ipi, tlb, sched = keys.ipi, keys.tlb, keys.sched
    idle = sorted(
        keys.idle, key=lambda state: state.residency
    )  # stable: equal ones keep their order
    return MachineCosts(
        ipi=IpiCosts(
            queue=ipi.queue,
            send=ipi.send,
            fanout=ipi.fanout,
            delivery=_table(ipi.delivery),
            line=_table(ipi.line),
            entry=ipi.entry,
            exit=ipi.exit,
            jitter=_jitter(ipi.jitter),
        ),
        tlb=TlbCosts(tlb.invlpg, tlb.flush_all, tlb.walk, tlb.entries or 0, tlb.sync_core),
        sched=SchedCosts(sched.quantum, sched.context_switch, sched.wakeup),
        idle=tuple(IdleState(state.name, state.exit, state.residency) for state in idle),
    )


def _table(keys: int | DistanceKeys) -> ByDistance:
    return by_distance(keys.given() if isinstance(keys, DistanceKeys) else {Distance.SELF: keys})


def _jitter(keys: int | JitterKeys) -> Jitter | None:
    dist, scale = (keys.dist, keys.scale) if isinstance(keys, JitterKeys) else ("half-normal", keys)
    return Jitter(dist, scale) if scale else None


def _costs_as_dict(costs: MachineCosts) -> dict[str, Any]:
    """Return the hardware's costs as an inline machine has them, times as text."""
    counts = ("fanout", "entries", "name")
    groups: dict[str, Any] = {
        "ipi": asdict(costs.ipi),
        "tlb": asdict(costs.tlb),
        "sched": asdict(costs.sched),
    }
    for table in ("delivery", "line"):
        row = groups["ipi"][table]
        groups["ipi"][table] = {d.name.lower(): row[d] for d in Distance}
    groups["ipi"]["jitter"] = groups["ipi"]["jitter"] or 0
    groups["idle"] = [asdict(state) for state in costs.idle]
    return {name: _with_units(group, counts) for name, group in groups.items()}


def _with_units(data: Any, counts: tuple[str, ...]) -> Any:
    """Write every number as a time, save those behind keys that count something."""
    if isinstance(data, dict):
        return {k: v if k in counts else _with_units(v, counts) for k, v in data.items()}
    if isinstance(data, list):
        return [_with_units(item, counts) for item in data]
    return format_time(data) if isinstance(data, int) else data


def _fault(code: str, message: str, hint: str) -> PydanticCustomError:
    context = {"code": code, "message": message, "hint": hint}
    return PydanticCustomError("machine", "{message}", context)
