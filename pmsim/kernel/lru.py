"""Pages on their way to the lists of pages in use, and off them: a lock that a node's CPUs meet at.

Stands for ``folio_add_lru``, ``lru_add_drain`` and ``folios_put_refs`` (mm/swap.c), and the
``lru_lock`` of each node's lists (``struct lruvec``; before 5.11 ``struct pglist_data``). A package
is a node, and has the pages that its CPUs touch and free. A page that is touched for the first time
waits in a batch of its CPU until that is full, or drained. The batch holds on to it: a page that is
freed while it waits comes to the list with the others, and is taken off it, and off the counters of
its group, behind that. Nobody else has the CPU as its batch is filled and emptied (``get_cpu_var``,
later ``local_lock``).
Left out: pages of another node, and a lock for each memory cgroup (all processes are in one); the
order in the lists, which reclaim looks at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from pmsim.kernel.memcg import PageCounters
from pmsim.kernel.preemption import preemption_off
from pmsim.units import CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

GUARDED: Final = 4
"""Cache lines that a page's coming or going writes to, besides its own: a list's head, the links of
the page that was first, and the sizes of the lists by zone and by generation (include/linux/
mm_inline.h, ``lruvec_add_folio``). *Estimate*, 2 to 6."""


class LruLists:
    """The lists of pages in use, and each CPU's batch of those that are to come to them.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._costs = context.costs
        self._operations = context.operations
        self._batch = context.profile.lru_batch
        self._counters = context.part(PageCounters)
        topology = context.machine.topology
        self._cpus_per_node = topology.cpus_per_package
        self._locks = [
            context.spinlock(f"the lru_lock of node {node}", guards=GUARDED)
            for node in range(topology.n_packages)
        ]
        self._waiting: defaultdict[CpuId, Pages] = defaultdict(int)
        self._freed: defaultdict[CpuId, Pages] = defaultdict(int)

    def add(self, task: Task, pages: Pages) -> Iterable[Any]:
        """Put pages into the CPU's batch, which is emptied each time that it is full."""
        if self._waiting[task.cpu] + pages >= self._batch:
            return self._fill(task, pages)
        self._waiting[task.cpu] += pages
        return ()

    @preemption_off
    def _fill(self, task: Task, pages: Pages) -> Steps:
        self._waiting[task.cpu] += pages
        while self._waiting[task.cpu] >= self._batch:
            yield from self._empty(task, self._batch)

    def drain(self, task: Task) -> Iterable[Any]:
        """Empty the CPU's batch: ``lru_add_drain``; nothing is locked where it is empty."""
        return self._drain(task) if self._waiting[task.cpu] else ()

    @preemption_off
    def _drain(self, task: Task) -> Steps:
        if self._waiting[task.cpu]:
            yield from self._empty(task, self._waiting[task.cpu])

    def remove(self, task: Task, pages: Pages) -> Steps:
        """Take pages that are freed off the lists, a batch at a time."""
        held = min(pages, self._waiting[task.cpu] - self._freed[task.cpu])
        self._freed[task.cpu] += held
        yield from self._remove(task, pages - held)

    def _empty(self, task: Task, pages: Pages) -> Steps:
        """Bring pages of the CPU's batch to the list, and free those that nobody else holds."""
        freed = min(pages, self._freed[task.cpu])
        self._waiting[task.cpu] -= pages
        self._freed[task.cpu] -= freed
        yield from self._locked(task, pages)
        yield from self._remove(task, freed)

    def _remove(self, task: Task, pages: Pages) -> Steps:
        while pages > 0:
            yield from self._locked(task, min(pages, self._batch))
            yield from self._counters.uncharge(task)
            pages -= self._batch

    def _locked(self, task: Task, pages: Pages) -> Steps:
        lock = self._locks[task.cpu // self._cpus_per_node]
        yield from self._operations.lock(task, lock)
        yield from self._operations.compute(task, pages * self._costs.lru_page)
        lock.unlock(task)
