"""Functions that other CPUs are made to run."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.errors import Fault
from pmsim.quantities import Time
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.cpu_set import OnCpus, named_cpus, named_faults
from pmsim.workloads.keys import CpuSet, PositiveCount
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo, TaskSpec, role_of
from pmsim.workloads.timed import Timed
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("cross_call")
class CrossCall(Timed, OnCpus):
    """Chosen CPUs run a function in an interrupt, and are waited for.

    Stands for whoever reads registers of other CPUs (``/dev/cpu/*/msr``, perf, frequency and
    temperature monitors), and for drivers that have work done everywhere. No translation is
    dropped.
    """

    revokes = False
    counted = "calls"

    cpus: CpuSet = Field(
        default=(0,),
        description="Who calls: all, others (CPUs that no other workload names), isolated,"
        " housekeeping, or a list.",
    )
    calls: PositiveCount | None = Field(
        default=None, description="How often each of them does; none: without end."
    )
    targets: CpuSet = Field(
        default="all",
        description="Who is called, as `cpus`; the caller never is.",
    )
    together: bool = Field(
        default=True,
        description="Whether all are called at once, or one after the other, each when the one"
        " before has answered.",
    )
    work: Time = Field(default=0, description="What the function takes on each CPU.")

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return a task for each CPU that calls others."""
        call = partial(self._call, targets=named_cpus(self.targets, machine))
        return [
            TaskSpec(cpu, call, role=role_of(self.endless), stream=f"cpu{cpu}")
            for cpu in self.chosen_cpus(machine)
        ]

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU of a list that the machine does not have."""
        yield from super().check(machine)
        yield from named_faults("targets", self.targets, machine)

    def _call(self, kernel: KernelHandle, cpu: Cpu, targets: tuple[int, ...]) -> Steps:
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            yield from kernel.smp_call_function(targets, self.work, together=self.together)
