"""User work, which is what shootdowns slow down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim import units
from pmsim.quantities import PositiveTime
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.cpu_set import OnCpus
from pmsim.workloads.keys import Count
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo, TaskSpec, role_of

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("user_work")
class UserWork(OnCpus):
    """Programs compute on some CPUs and never call the kernel; the result is how slow they get.

    Each CPU has one task with a working set in its TLB, which it has to refill after every full
    flush. The summary compares the time that passed with the work that was done in it.
    """

    revokes = False

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
                role=role_of(self.endless),
                measured=True,
                stream=f"cpu{cpu}",
            )
            for cpu in self.chosen_cpus(machine)
        ]

    @property
    def endless(self) -> bool:
        """Whether no amount of work is given."""
        return self.compute is None

    def _run(self, _kernel: KernelHandle, cpu: Cpu) -> Steps:
        if self.compute is not None:
            yield from cpu.user_compute(self.compute)
            return
        while True:
            yield from cpu.user_compute(1000 * units.S)
