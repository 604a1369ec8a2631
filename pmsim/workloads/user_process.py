"""A process with threads, one of which changes its mappings: what the kinds of that sort share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from itertools import islice, repeat
from typing import Any, Literal

from pydantic import Field, model_validator

from pmsim.errors import Fault
from pmsim.quantities import PositivePages, PositiveTime
from pmsim.units import MS, S
from pmsim.workloads.arrival import Arrival
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keyfault import KeyFault, cpu_faults
from pmsim.workloads.keys import Count, CpuNumber, PositiveCount
from pmsim.workloads.registry import Workload
from pmsim.workloads.task import MachineInfo, Role, Steps, TaskSpec


class UserProcess(Workload):
    """One thread changes the mappings of its process; the others compute or sleep on their CPUs."""

    cpu: CpuNumber = Field(default=0, description="CPU of the thread that changes mappings.")
    threads: tuple[CpuNumber, ...] = Field(
        default=(), description="CPUs of the process's other threads, one thread each."
    )
    threads_do: Literal["spin", "sleep"] = Field(
        default="spin",
        description="spin: they compute, so that their CPUs have to be told. sleep: their CPUs are"
        " lazy, and mostly left alone.",
    )
    nap: PositiveTime = Field(
        default=10 * MS, description="sleep only: after how long a thread wakes, for an instant."
    )
    pages: PositivePages = Field(default=1, description="Pages of the mapping that is changed.")
    changes: PositiveCount | None = Field(
        default=None, description="How often it is changed; none: without end."
    )
    arrival: Arrival | None = Field(
        default=None, description="When it is changed; none: again and again without a pause."
    )
    working_set: Count = Field(
        default=512, description="TLB entries that each thread refills after a full flush."
    )

    @model_validator(mode="after")
    def _enough_arrivals(self) -> UserProcess:
        if self.arrival is not None and self.changes is not None:
            self.arrival.check_count(self.changes, "changes")
        return self

    @property
    def endless(self) -> bool:
        """Whether neither a number of changes nor the instant of each is given."""
        return self.changes is None and (self.arrival is None or self.arrival.times is None)

    @abstractmethod
    def change(self, kernel: Any) -> Steps:
        """Change the mapping once."""

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return the thread that changes mappings, then the others."""
        role: Role = "background" if self.endless else "foreground"
        first = TaskSpec(self.cpu, self._change_all, working_set=self.working_set, role=role)
        wait = self._spin if self.threads_do == "spin" else self._sleep
        others = [
            TaskSpec(cpu, wait, working_set=self.working_set, role="background", stream=f"cpu{cpu}")
            for cpu in self.threads
        ]
        return [first, *others]

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that the machine does not have."""
        yield from cpu_faults(("cpu",), self.cpu, machine)
        for index, cpu in enumerate(self.threads):
            yield from cpu_faults(("threads", index), cpu, machine)

    def _change_all(self, kernel: Any, cpu: Cpu) -> Steps:
        yield from kernel.use_mm(kernel.process(self.name))
        instants = repeat(0) if self.arrival is None else self.arrival.instants(cpu.rng("arrival"))
        for instant in islice(instants, self.changes):
            yield from cpu.sleep_until(instant)
            yield from self.change(kernel)

    def _spin(self, kernel: Any, cpu: Cpu) -> Steps:
        yield from kernel.use_mm(kernel.process(self.name))
        while True:
            yield from cpu.compute(S)

    def _sleep(self, kernel: Any, cpu: Cpu) -> Steps:
        while True:
            yield from kernel.use_mm(kernel.process(self.name))
            yield from cpu.sleep(self.nap)
