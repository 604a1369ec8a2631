"""Giving back what a module needs for its init function only, once nobody can still look at it.

Stands for ``do_free_init`` (kernel/module.c, Linux 4.16; kernel/module/main.c, 6.1).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from pmsim.kernel.workqueue import Work

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.modules.memory import ModuleArea, ModuleMemory
    from pmsim.kernel.modules.plans import LoaderPlan
    from pmsim.steps import Steps
    from pmsim.units import Picoseconds


Free = Callable[["Task", "Sequence[ModuleArea]", "Picoseconds"], "Steps"]
"""Gives areas back to the memory of modules, after a wait."""


class InitFree(Protocol):
    """Who gives init areas back."""

    def give(self, task: Task, areas: Sequence[ModuleArea]) -> None:
        """Take the init areas of one module, to give them back some time later."""


class FreeByCallback:
    """Each module's areas are freed by a callback of their own when its grace period is over.

    Stands for ``call_rcu_sched`` (4.16): the callback runs as an interrupt, from which ``vfree``
    hands areas to a work item.

    Parameters
    ----------
    context
        What it stands on.
    free
        How areas are given back.
    """

    def __init__(self, context: KernelContext, free: Free) -> None:
        self._free = free
        self._workqueue = context.workqueue
        self._grace_period = context.costs.rcu_grace_period

    def give(self, task: Task, areas: Sequence[ModuleArea]) -> None:
        """Let a worker free them when the grace period is over, which begins now."""
        due = task.now + self._grace_period

        def free(worker: Task) -> Steps:
            if worker.now < due:
                yield from worker.sleep(due - worker.now)
            yield from self._free(worker, areas, 0)

        self._workqueue.queue_work(task, free)


class FreeByWork:
    """A work item frees what has gathered, after one grace period for all of it.

    Stands for ``init_free_list`` and ``init_free_wq`` (5.2 and later). Areas that come while it
    waits are freed after the next grace period.

    Parameters
    ----------
    context, free
        As for `FreeByCallback`.
    """

    def __init__(self, context: KernelContext, free: Free) -> None:
        self._free = free
        self._workqueue = context.workqueue
        self._grace_period = context.costs.rcu_grace_period
        self._gathered: list[Sequence[ModuleArea]] = []
        self._work = Work(self._run)

    def give(self, task: Task, areas: Sequence[ModuleArea]) -> None:
        """Put them on the list, and queue the work item unless it is queued."""
        self._gathered.append(areas)
        self._workqueue.schedule_work(task, self._work)

    def _run(self, task: Task) -> Steps:
        """Free those that have gathered by now, newest module first."""
        gathered, self._gathered = self._gathered, []
        newest_first = [area for areas in reversed(gathered) for area in areas]
        return self._free(task, newest_first, self._grace_period)


def init_free(context: KernelContext, plan: LoaderPlan, memory: ModuleMemory) -> InitFree:
    """Return who gives init areas back in a generation."""
    operations = context.operations

    def free(task: Task, areas: Sequence[ModuleArea], wait: Picoseconds) -> Steps:
        operation = operations.begin(task, "do_free_init", sum(area.pages for area in areas))
        if wait:
            yield from task.sleep(wait)
        for area in areas:
            yield from memory.free(task, area)
        operations.end(operation)

    kind = FreeByCallback if plan.init_free == "callback" else FreeByWork
    return kind(context, free)
