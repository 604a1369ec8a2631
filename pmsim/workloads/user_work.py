"""The victim: user work that only wants its CPU."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from pmsim import units
from pmsim.errors import Fault
from pmsim.quantities import PositiveTime
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keyfault import KeyFault, chosen_cpus, cpu_set_faults
from pmsim.workloads.keys import Count, CpuSet
from pmsim.workloads.registry import Workload, workload
from pmsim.workloads.task import MachineInfo, Steps, TaskSpec


@workload("user_work")
class UserWork(Workload):
    """Programs compute on some CPUs and never call the kernel; the result is how slow they get.

    Each CPU has one task with a working set in its TLB, which it has to refill after every full
    flush. The summary compares the time that passed with the work that was done in it.
    """

    cpus: CpuSet = Field(
        default="others",
        description="Where it runs: all, others (CPUs that no other workload names), or a list.",
    )
    compute: PositiveTime | None = Field(
        default=None, description="Work of each task; none: without end, for as long as the run."
    )
    working_set: Count = Field(
        default=512, description="TLB entries that each task refills after a full flush."
    )

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return a task for each CPU."""
        return [
            TaskSpec(
                cpu,
                self._run,
                working_set=self.working_set,
                role="background" if self.endless else "foreground",
                measured=True,
                stream=f"cpu{cpu}",
            )
            for cpu in chosen_cpus(self.cpus, machine)
        ]

    @property
    def endless(self) -> bool:
        """Whether no amount of work is given."""
        return self.compute is None

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs of a list; ``all`` and ``others`` take what is there."""
        return frozenset() if isinstance(self.cpus, str) else frozenset(self.cpus)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that the machine does not have."""
        return cpu_set_faults(("cpus",), self.cpus, machine)

    def _run(self, _kernel: Any, cpu: Cpu) -> Steps:
        if self.compute is not None:
            yield from cpu.compute(self.compute)
            return
        while True:
            yield from cpu.compute(units.S)
