"""The direct map: all of physical memory at one place, in leaves that split when they must.

Stands for the kernel's linear mapping at ``page_offset`` and for the part of
arch/x86/mm/pat/set_memory.c (Linux 6.1) that changes and splits it (``__change_page_attr``,
``__split_large_page``, ``set_direct_map_*_noflush``). Left out: the alias of the kernel image, and
merging leaves again, which 6.1 does not do.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Final

from pmsim.hardware.locks import Spinlock
from pmsim.kernel.entries import ENTRIES, PAGE_KERNEL, PRESENT, RW, Leaf, Run
from pmsim.kernel.pagetable import PageTable
from pmsim.kernel.tlbflush import Cause, TlbFlush
from pmsim.units import PAGE_SIZE, Pages

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.profile import KernelProfile

TABLE_SPAN: Final = ENTRIES * PAGE_SIZE
"""Bytes that a table of the lowest level translates."""


class DirectMap:
    """The direct map of a kernel.

    Parameters
    ----------
    machine, profile, costs
        What it runs on, where it lies and how large its leaves are at the start, what work costs.
    pagetable
        The page table that it is a part of.
    tlbflush, operations
        How splits are made known, and where time is charged.

    Attributes
    ----------
    start, end
        Its first address, and the one after its last.
    cpa_lock
        Spinlock around every change of an entry. It is held while a leaf is split, so all who
        change attributes wait for the split's broadcast.
    """

    def __init__(
        self,
        machine: Machine,
        profile: KernelProfile,
        costs: KernelCosts,
        pagetable: PageTable,
        tlbflush: TlbFlush,
        operations: OperationLog,
    ) -> None:
        self.start = profile.direct_map_start
        self.end = self.start + profile.memory
        self.cpa_lock = Spinlock(machine, "cpa_lock")
        self._pgd_lock = Spinlock(machine, "pgd_lock")
        self._costs = costs
        self._pagetable = pagetable
        self._tlbflush = tlbflush
        self._operations = operations
        pages, level = profile.memory // PAGE_SIZE, profile.direct_map_level
        pagetable.map_linear(self.start, pages, 0, level, PAGE_KERNEL)

    def contains(self, address: int) -> bool:
        """Return whether an address lies in the direct map."""
        return self.start <= address < self.end

    def address(self, pfn: int) -> int:
        """Return where a page frame is mapped."""
        return self.start + pfn * PAGE_SIZE

    def change_pages(self, task: Task, run: Run, set_bits: int, clear_bits: int) -> Steps:
        """Change bits of frames one page at a time; every large leaf that must change is split."""
        address, pages = self.address(run[0]), run[1]
        yield from self._operations.lock(task, self.cpa_lock)
        yield from self._operations.compute(task, pages * self._costs.set_memory_page)
        while leaf := self._first_to_split(address, pages, 1, set_bits, clear_bits):
            yield from self._split(task, leaf)
        self._pagetable.protect(address, pages, set_bits, clear_bits)
        self.cpa_lock.unlock(task)

    def change_range(
        self, task: Task, address: int, pages: Pages, set_bits: int, clear_bits: int
    ) -> Generator[Any, Any, int]:
        """Change bits of a mapped range, of the direct map's own addresses or of any others.

        A large leaf that lies wholly in the range is changed as one; others that must change are
        split. The kernel takes and releases the lock for each page, here it is held for all.

        Returns
        -------
        int
            How many entries changed.
        """
        yield from self._operations.lock(task, self.cpa_lock)
        yield from self._operations.compute(task, pages * self._costs.set_memory_page)
        while leaf := self._first_to_split(address, pages, pages, set_bits, clear_bits):
            yield from self._split(task, leaf)
        changed = self._pagetable.protect(address, pages, set_bits, clear_bits)
        self.cpa_lock.unlock(task)
        return changed

    def set_invalid_noflush(self, task: Task, runs: Iterable[Run]) -> Steps:
        """Make frames inaccessible: ``set_direct_map_invalid_noflush`` for each page."""
        return self._change_all(task, runs, 0, PRESENT | RW)

    def set_default_noflush(self, task: Task, runs: Iterable[Run]) -> Steps:
        """Make frames accessible and writable: ``set_direct_map_default_noflush``."""
        return self._change_all(task, runs, PRESENT | RW, 0)

    def _change_all(self, task: Task, runs: Iterable[Run], set_bits: int, clear_bits: int) -> Steps:
        for run in runs:
            yield from self.change_pages(task, run, set_bits, clear_bits)

    def _first_to_split(
        self, address: int, pages: Pages, at_once: Pages, set_bits: int, clear_bits: int
    ) -> Leaf | None:
        """Return the first large leaf that a change, ``at_once`` pages at a time, would break."""
        page, end = address, address + pages * PAGE_SIZE
        while page < end:
            leaf = self._pagetable.walk(page)
            if leaf is None or leaf.level == 1:
                page = (page // TABLE_SPAN + 1) * TABLE_SPAN
                continue
            leaf_end = leaf.address + leaf.pages * PAGE_SIZE
            covered = leaf.pages <= at_once and address <= leaf.address and leaf_end <= end
            if not covered and (leaf.entry | set_bits) & ~clear_bits != leaf.entry:
                return leaf
            page = leaf_end
        return None

    def _split(self, task: Task, leaf: Leaf) -> Steps:
        """Split a large leaf (``split_large_page``); cpa_lock is held before and after.

        It is let go while memory for the new table is allocated, so that somebody else may have
        split the leaf meanwhile. Both locks are held across the broadcast.
        """
        self.cpa_lock.unlock(task)
        yield from self._operations.compute(task, self._costs.alloc_pages)
        yield from self._operations.lock(task, self.cpa_lock)
        yield from self._operations.lock(task, self._pgd_lock)
        if self._pagetable.walk(leaf.address) == leaf:
            yield from self._operations.compute(task, self._costs.split)
            self._pagetable.split(leaf.address)
            yield from self._tlbflush.flush_tlb_all(task, Cause.SPLIT)
        self._pgd_lock.unlock(task)
