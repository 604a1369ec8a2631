"""System calls and faults that change the mappings of a process, and what each of them costs.

Stands for ``mmap``, ``mprotect``, ``munmap`` and ``madvise(MADV_DONTNEED)`` (mm/mmap.c,
mm/mprotect.c, mm/madvise.c, mm/memory.c) and for the first touch of a page. They cost different
things. ``mprotect`` splits and merges mappings and changes entries; ``munmap`` takes a mapping
away, clears entries, flushes, and then frees pages, and page tables where nothing else needs them;
``madvise`` does that too, but leaves the mapping and its tables. Who has to be told is
`pmsim.kernel.user_mm`'s business.

Left out: what kind of mapping it is (all are private and anonymous, and those of a process are
one), huge pages, batches of pages larger than what one flush covers, and locks of page tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pmsim.errors import ProgramError
from pmsim.kernel.calls import call
from pmsim.kernel.lazy_frees import LazyFrees
from pmsim.kernel.lru import LruLists
from pmsim.kernel.memcg import PageCounters
from pmsim.kernel.user_flush import UserFlushes
from pmsim.kernel.user_mm import UserMm, UserMms
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.operations import Lock, Operation
    from pmsim.steps import Steps


class UserCalls:
    """The calls of a process on its own mappings.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._profile = context.profile
        self._costs = context.costs
        self._operations = context.operations
        self._safety = context.safety
        self._spaces = context.part(UserMms)
        self._flushes = context.part(UserFlushes)
        self._lru = context.part(LruLists)
        self._counters = context.part(PageCounters)
        self._frees = context.part(LazyFrees)

    @call
    def mmap(self, task: Task, pages: Pages) -> Steps:
        """Map ``pages`` pages of the caller's process, none of which is there yet: no flush."""
        operation, mm = self._begin(task, "mmap", pages)
        yield from self._operations.lock(task, mm.mmap_lock)
        yield from self._operations.compute(task, self._costs.user_mmap)
        self._end(operation, mm.mmap_lock)

    @call
    def touch(self, task: Task, pages: Pages) -> Steps:
        """Write to ``pages`` pages that are mapped and not there: a fault for each, one by one."""
        return self.fault_in(task, pages, lambda: ())

    def fault_in(self, task: Task, pages: Pages, get_page: Callable[[], Iterable[Any]]) -> Steps:
        """Do the same, with what it takes to get each page."""
        operation, mm = self._begin(task, "page_fault", pages)
        each = self._costs.user_fault + self._costs.user_page_zero
        for _ in range(pages):
            yield from self._spaces.hold_to_fault(task, mm)
            yield from get_page()
            yield from self._operations.compute(task, each)
            yield from self._counters.charge(task, 1)
            yield from self._lru.add(task, 1)
            yield from self._spaces.let_go_of_fault(task, mm)
        self._operations.end(operation)

    @call
    def read(self, task: Task, pages: Pages) -> Steps:
        """Read ``pages`` pages that are not there: a fault for each, which maps the page of zeros.

        Nothing is allocated (mm/memory.c, ``do_anonymous_page``): a write faults again, and what
        unmaps them frees nothing.
        """
        operation, mm = self._begin(task, "read_fault", pages)
        for _ in range(pages):
            yield from self._spaces.hold_to_fault(task, mm)
            yield from self._operations.compute(task, self._costs.user_read_fault)
            yield from self._spaces.let_go_of_fault(task, mm)
        self._operations.end(operation)

    @call
    def mprotect(self, task: Task, pages: Pages, *, opens: bool = False) -> Steps:
        """Change the protection of ``pages`` pages of the caller's process: one flush.

        Parameters
        ----------
        task
            Who calls.
        pages
            How many are mapped there.
        opens
            Whether nobody might access them before (``PROT_NONE``): no TLB has translations of
            them, and kernels that look at the entries (``pte_needs_flush``) flush nothing.
        """
        operation, mm = self._begin(task, "mprotect", pages)
        yield from self._spaces.resume(task)
        yield from self._operations.lock(task, mm.mmap_lock)
        each = self._costs.user_mapping_page
        if self._profile.mprotect_batches:
            each += self._costs.user_mprotect_batch
        work = self._costs.user_mprotect + pages * each
        yield from self._operations.compute(task, work)
        if not (opens and self._profile.mprotect_opens_quietly):
            change = self._safety.processes.changed(mm)
            yield from self._flushes.flush(task, mm, pages)
            self._safety.processes.relied_on(task, mm, change, pages, freed=False)
        self._end(operation, mm.mmap_lock)

    @call
    def munmap(
        self, task: Task, pages: Pages, *, frees_tables: bool = False, of_zeros: bool = False
    ) -> Steps:
        """Unmap ``pages`` pages of the caller's process: one flush, or two where tables go too.

        Parameters
        ----------
        task
            Who calls.
        pages
            How many are mapped there.
        frees_tables
            Whether page tables go with them, because nothing else is mapped in the ranges that they
            cover. CPUs may walk those while they borrow the address space, so that lazy ones have
            to be told too; they give it up.
        of_zeros
            Whether all of them are the page of zeros, as pages that were only read.
        """
        operation, mm = self._begin(task, "munmap", pages)
        yield from self._spaces.resume(task)
        yield from self._operations.lock(task, mm.mmap_lock)
        yield from self._operations.compute(task, self._costs.user_munmap)
        if self._profile.munmap_downgrades:
            mm.mmap_lock.downgrade(task)
        freed = 0 if of_zeros else pages
        yield from self._zap(task, mm, pages, freed, frees_tables=frees_tables)
        if frees_tables:
            tables = -(-pages // self._profile.geometry.entries)
            yield from self._operations.compute(task, tables * self._costs.alloc_pages)
        self._end(operation, mm.mmap_lock.read if self._profile.munmap_downgrades else mm.mmap_lock)

    @call
    def madvise_dontneed(self, task: Task, pages: Pages) -> Steps:
        """Give the memory of ``pages`` pages back, but not their addresses: one flush."""
        operation, mm = self._begin(task, "madvise", pages)
        yield from self._spaces.resume(task)
        by_vma = self._profile.vma_locks == "faults_and_madvise"
        yield from self._spaces.hold(task, mm, by_vma=by_vma)
        yield from self._operations.compute(task, self._costs.user_madvise)
        yield from self._zap(task, mm, pages, pages, frees_tables=False)
        yield from self._spaces.let_go(task, mm, by_vma=by_vma)
        self._operations.end(operation)

    def _zap(
        self, task: Task, mm: UserMm, pages: Pages, freed: Pages, *, frees_tables: bool
    ) -> Steps:
        """Clear entries, flush, and only then free the pages (``tlb_finish_mmu``)."""
        if self._profile.zap_drains_lru:
            yield from self._lru.drain(task)
        mm.zaps += 1
        yield from self._operations.fetch(task, mm.pending)
        yield from self._operations.compute(task, pages * self._costs.user_mapping_page)
        change = self._safety.processes.changed(mm)
        waits = yield from self._flushes.flush_freed(
            task, mm, pages, freed, frees_tables=frees_tables
        )
        if freed and waits:
            self._frees.free_later(task, freed)
        elif freed:
            self._safety.processes.relied_on(task, mm, change, pages, freed=True)
            yield from self._frees.free(task, freed)
        mm.zaps -= 1

    def _begin(self, task: Task, kind: str, pages: Pages) -> tuple[Operation, UserMm]:
        mm = self._spaces.of(task)
        if not isinstance(mm, UserMm):
            raise ProgramError(f"{kind} by a task of no process", task.now, task.place)
        return self._operations.begin(task, kind, pages), mm

    def _end(self, operation: Operation, lock: Lock) -> None:
        lock.unlock(operation.task)
        self._operations.end(operation)
