"""Memory of user space that is held back until every CPU has dropped its translations.

Stands for what LATR adds to ``munmap`` and ``madvise`` (ASPLOS 2018; a patch of Linux 4.10, not
merged): pages that were unmapped without a call of other CPUs wait on a list of the CPU, and a
kernel thread frees them two ticks later. Here it is a worker of that CPU (*estimate*: the patch has
a thread of its own, which frees by the same functions).
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pmsim.kernel.lru import LruLists
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class LazyFrees:
    """What each CPU holds back, and who frees it.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._costs = context.costs
        self._operations = context.operations
        self._workqueue = context.workqueue
        self._lru = context.part(LruLists)
        ticks = context.machine.costs.latr
        self._delay: Picoseconds = ticks.reclaim * ticks.tick if ticks is not None else 0
        self._held: dict[CpuId, deque[tuple[Picoseconds, Pages]]] = {}

    def free(self, task: Task, pages: Pages) -> Steps:
        """Free pages now, as part of what the task does."""
        yield from self._lru.remove(task, pages)
        yield from self._operations.compute(task, pages * self._costs.user_page_free)

    def free_later(self, task: Task, pages: Pages) -> None:
        """Let a worker free pages `reclaim` ticks from now; no time passes."""
        held = self._held.setdefault(task.cpu, deque())
        held.append((task.now + self._delay, pages))
        if len(held) == 1:
            self._workqueue.queue_delayed(task, self._reclaim, self._delay)

    def _reclaim(self, worker: Task) -> Steps:
        """Free what may be freed, as often as there is more."""
        held = self._held[worker.cpu]
        while held:
            due, pages = held[0]
            if due > worker.now:
                yield from worker.sleep(due - worker.now)
            yield from self.free(worker, pages)
            held.popleft()
