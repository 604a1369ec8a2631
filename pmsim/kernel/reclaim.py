"""Reclaim: pages are taken from processes because memory is short.

Stands for ``shrink_page_list`` (mm/vmscan.c; ``shrink_folio_list`` since 6.0) with ``try_to_unmap``
(mm/rmap.c), and for who calls it: ``try_to_free_pages``, by which whoever allocates takes pages
itself (direct reclaim), and ``balance_pgdat``, which kswapd does for its node in the background
(both mm/vmscan.c), Linux 4.16 to 6.18. Pages are taken off their list 32 at a time. Where kernels
batch, their entries are cleared first and flushed together (Mel Gorman, 4.3): one call of all CPUs
that run any of the processes which the batch was taken from (arch/x86/mm/tlb.c,
``arch_tlbbatch_flush``). A dirty page is flushed before it is written, and with it all that waited.
That nobody has to be told of a page whose process is on the caller's CPU alone
(``arch_tlbbatch_should_defer``) spares direct reclaim what kswapd has to do: it is on another CPU.

Left out: pages that several processes map; huge pages; that a young page is spared; rounds over the
lists (kswapd stops with the first 32 pages that are enough); throttling of direct reclaim. Who is
in the mask is looked at, and the flush counted, as a batch is flushed, and not for each of its
pages as that is unmapped (``arch_tlbbatch_add_pending``): a CPU that takes up the process in
between is told in vain, and one that leaves it for another is not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pmsim.kernel.calls import call
from pmsim.kernel.lru import LruLists
from pmsim.kernel.tlbflush import Cause
from pmsim.kernel.user_calls import UserCalls
from pmsim.kernel.user_flush import UserFlushes
from pmsim.kernel.user_mm import UserMm, UserMms
from pmsim.kernel.watermarks import WATERMARK_SCALE_FACTOR, Node, Watermarks
from pmsim.units import Bytes, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

SWAP_CLUSTER_MAX: Final = 32
"""Pages that are taken off their list at a time, and that direct reclaim is content with
(include/linux/swap.h)."""


class Reclaim:
    """Taking pages from processes.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._machine = context.machine
        self._page_size = context.profile.geometry.page_size
        self._way = context.profile.reclaim_flush
        self._costs = context.costs
        self._operations = context.operations
        self._spaces = context.part(UserMms)
        self._flushes = context.part(UserFlushes)
        self._calls = context.part(UserCalls)
        self._lru = context.part(LruLists)
        self._nodes: dict[str, Node] = {}

    @call
    def node(self, name: str, memory: Bytes, scale: int = WATERMARK_SCALE_FACTOR) -> Node:
        """Return at once the node of a name, at first a new one that has just been balanced.

        Parameters
        ----------
        name
            Its name.
        memory
            How much it has.
        scale
            ``vm.watermark_scale_factor``.
        """
        if name not in self._nodes:
            self._nodes[name] = Node(
                self._machine, name, Watermarks.of(memory, self._page_size, scale)
            )
        return self._nodes[name]

    @call
    def touch_on(self, task: Task, node: Node, pages: Pages, *, dirty: Pages = 0) -> Steps:
        """Touch pages that are not there, each of which a node that is short of memory gives.

        Parameters
        ----------
        task
            Who touches.
        node
            Whose pages they are. Below its low mark kswapd is woken; from the least one on, the
            caller takes 32 pages from the node's processes itself before it gets one.
        pages
            How many.
        dirty
            As of `shrink_page_list`.
        """
        mm = self._spaces.current_mm(task)
        if mm not in node.spaces:
            node.spaces.append(mm)

        def get_page() -> Steps:
            if node.free <= node.marks.low:
                node.wake_kswapd()
            if node.free <= node.marks.least:
                yield from self._try_to_free_pages(task, node, dirty)
            node.free -= 1

        yield from self._calls.fault_in(task, pages, get_page)

    @call
    def kswapd(self, task: Task, node: Node, *, dirty: Pages = 0) -> Steps:
        """Balance a node each time that its memory gets short, without end.

        Parameters
        ----------
        task
            kswapd, a daemon.
        node
            Its node.
        dirty
            As of `shrink_page_list`.
        """
        while True:
            yield from node.wanted.wait(task)
            operation = self._operations.begin(task, "balance_pgdat")
            while node.free <= node.marks.high:
                yield from self._shrink(task, node.coldest(SWAP_CLUSTER_MAX), dirty)
                node.free += SWAP_CLUSTER_MAX
                operation.pages += SWAP_CLUSTER_MAX
            node.awake = False
            self._operations.end(operation)

    def _try_to_free_pages(self, task: Task, node: Node, dirty: Pages) -> Steps:
        operation = self._operations.begin(task, "try_to_free_pages", SWAP_CLUSTER_MAX)
        yield from self._shrink(task, node.coldest(SWAP_CLUSTER_MAX), dirty)
        node.free += SWAP_CLUSTER_MAX
        self._operations.end(operation)

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
            yield from self._shrink(task, {mm: min(SWAP_CLUSTER_MAX, pages - first)}, dirty)

    def _shrink(self, task: Task, taken: Mapping[UserMm, Pages], dirty: Pages) -> Steps:
        """Take one batch away, what is dirty first."""
        batch = sum(taken.values())
        operation = self._operations.begin(task, "shrink_page_list", batch)
        yield from self._lru.remove(task, batch)
        clean, written = dict(taken), min(dirty, batch)
        for mm in taken:
            while written and clean[mm]:
                yield from self._unmap(task, {mm: 1})
                clean[mm] -= 1
                written -= 1
        yield from self._unmap(task, {mm: pages for mm, pages in clean.items() if pages})
        self._operations.end(operation)

    def _unmap(self, task: Task, taken: Mapping[UserMm, Pages]) -> Steps:
        """Unmap pages, and flush them as this kernel does (``try_to_unmap``, its flush)."""
        work = self._costs.user_page_reclaim
        waiting: dict[UserMm, Pages] = {}
        for mm, pages in taken.items():
            if self._deferred(task, mm):
                yield from self._operations.compute(task, pages * work)
                waiting[mm] = pages
                continue
            for _ in range(pages):
                yield from self._operations.compute(task, work)
                yield from self._flushes.flush_tlb_mm_range(task, mm, 1, cause=Cause.RECLAIM)
        if waiting:
            one_by_one = self._way == "operations"
            yield from self._flushes.flush_batch(
                task, waiting, Cause.RECLAIM, one_by_one=one_by_one
            )

    def _deferred(self, task: Task, mm: UserMm) -> bool:
        """Return whether a flush is worth being put off (``arch_tlbbatch_should_defer``)."""
        if self._way == "page":
            return False
        return self._way == "operations" or self._spaces.runs_elsewhere(task, mm)
