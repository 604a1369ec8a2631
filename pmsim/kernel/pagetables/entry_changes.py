"""How entries of the page table are changed: under which lock, and what becomes of large leaves.

An architecture changes entries one at a time. A large leaf that lies wholly in what is changed may
change as one; another one has to be split, or, where the kernel knows no better, changes as a whole
all the same.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.pagetables.barriers import PteBarriers
from pmsim.kernel.pagetables.entries import Change, Leaf
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.kernel.pagetables.pagetable import PageTable
from pmsim.kernel.tlbflush import Cause
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

Changed = Generator[Any, Any, int]
"""Takes simulated time; returns how many entries changed."""


class Span(NamedTuple):
    """Pages whose entries change alike.

    Attributes
    ----------
    address, pages
        The first one's address, and how many there are.
    at_once
        Pages that are changed in one go: larger leaves are not left whole.
    """

    address: int
    pages: Pages
    at_once: Pages


class EntryChanges(Protocol):
    """Changes entries."""

    def change(self, task: Task, spans: Sequence[Span], change: Change) -> Changed:
        """Change the mapped pages of some spans; return how many entries of the first changed."""


class ChangePageAttr:
    """x86: under a spinlock; the flush for a split comes before anything else is changed.

    Stands for ``__change_page_attr`` and ``__split_large_page`` (arch/x86/mm/pageattr.c, 4.16;
    arch/x86/mm/pat/set_memory.c, later). The kernel takes and releases the lock for each page, here
    it is held for a span. Left out: copying a split into the top-level tables of all address spaces
    on x86-32 without PAE, which takes time and tells nobody.

    Parameters
    ----------
    context
        What it stands on.

    Attributes
    ----------
    cpa_lock
        Around every change of an entry. It is held while a leaf is split, so all who change
        attributes wait for the flush of the split.
    pgd_lock
        Around every change of the tables themselves.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self.cpa_lock = context.spinlock("cpa_lock", guards=0)
        self.pgd_lock = context.spinlock("pgd_lock", guards=0)
        self._both_held = context.profile.split_under == "cpa_and_pgd_lock"
        self._others_join = context.profile.cpa_collapse
        self._local_flush = context.machine.costs.tlb.flush_all
        self._costs = context.costs
        self._tlbflush = context.tlbflush
        self._operations = context.operations
        self._safety = context.safety
        self._touched = context.touched
        self._pagetable = context.part(kernel_page_table)

    def change(self, task: Task, spans: Sequence[Span], change: Change) -> Changed:
        """Change spans one after the other, splitting what must be; see `EntryChanges`."""
        counts = []
        for span in spans:
            yield from self._operations.lock(task, self.cpa_lock)
            yield from self._split_all(task, span, change)
            entries = self._pagetable.leaves(span.address, span.pages)
            yield from self._operations.compute(task, entries * self._costs.set_memory_page)
            if self._others_join:  # who joins leaves again does not hold cpa_lock
                yield from self._split_all(task, span, change)
            before = self._pagetable.stale.generation
            counts.append(self._pagetable.protect(span.address, span.pages, *change))
            self._touched.entries_changed(span.address, span.pages)
            self._safety.revoked(task, span.address, span.pages, before)
            self.cpa_lock.unlock(task)
        return counts[0] if counts else 0

    def collapse(self, task: Task, address: int, pages: Pages) -> Steps:
        """Join what became uniform again to large leaves: ``cpa_collapse_large_pages`` (6.18).

        Each large leaf that the range touches is checked as a whole; one flush serves all.
        """
        large = self._pagetable.geometry.span(2) * self._page_size
        yield from self._operations.lock(task, self.pgd_lock)
        found = range(address // large * large, address + pages * self._page_size, large)
        joined = sum(self._pagetable.collapse(at) for at in found)
        yield from self._operations.compute(task, joined * self._costs.split)
        self.pgd_lock.unlock(task)
        if joined:
            self._safety.table_unlinked(task)
            yield from self._tlbflush.flush_tlb_all(task, Cause.COLLAPSE, frees_tables=True)
            self._safety.table_freed(task, address, pages)

    def _split_all(self, task: Task, span: Span, change: Change) -> Steps:
        while leaf := first_to_split(self._pagetable, span, change):
            yield from self._split(task, leaf)

    def _split(self, task: Task, leaf: Leaf) -> Steps:
        """Split a large leaf (``split_large_page``); cpa_lock is held before and after.

        It is let go while memory for the new table is allocated, so that somebody else may have
        split the leaf meanwhile.
        """
        self.cpa_lock.unlock(task)
        yield from self._operations.compute(task, self._costs.alloc_pages)
        yield from self._operations.lock(task, self.cpa_lock)
        yield from self._operations.lock(task, self.pgd_lock)
        mine = self._pagetable.walk(leaf.address) == leaf
        if mine:
            yield from self._operations.compute(task, self._costs.split)
            self._pagetable.split(leaf.address)
        if self._both_held:
            yield from self._broadcast_holding_both(task, mine)
        else:
            yield from self._broadcast_holding_one(task, mine)

    def _broadcast_holding_both(self, task: Task, mine: bool) -> Steps:
        """Tell the others inside ``__split_large_page`` (5.4 and later)."""
        if mine:
            yield from self._tlbflush.flush_tlb_all(task, Cause.SPLIT)
        self.pgd_lock.unlock(task)

    def _broadcast_holding_one(self, task: Task, mine: bool) -> Steps:
        """Flush this CPU, then tell the others in the caller (4.16).

        The caller does so whoever split the leaf.
        """
        if mine:
            yield from self._operations.compute(task, self._local_flush)
        self.pgd_lock.unlock(task)
        yield from self._tlbflush.flush_tlb_all(task, Cause.SPLIT)


class QuietChanges:
    """Arm and RISC-V: large leaves are split, and nobody is told of it by itself.

    Stands for ``apply_to_page_range`` and ``split_kernel_leaf_mapping`` (arm64; most of its direct
    maps have no large leaves), and for ``split_linear_mapping`` and ``walk_page_range_novma``
    (RISC-V), whose caller flushes in the end.

    Parameters
    ----------
    context
        What it stands on.
    lock
        Held for all spans of a call: the lock of ``init_mm`` on RISC-V, none on Arm.
    split_lock
        Held while leaves are split, where there is no other: ``pgtable_split_lock`` of arm64.
    """

    def __init__(
        self,
        context: KernelContext,
        lock: KernelMutex | None = None,
        split_lock: KernelMutex | None = None,
    ) -> None:
        self._page_size = context.profile.page_size
        self._costs = context.costs
        self._operations = context.operations
        self._safety = context.safety
        self._touched = context.touched
        self._pagetable = context.part(kernel_page_table)
        self._barriers = context.part(PteBarriers)
        self._lock = lock
        self._split_lock = split_lock

    def change(self, task: Task, spans: Sequence[Span], change: Change) -> Changed:
        """Change spans, splitting what must be; see `EntryChanges`."""
        if self._lock is not None:
            yield from self._operations.lock(task, self._lock)
        counts = []
        for span in spans:
            if first_to_split(self._pagetable, span, change):
                yield from self._split(task, span, change)
            entries = self._pagetable.leaves(span.address, span.pages)
            work = entries * self._costs.set_memory_page + self._barriers.time(entries)
            yield from self._operations.compute(task, work)
            before = self._pagetable.stale.generation
            counts.append(self._pagetable.protect(span.address, span.pages, *change))
            self._touched.entries_changed(span.address, span.pages)
            self._safety.revoked(task, span.address, span.pages, before)
        if self._lock is not None:
            self._lock.unlock(task)
        return counts[0] if counts else 0

    def _split(self, task: Task, span: Span, change: Change) -> Steps:
        """Split what must be, unless somebody else has done so meanwhile."""
        if self._split_lock is not None:
            yield from self._operations.lock(task, self._split_lock)
        while leaf := first_to_split(self._pagetable, span, change):
            yield from self._operations.compute(task, self._costs.split)
            self._pagetable.split(leaf.address)
        if self._split_lock is not None:
            self._split_lock.unlock(task)


def whole_leaves(pagetable: PageTable, span: Span) -> Span:
    """Return a span widened to all of the leaves that it touches."""
    page_size = pagetable.geometry.page_size
    start, end = span.address, span.address + span.pages * page_size
    if start < end:
        first, last = pagetable.walk(start), pagetable.walk(end - page_size)
        start = first.address if first else start
        end = last.address + last.pages * page_size if last else end
    pages = (end - start) // page_size
    return Span(start, pages, pages)


def first_to_split(pagetable: PageTable, span: Span, change: Change) -> Leaf | None:
    """Return the first large leaf that a change of a span would break, None if there is none."""
    page_size = pagetable.geometry.page_size
    page, end = span.address, span.address + span.pages * page_size
    table = pagetable.geometry.span(2) * page_size
    while page < end:
        leaf = pagetable.walk(page)
        if leaf is None or leaf.level == 1:
            page = (page // table + 1) * table
            continue
        leaf_end = leaf.address + leaf.pages * page_size
        covered = leaf.pages <= span.at_once and span.address <= leaf.address and leaf_end <= end
        if not covered and change.of(leaf.entry) != leaf.entry:
            return leaf
        page = leaf_end
    return None


def entry_changes(context: KernelContext) -> EntryChanges:
    """Return how a kernel changes entries, by its architecture."""
    match context.profile.set_memory:
        case "x86":
            return context.part(ChangePageAttr)
        case "riscv":
            lock = KernelMutex(context.machine, "init_mm.mmap_lock", guards=0)
            return QuietChanges(context, lock)
        case _:
            lock = KernelMutex(context.machine, "pgtable_split_lock", guards=0)
            return QuietChanges(context, split_lock=lock)
