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
from pmsim.units import MIB, PAGE_SIZE, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

DESCRIPTOR: Final = 64
"""Bytes of a ``struct page``."""

LEAF_PAGES: Final = 512
"""Pages of a large leaf of the array of descriptors."""


class HugetlbVmemmap:
    """Trimming the descriptors of huge pages.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
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

        Parameters
        ----------
        task
            Who allocates them.
        huge_pages
            How many at a time.
        size
            Bytes of each: 2 MiB or 1 GiB.

        Raises
        ------
        ProgramError
            If this kernel cannot.
        """
        self._refuse(task, "hugetlb_vmemmap_optimize")
        each = size // PAGE_SIZE * DESCRIPTOR // PAGE_SIZE
        operation = self._operations.begin(task, "hugetlb_vmemmap_optimize", huge_pages * each)
        if self._way == "batch":
            yield from self._split_leaves(task, huge_pages * each, flush=False)
            yield from self._tlbflush.flush_tlb_all(task, Cause.VMEMMAP)
            yield from self._remap(task, huge_pages * (each - self._kept))
            yield from self._tlbflush.flush_tlb_all(task, Cause.VMEMMAP)
        else:
            for _ in range(huge_pages):
                yield from self._split_leaves(task, each, flush=True)
                yield from self._remap(task, each - self._kept)
                yield from self._tlbflush.flush_pages(task, each - self._kept, Cause.VMEMMAP)
        self._operations.end(operation)

    @call
    def hugetlb_vmemmap_restore(self, task: Task, huge_pages: int, size: int = 2 * MIB) -> Steps:
        """Give huge pages all of their descriptors back before they are freed.

        See `hugetlb_vmemmap_optimize`.
        """
        self._refuse(task, "hugetlb_vmemmap_restore")
        each = size // PAGE_SIZE * DESCRIPTOR // PAGE_SIZE
        self._trimmed -= huge_pages * each
        operation = self._operations.begin(task, "hugetlb_vmemmap_restore", huge_pages * each)
        if self._way == "batch":
            yield from self._remap(task, huge_pages * (each - self._kept))
            yield from self._tlbflush.flush_tlb_all(task, Cause.VMEMMAP)
        else:
            for _ in range(huge_pages):
                yield from self._remap(task, each - self._kept)
                yield from self._tlbflush.flush_pages(task, each - self._kept, Cause.VMEMMAP)
        self._operations.end(operation)

    def _split_leaves(self, task: Task, pages: Pages, *, flush: bool) -> Steps:
        """Split the large leaves in which the next descriptors lie; once split they stay so.

        Huge pages are taken to follow each other in memory, those that were freed first.
        """
        self._trimmed += pages
        while self._split < self._trimmed:
            self._split += LEAF_PAGES
            yield from self._operations.compute(task, self._costs.split)
            if flush:
                yield from self._tlbflush.flush_pages(task, LEAF_PAGES, Cause.SPLIT)

    def _remap(self, task: Task, pages: Pages) -> Steps:
        yield from self._operations.compute(task, pages * self._costs.vmemmap_page)

    def _refuse(self, task: Task, what: str) -> None:
        if self._way == "none":
            raise ProgramError(f"{what}: this kernel cannot", task.now, task.place)
