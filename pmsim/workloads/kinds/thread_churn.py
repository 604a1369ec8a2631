"""Threads that come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.recurring import Recurring
from pmsim.workloads.registry import workload
from pmsim.workloads.spread import Length, draw_length

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("thread_churn")
class ThreadChurn(Recurring):
    """Threads are created in groups, live for a while and end; their stacks are vmalloc'ed.

    Stands for servers and build systems that start threads or processes by the thousand. Each CPU
    keeps two stacks; those of further threads go back to vmalloc, some time after their threads
    end, and gather until a purge flushes them on all CPUs. Left out: the threads themselves, whose
    work is that of other workloads; the address spaces of processes; migration to other CPUs.
    """

    revokes = False
    counted = "groups"

    groups: PositiveCount | None = Field(
        default=None, description="Groups of threads on each CPU; none: without end."
    )
    threads: PositiveCount = Field(default=8, description="Threads of each group, on each CPU.")
    lifetime: Length = Field(
        default=0,
        description="How long a group lives: a time, or {dist: exponential, scale: 10ms}.",
    )

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Create a group at each arrival, and end it when its time is over."""
        lifetimes = cpu.rng("lifetime")
        costs = kernel.costs
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            stacks = []
            for _ in range(self.threads):
                yield from cpu.compute(costs.thread_create)
                stack = yield from kernel.alloc_thread_stack()
                if stack is None:
                    cpu.report_failure("alloc_thread_stack", "no stack for another thread")
                    break
                stacks.append(stack)
            yield from cpu.sleep(draw_length(self.lifetime, lifetimes))
            for stack in stacks:
                yield from cpu.compute(costs.thread_exit)
                yield from kernel.free_thread_stack(stack)
