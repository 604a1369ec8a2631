"""Kinds of workload that do one thing again and again, on one CPU or on several."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from typing import Annotated, Any, ClassVar

from pydantic import Discriminator, Field, Tag, model_validator

from pmsim.errors import Fault
from pmsim.quantities import PositiveSize
from pmsim.workloads.arrival import Arrival
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keyfault import KeyFault, chosen_cpus, cpu_set_faults
from pmsim.workloads.keys import Count, CpuSet, NotEmpty, PositiveCount
from pmsim.workloads.registry import Workload
from pmsim.workloads.task import MachineInfo, Role, Steps, TaskSpec


def _is_list(value: object) -> str:
    return "list" if isinstance(value, list | tuple) else "one"


SizeOrSizes = Annotated[
    Annotated[PositiveSize, Tag("one")]
    | Annotated[tuple[PositiveSize, ...], NotEmpty, Tag("list")],
    Discriminator(_is_list),
]
"""Bytes, always the same, or a list of which one is drawn each time."""

CountOrCounts = Annotated[
    Annotated[PositiveCount, Tag("one")]
    | Annotated[tuple[PositiveCount, ...], NotEmpty, Tag("list")],
    Discriminator(_is_list),
]
"""A number, always the same, or a list of which one is drawn each time."""


class Recurring(Workload):
    """A task on each of some CPUs does one thing at given or random times, each on its own."""

    cpus: CpuSet = Field(
        default=(0,),
        description="Where: all, others (CPUs that no other workload names), or a list.",
    )
    counted: ClassVar[str]
    """The key that says how often, on each CPU; None: without end."""

    arrival: Arrival | None = Field(
        default=None, description="When, on each CPU; none: each right after the other."
    )
    working_set: Count = Field(
        default=0, description="TLB entries that each task refills after a full flush."
    )

    @model_validator(mode="after")
    def _enough_arrivals(self) -> Recurring:
        if self.arrival is not None and self.count is not None:
            self.arrival.check_count(self.count, self.counted)
        return self

    @property
    def count(self) -> int | None:
        """How often each task does it; None if there is no end to it."""
        count: int | None = getattr(self, self.counted)
        return count

    @property
    def endless(self) -> bool:
        """Whether neither a number of times nor the instant of each is given."""
        return self.count is None and (self.arrival is None or self.arrival.times is None)

    @abstractmethod
    def run(self, kernel: Any, cpu: Cpu) -> Steps:
        """Do the thing at each of the `arrivals`."""

    def arrivals(self, cpu: Cpu) -> Iterator[int]:
        """Return the instants, in picoseconds, at which a task is to do it."""
        instants = repeat(0) if self.arrival is None else self.arrival.instants(cpu.rng("arrival"))
        return islice(instants, self.count)

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return a task for each CPU, each with random draws of its own."""
        role: Role = "background" if self.endless else "foreground"
        return [
            TaskSpec(cpu, self.run, working_set=self.working_set, role=role, stream=f"cpu{cpu}")
            for cpu in chosen_cpus(self.cpus, machine)
        ]

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs of a list; ``all`` and ``others`` take what is there."""
        return frozenset() if isinstance(self.cpus, str) else frozenset(self.cpus)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that the machine does not have."""
        return cpu_set_faults(("cpus",), self.cpus, machine)


def drawn(cpu: Cpu, purpose: str, choices: int | tuple[int, ...]) -> Iterator[int]:
    """Yield one of some values after the other, each as likely; a lone one draws nothing."""
    if isinstance(choices, int):
        yield from repeat(choices)
        return
    rng = cpu.rng(purpose)
    while True:
        yield choices[int(rng.integers(len(choices)))]
