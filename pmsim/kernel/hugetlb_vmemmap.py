"""Descriptors that huge pages do without.

Stands for ``hugetlb_vmemmap_optimize`` and ``_restore`` (mm/hugetlb_vmemmap.c; in 5.15
mm/sparse-vmemmap.c), Linux 5.15 to 6.18. A huge page of 2 MiB has 8 pages of descriptors
(``struct page``), almost all alike, so that the others can be mapped to the first. For that large
leaves of the array of descriptors are split, one for every 64 huge pages. Each remapping was a
flush up to 6.6, and is a batch of all that are allocated together since.

Left out: that the pages of descriptors are freed to the page allocator; grace periods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim.errors import ProgramError
from pmsim.kernel.calls import call
from pmsim.kernel.tlbflush import Cause
from pmsim.units import GIB, KIB, MIB, Bytes, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

HUGE_PAGES: Final = {
    4 * KIB: (2 * MIB, GIB),
    16 * KIB: (2 * MIB, 32 * MIB, GIB),
    64 * KIB: (2 * MIB, 512 * MIB, 16 * GIB),
}
"""Sizes of huge pages by that of pages (arch/arm64/mm/hugetlbpage.c, hugetlbpage_init: CONT_PTE,
PMD, CONT_PMD). Of 4 KiB those that all architectures have."""


class HugetlbVmemmap:
    """Trimming the descriptors of huge pages.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._geometry = context.profile.geometry
        self._leaf = self._geometry.descriptor_leaf
        self._way = context.profile.vmemmap_trim
        self._kept = context.profile.vmemmap_kept
        # Pages of descriptors that lie in leaves which were split, and those of trimmed pages.
        self._split: Pages = 0
        self._trimmed: Pages = 0
        self._costs = context.costs
        self._operations = context.operations
        self._tlbflush = context.tlbflush

    @call
    def hugetlb_vmemmap_optimize(self, task: Task, huge_pages: int, size: int = 2 * MIB) -> Steps:
        """Trim the descriptors of huge pages as they are allocated.

        Nothing is done where they fill no more pages than are kept (``vmemmap_can_optimize``).

        Parameters
        ----------
        task
            Who allocates them.
        huge_pages
            How many at a time.
        size
            Bytes of each: one of `HUGE_PAGES`.

        Raises
        ------
        ProgramError
            If this kernel cannot, or has no huge pages of this size.
        """
        each = self._descriptors(task, "hugetlb_vmemmap_optimize", size)
        if each <= self._kept:
            return
        operation = self._operations.begin(task, "hugetlb_vmemmap_optimize", huge_pages * each)
        if self._way == "batch":
            yield from self._split_leaves(task, huge_pages * each, flush=False)
            yield from self._tlbflush.flush_tlb_all(task, Cause.VMEMMAP)
            yield from self._remap(task, huge_pages * (each - self._kept))
            yield from self._tlbflush.flush_tlb_all(task, Cause.VMEMMAP)
        else:
            for _ in range(huge_pages):
                yield from self._split_leaves(task, each, flush=True)
                yield from self._remap_one(task, each - self._kept)
        self._operations.end(operation)

    @call
    def hugetlb_vmemmap_restore(self, task: Task, huge_pages: int, size: int = 2 * MIB) -> Steps:
        """Give huge pages all of their descriptors back before they are freed.

        See `hugetlb_vmemmap_optimize`.
        """
        each = self._descriptors(task, "hugetlb_vmemmap_restore", size)
        if each <= self._kept:
            return
        self._trimmed -= huge_pages * each
        operation = self._operations.begin(task, "hugetlb_vmemmap_restore", huge_pages * each)
        if self._way == "batch":
            yield from self._remap(task, huge_pages * (each - self._kept))
            yield from self._tlbflush.flush_tlb_all(task, Cause.VMEMMAP)
        else:
            for _ in range(huge_pages):
                yield from self._remap_one(task, each - self._kept)
        self._operations.end(operation)

    def _split_leaves(self, task: Task, pages: Pages, *, flush: bool) -> Steps:
        """Split the large leaves in which the next descriptors lie; once split they stay so.

        Huge pages are taken to follow each other in memory, those that were freed first.
        """
        self._trimmed += pages
        while self._leaf > 1 and self._split < self._trimmed:
            self._split += self._leaf
            yield from self._operations.compute(task, self._costs.split)
            if flush:
                yield from self._tlbflush.flush_pages(task, self._leaf, Cause.SPLIT)

    def _remap_one(self, task: Task, pages: Pages) -> Steps:
        """Remap what a huge page can do without, by itself."""
        yield from self._remap(task, pages)
        yield from self._tlbflush.flush_pages(task, pages, Cause.VMEMMAP)

    def _remap(self, task: Task, pages: Pages) -> Steps:
        yield from self._operations.compute(task, pages * self._costs.vmemmap_page)

    def _descriptors(self, task: Task, what: str, size: Bytes) -> Pages:
        """Return the pages of descriptors of a huge page, which may be none."""
        if self._way == "none":
            raise ProgramError(f"{what}: this kernel cannot", task.now, task.place)
        if size not in HUGE_PAGES[self._geometry.page_size]:
            raise ProgramError(f"{what} of {size} bytes: no huge page", task.now, task.place)
        return self._geometry.descriptor_pages(size)
