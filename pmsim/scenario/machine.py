"""The keys of a machine, and the machine that follows from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from math import prod
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, create_model

from pmsim.cpulist import cpus_of, format_cpulist
from pmsim.errors import CpuListError
from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.host import Host
from pmsim.hardware.topology import MAX_CPUS, Topology
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.keys.values import Arch
from pmsim.kernel.profile import KernelProfile
from pmsim.quantities import Keys, refused
from pmsim.scenario.costs import (
    CostKeys,
    Count,
    OwnKeys,
    as_written,
    cost_tables,
    costs_as_dict,
    group_of,
    keys_of,
)
from pmsim.scenario.known import KnownConstant
from pmsim.workloads.keys import CpuList
from pmsim.workloads.task import MachineInfo

FORMAT: Final = 1
"""Version of the format of scenario and platform files."""


def _known_format(version: int) -> int:
    if version != FORMAT:
        message = f"version {version} of the format is not known"
        raise refused("unknown-version", message, f"this pmsim reads version {FORMAT}")
    return version


FormatVersion = Annotated[
    int,
    Field(strict=True, json_schema_extra={"const": FORMAT}),
    AfterValidator(_known_format),
]


_COSTS: Final = "What the hardware costs."
_HOST: Final = "The host of a virtual machine; none: bare metal."


class TopologyKeys(Keys):
    """``packages x dies x cores x threads`` logical CPUs, threads numbered innermost."""

    packages: Count = Field(default=1, description="Packages (sockets).")
    dies: Count = Field(default=1, description="Dies of a package.")
    cores: Count = Field(default=1, description="Cores of a die.")
    threads: Count = Field(default=1, description="Threads of a core.")
    most_cpus: Count | None = Field(
        default=None,
        description="CPUs of the largest machine of its kind: what has more is refused; none: no"
        " such limit.",
    )
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


class _Machine(Keys):
    """A machine described in full, in a scenario or as a platform file."""

    pmsim: FormatVersion = Field(default=FORMAT, description="Version of the format.")
    name: str = Field(default="inline", description="What it is called in results.")
    description: str = Field(default="", description="What it stands for.")
    archs: tuple[Arch, ...] = Field(
        default=(), description="Architectures whose kernels run on it; none: any."
    )
    topology: TopologyKeys = Field(description="Who is how far from whom.")
    cpus: Count | None = Field(
        default=None,
        description="Logical CPUs: cuts the topology, or extends it by packages of the same shape.",
    )
    isolated: CpuList = Field(
        default="",
        description="CPUs that nothing but what is put there runs on (isolcpus, nohz_full): a list"
        " as the kernel reads it, such as 2-63,96-127.",
    )
    costs: Keys = Field(description=_COSTS)
    host: Keys | None = Field(default=None, description=_HOST)


HostKeys: Final = keys_of(Host)
"""The keys below ``host``."""

_HostOrNone: Any = HostKeys | None

MachineKeys: Final = create_model(
    "MachineKeys",
    __base__=_Machine,
    __doc__=_Machine.__doc__,
    costs=(CostKeys, Field(description=_COSTS)),
    host=(_HostOrNone, Field(default=None, description=_HOST)),
)
"""The keys of a machine, its costs as they are derived."""


@dataclass(frozen=True, slots=True)
class MachineDescription:
    """A machine with every cost filled in: what a simulation is built from.

    Attributes
    ----------
    name, description
        What it is called, and what it stands for.
    archs
        Architectures whose kernels run on it; none: any.
    topology, costs
        The hardware.
    kernel_costs
        CPU time of kernel work on it.
    host
        What it is a guest of; None for bare metal.
    isolated
        CPUs that nothing but what is put there runs on, ascending.
    constants
        The same costs one by one, with what each rests on; two machines are equal without.
    """

    name: str
    description: str
    archs: tuple[Arch, ...]
    topology: Topology
    costs: MachineCosts
    kernel_costs: KernelCosts
    host: Host | None = None
    isolated: tuple[int, ...] = ()
    constants: tuple[KnownConstant, ...] = field(default=(), compare=False, repr=False)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data that reads as an inline machine, every key present."""
        topology = {k: v for k, v in asdict(self.topology).items() if v is not None}
        cpus = topology.pop("cpus")
        return {
            "name": self.name,
            "description": self.description,
            "archs": list(self.archs),
            "topology": topology,
            "cpus": cpus,
            **({"isolated": format_cpulist(self.isolated)} if self.isolated else {}),
            "costs": costs_as_dict(self.costs, self.kernel_costs),
            **({} if self.host is None else {"host": as_written(self.host)}),
        }

    def info(self, kernel: KernelProfile | None) -> MachineInfo:
        """Return what workloads may know of it, with a kernel that runs on it."""
        return MachineInfo(
            self.topology.n_cpus,
            kernel=kernel,
            broadcasts=self.costs.tlbi is not None,
            isolated=self.isolated,
        )


