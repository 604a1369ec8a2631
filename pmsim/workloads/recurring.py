"""Kinds of workload that do one thing again and again, on one CPU or on several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, Tag

from pmsim.quantities import LIST_OR_OTHER
from pmsim.steps import Steps
from pmsim.workloads.arrival import Arrival
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.cpu_set import OnCpus
from pmsim.workloads.keys import Count, CpuSet, NotEmpty, PositiveKernelSize, PositiveSites
from pmsim.workloads.task import MachineInfo, TaskSpec, role_of
from pmsim.workloads.timed import Timed

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

SizeOrSizes = Annotated[
    Annotated[PositiveKernelSize, Tag("other")]
    | Annotated[tuple[PositiveKernelSize, ...], NotEmpty, Tag("list")],
    LIST_OR_OTHER,
]
"""Bytes, always the same, or a list of which one is drawn each time."""

SitesOrSeveral = Annotated[
    Annotated[PositiveSites, Tag("other")]
    | Annotated[tuple[PositiveSites, ...], NotEmpty, Tag("list")],
    LIST_OR_OTHER,
]
"""A number of sites, always the same, or a list of which one is drawn each time."""


class Recurring(Timed, OnCpus):
    """A task on each of some CPUs does one thing at given or random times, each on its own."""

    cpus: CpuSet = Field(
        default=(0,),
        description=OnCpus.model_fields["cpus"].description,
    )
    arrival: Arrival | None = Field(
        default=None, description="When, on each CPU; none: each right after the one before."
    )
    working_set: Count = Field(
        default=0, description="TLB entries that each task refills after a full flush."
    )

    @abstractmethod
    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Do the thing at each of the `arrivals`."""

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return a task for each CPU, each with random draws of its own."""
        role = role_of(self.endless)
        return [
            TaskSpec(cpu, self.run, working_set=self.working_set, role=role, stream=f"cpu{cpu}")
            for cpu in self.chosen_cpus(machine)
        ]


def drawn(cpu: Cpu, purpose: str, choices: int | tuple[int, ...]) -> Iterator[int]:
    """Yield values drawn from some choices, equally likely; a single choice draws nothing."""
    if isinstance(choices, int):
        yield from repeat(choices)
        return
    rng = cpu.rng(purpose)
    while True:
        yield choices[int(rng.integers(len(choices)))]
