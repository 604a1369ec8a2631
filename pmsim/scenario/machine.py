"""The keys of a machine, and the machine that follows from them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import prod
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, create_model

from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.topology import MAX_CPUS, Topology
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.profile import Arch
from pmsim.quantities import Keys, refused
from pmsim.scenario.costs import CostKeys, Count, cost_tables, costs_as_dict

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
    costs: Keys = Field(description=_COSTS)


MachineKeys: Final = create_model(
    "MachineKeys",
    __base__=_Machine,
    __doc__=_Machine.__doc__,
    costs=(CostKeys, Field(description=_COSTS)),
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
    """

    name: str
    description: str
    archs: tuple[Arch, ...]
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
            "archs": list(self.archs),
            "topology": topology,
            "cpus": cpus,
            "costs": costs_as_dict(self.costs, self.kernel_costs),
        }


def describe(keys: _Machine) -> MachineDescription:
    """Return the machine that some keys describe.

    Raises
    ------
    ValueError
        If topology, number of CPUs and hops do not fit together.
    """
    topology, costs = _topology(keys), cost_tables(keys.costs)
    return MachineDescription(keys.name, keys.description, keys.archs, topology, *costs)


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