class TooManyCpusError(ValueError):
    """A machine has more CPUs than the largest of its kind.

    Parameters
    ----------
    name
        The machine.
    cpus, most
        How many it was to have, and how many it may.
    """

    code: Final = "too-many-cpus"
    hint: Final = (
        "another platform (pmsim list platforms), or topology: {most_cpus: N} for one that was"
        " never built"
    )

    def __init__(self, name: str, cpus: int, most: int) -> None:
        super().__init__(f"{name} with {cpus:,} CPUs: the largest machine of its kind has {most:,}")


class PhasesError(ValueError):
    """A host says the phases of another number of CPUs than there are."""

    def __init__(self, given: int, n_cpus: int) -> None:
        phases = "1 phase is" if given == 1 else f"{given:,} phases are"
        super().__init__(f"{phases} given for {n_cpus:,} CPUs")
        self.hint = f"a list of {n_cpus:,} times, one for each CPU, or random"


def describe(
    keys: _Machine, constants: tuple[KnownConstant, ...] = (), own: Sequence[OwnKeys] = ()
) -> MachineDescription:
    """Return the machine that some keys describe; what is known of its constants goes with it.

    Parameters
    ----------
    keys, own
        What its file gives; and what it gives for protocols that are not pmsim's own.
    constants
        What is known of them.

    Raises
    ------
    CpuListError
        If it does not have the CPUs that are to be isolated, or they are all that it has.
    TooManyCpusError
        If no machine of its kind has as many CPUs.
    PhasesError
        If its host says the phases of another number of CPUs than it has.
    ValueError
        If topology, number of CPUs and hops do not fit together.
    """
    topology, costs = _topology(keys), cost_tables(keys.costs, own)
    most = keys.topology.most_cpus
    if most is not None and topology.n_cpus > most:
        raise TooManyCpusError(keys.name, topology.n_cpus, most)
    host = None if keys.host is None else group_of(keys.host, Host)
    isolated = _isolated(keys.isolated, topology.n_cpus)
    if host is not None and host.phases and len(host.phases) != topology.n_cpus:
        raise PhasesError(len(host.phases), topology.n_cpus)
    return MachineDescription(
        keys.name, keys.description, keys.archs, topology, *costs, host, isolated, constants
    )


def _isolated(listed: str | tuple[int | str, ...], n_cpus: int) -> tuple[int, ...]:
    cpus = tuple(sorted(set(cpus_of(listed, n_cpus))))
    if len(cpus) == n_cpus:
        # Linux: housekeeping_setup (kernel/sched/isolation.c) wants one that is present.
        message = "all CPUs are isolated, and none is left for housekeeping"
        raise CpuListError(message, code="conflict", hint="for example 1-N")
    return cpus


def _topology(keys: _Machine) -> Topology:
    given = keys.topology
    shape = (given.packages, given.dies, given.cores, given.threads)
    cpus = keys.cpus if keys.cpus is not None else prod(shape)
    hops = given.hops
    if hops is not None and keys.cpus is not None:
        # Packages that are cut away take their rows with them.
        n = Topology(*shape, cpus).n_packages
        hops = tuple(row[:n] for row in hops[:n])
    return Topology(*shape, cpus, hops)
