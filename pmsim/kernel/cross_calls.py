"""Calls of other CPUs that drop no translation: barriers of a process, and functions anybody runs.

Stands for ``membarrier`` (kernel/sched/membarrier.c, Linux 4.16 to 6.18), and for
``smp_call_function_many`` and ``smp_call_function_single`` (kernel/smp.c) as drivers, perf and
reads of registers use them. A membarrier calls the CPUs that run a thread of the caller's process
at that moment, and nobody else: a CPU that switches to one later executes a barrier as it does.

Left out: the registration of a process, once, which is a grace period; ``membarrier`` for all
processes that have registered, or of one CPU.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Literal

from pmsim.hardware.tlb import empty_call
from pmsim.kernel.calls import call
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.tlbflush import Cause
from pmsim.kernel.user_mm import UserMm, UserMms
from pmsim.units import CpuId, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

Barrier = Literal["private", "sync_core", "global"]
"""What a membarrier makes others do: a barrier (``PRIVATE_EXPEDITED``), a serialising instruction
(``PRIVATE_EXPEDITED_SYNC_CORE``), or whatever they do in a grace period (``GLOBAL``)."""

NO_DATA: Final = 0
"""Cache lines that ``membarrier_ipi_mutex`` guards."""


class CrossCalls:
    """The calls that have other CPUs run a function and wait for them.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    membarrier_ipi_mutex
        Held over the calls of one membarrier, where kernels have it.
    """

    def __init__(self, context: KernelContext) -> None:
        profile = context.profile
        self.membarrier_ipi_mutex = (
            KernelMutex(context.machine, "membarrier_ipi_mutex", NO_DATA)
            if profile.membarrier_serializes
            else None
        )
        self._barrier = empty_call()
        self._serialize = context.tlbflush.sync_function
        self._costs = context.costs
        self._operations = context.operations
        self._spaces = context.part(UserMms)

    @call
    def membarrier(self, task: Task, barrier: Barrier = "private") -> Steps:
        """Have all other threads of the caller's process that run execute a barrier.

        Parameters
        ----------
        task
            Who calls.
        barrier
            private: a barrier, in an interrupt. sync_core: and a serialising instruction, here too.
            global: nobody is called, the caller waits for a grace period.
        """
        mm = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "membarrier")
        yield from self._spaces.resume(task)
        yield from self._operations.compute(task, self._costs.user_membarrier)
        if barrier == "global":
            yield from task.sleep(self._costs.rcu_grace_period)
        elif len(mm.users) > 1 or barrier == "sync_core":
            yield from self._expedited(task, mm, sync=barrier == "sync_core")
        self._operations.end(operation)

    @call
    def smp_call_function(
        self,
        task: Task,
        cpus: Sequence[CpuId],
        work: Picoseconds = 0,
        *,
        together: bool = True,
    ) -> Steps:
        """Have some CPUs run a function in an interrupt, and wait until they have.

        Parameters
        ----------
        task
            Who calls; its own CPU is left out.
        cpus
            Which.
        work
            What the function takes on each, in picoseconds.
        together
            All in one call (``smp_call_function_many``), or each in one of its own, one after the
            other (``smp_call_function_single``).
        """
        others = [cpu for cpu in sorted(set(cpus)) if cpu != task.cpu]
        calls = [others] if together and others else [[cpu] for cpu in others]
        kind = "smp_call_function_many" if together else "smp_call_function_single"
        for targets in calls:
            operation = self._operations.begin(task, kind)
            yield from self._operations.cross_call(
                task, empty_call(work), Cause.REQUEST, 0, targets=targets
            )
            self._operations.end(operation)

    def _expedited(self, task: Task, mm: UserMm, *, sync: bool) -> Steps:
        """Call the CPUs that run the process (``membarrier_private_expedited``)."""
        mutex = self.membarrier_ipi_mutex
        if mutex is not None:
            yield from self._operations.lock(task, mutex)
        targets = self._spaces.running_elsewhere(task, mm)
        if targets:
            function = self._serialize if sync else self._barrier
            yield from self._operations.cross_call(
                task, function, Cause.MEMBARRIER, 0, targets=targets
            )
        elif sync:
            yield from self._operations.flush_own_cpu(task, self._serialize)
        if mutex is not None:
            mutex.unlock(task)
