"""Interrupts off now and then, somewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.workloads.arrival import Arrival
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.cpu_set import OnCpus
from pmsim.workloads.keys import EventRate
from pmsim.workloads.registry import workload
from pmsim.workloads.spread import Length, draw_length
from pmsim.workloads.task import MachineInfo, TaskSpec

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("irq_off_noise")
class IrqOffNoise(OnCpus):
    """CPUs switch interrupts off at random, for random lengths, so that they serve IPIs late.

    Stands for drivers, printing to a slow console, and whatever else runs with interrupts off. On
    each CPU the windows are a Poisson process. One that comes due while another task computes
    there begins when that task's time slice ends, and windows that are late follow each other
    without a pause, so that the rate is kept.
    """

    revokes = False

    rate: EventRate = Field(description="Windows per time on each CPU.")
    length: Length = Field(
        description="Length of a window: a time, or {dist: exponential, scale: 20us}."
    )

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return a task for each CPU, each with random draws of its own."""
        return [
            TaskSpec(cpu, self._run, role="background", stream=f"cpu{cpu}")
            for cpu in self.chosen_cpus(machine)
        ]

    @property
    def endless(self) -> bool:
        """Always: noise has no end."""
        return True

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return no CPU: noise is where others work."""
        return frozenset()

    def _run(self, _kernel: KernelHandle, cpu: Cpu) -> Steps:
        arrivals = Arrival(poisson=self.rate).instants(cpu.rng("arrival"))
        lengths = cpu.rng("length")
        for instant in arrivals:
            yield from cpu.sleep_until(instant)
            yield from cpu.irqs_off(draw_length(self.length, lengths))
