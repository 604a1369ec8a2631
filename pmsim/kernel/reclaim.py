"""Reclaim: pages are taken from a process because memory is short.

Stands for ``shrink_page_list`` (mm/vmscan.c; ``shrink_folio_list`` since 6.0) with ``try_to_unmap``
(mm/rmap.c), Linux 4.16 to 6.18. Pages are taken off their list 32 at a time. Where kernels batch,
their entries are cleared first and flushed together (Mel Gorman, 4.3); a dirty page is flushed
before it is written, and with it all that waited.

Left out: pages that several processes map; huge pages; that a young page is spared; who decides how
many pages are taken, and kswapd, whose CPU runs no process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim.kernel.calls import call
from pmsim.kernel.lru import LruLists
from pmsim.kernel.tlbflush import Cause
from pmsim.kernel.user_mm import EVERYTHING, UserMm, UserMms
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

SWAP_CLUSTER_MAX: Final = 32
"""Pages that are taken off their list at a time (include/linux/swap.h)."""


class Reclaim:
    """Taking pages from processes.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._way = context.profile.reclaim_flush
        self._costs = context.costs
        self._operations = context.operations
        self._spaces = context.part(UserMms)
        self._lru = context.part(LruLists)

    @call
    def shrink_page_list(self, task: Task, pages: Pages, *, dirty: Pages = 0) -> Steps:
        """Take pages from the caller's process, 32 at a time.

        Parameters
        ----------
        task
            Who finds no free page, and takes some by itself (direct reclaim).
        pages
            How many.
        dirty
            How many of each 32 are written to the swap or a file first, at most all of them.
        """
        mm = self._spaces.current_mm(task)
        yield from self._spaces.resume(task)
        for first in range(0, pages, SWAP_CLUSTER_MAX):
            batch = min(SWAP_CLUSTER_MAX, pages - first)
            operation = self._operations.begin(task, "shrink_page_list", batch)
            yield from self._lru.remove(task, batch)
            written = min(dirty, batch)
            for _ in range(written):
                yield from self._unmap(task, mm, 1)
            yield from self._unmap(task, mm, batch - written)
            self._operations.end(operation)

    def _unmap(self, task: Task, mm: UserMm, pages: Pages) -> Steps:
        """Unmap pages, and flush them as this kernel does (``try_to_unmap``, its flush)."""
        if not pages:
            return
        work = self._costs.user_page_reclaim
        if self._way == "page" or not self._deferred(task, mm):
            for _ in range(pages):
                yield from self._operations.compute(task, work)
                yield from self._spaces.flush_tlb_mm_range(task, mm, 1, cause=Cause.RECLAIM)
            return
        yield from self._operations.compute(task, pages * work)
        if self._way == "operations":
            yield from self._spaces.flush_one_by_one(task, mm, pages, Cause.RECLAIM)
        else:
            yield from self._spaces.flush_tlb_mm_range(task, mm, EVERYTHING, cause=Cause.RECLAIM)

    def _deferred(self, task: Task, mm: UserMm) -> bool:
        """Return whether a flush is worth being put off (``arch_tlbbatch_should_defer``)."""
        return self._way == "operations" or self._spaces.runs_elsewhere(task, mm)
