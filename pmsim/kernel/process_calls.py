"""Processes that fork, run other programs and end: how much of that other CPUs hear.

Stands for ``dup_mmap`` (kernel/fork.c; in 6.18 mm/mmap.c), ``exec_mmap`` (fs/exec.c), ``exit_mm``
(kernel/exit.c) with ``exit_mmap`` (mm/mmap.c), and ``wp_page_copy`` (mm/memory.c), Linux 4.16 to
6.18. A fork write-protects what it copies, so that every CPU that runs the process is told, once;
then each page that is written to while both share it is copied, which is a flush of a page. An
address space that ends is flushed once, when its last user goes: nobody runs it any more, but CPUs
may still borrow it, and its tables are freed.

Left out: mappings that are not copied, or copied eagerly; more than one flush for an address space
of more than some ten thousand pages; a page that is written to when the other process has gone,
which is no flush on x86.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pmsim.kernel.calls import call
from pmsim.kernel.lru import LruLists
from pmsim.kernel.memcg import PageCounters
from pmsim.kernel.user_mm import UserMm, UserMms
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class ProcessCalls:
    """The calls that make processes and end them.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._costs = context.costs
        self._operations = context.operations
        self._safety = context.safety
        self._spaces = context.part(UserMms)
        self._lru = context.part(LruLists)
        self._counters = context.part(PageCounters)

    @call
    def fork(self, task: Task, pages: Pages) -> Generator[Any, Any, UserMm]:
        """Copy the address space of the caller's process: one flush, lazy CPUs included.

        Parameters
        ----------
        task
            Who calls.
        pages
            How many are there and are private: so many entries are copied.

        Returns
        -------
        UserMm
            That of the child, which no CPU has run: its first thread is who uses it next.
        """
        mm = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "fork", pages)
        yield from self._spaces.resume(task)
        yield from self._operations.compute(task, self._costs.user_fork)
        yield from self._operations.lock(task, mm.mmap_lock)
        yield from self._operations.compute(task, pages * self._costs.user_fork_page)
        change = self._safety.space_changed(mm)
        yield from self._spaces.flush_tlb_mm(task, mm)
        self._safety.space_relied_on(task, mm, change, pages, freed=False)
        mm.mmap_lock.unlock(task)
        self._operations.end(operation)
        return self._spaces.create()

    @call
    def vfork(self, task: Task) -> Generator[Any, Any, UserMm]:
        """Run another program in a child that shares the address space until then: no flush.

        Stands for ``vfork`` and ``execve``, as ``posix_spawn`` calls them.

        Returns
        -------
        UserMm
            The address space of the program.
        """
        operation = self._operations.begin(task, "vfork")
        yield from self._operations.compute(task, self._costs.user_fork + self._costs.user_exec)
        self._operations.end(operation)
        return self._spaces.create()

    @call
    def wp_page_copy(self, task: Task, pages: Pages) -> Steps:
        """Write to ``pages`` pages that a child shares: a fault, a copy and a flush for each."""
        mm = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "wp_page_copy", pages)
        each = self._costs.user_fault + self._costs.user_page_copy
        for _ in range(pages):
            yield from self._spaces.hold_to_fault(task, mm)
            yield from self._operations.compute(task, each)
            yield from self._counters.charge(task, 1)
            change = self._safety.space_changed(mm)
            yield from self._spaces.flush_tlb_mm_range(task, mm, 1, frees_tables=False)
            self._safety.space_relied_on(task, mm, change, 1, freed=False)
            yield from self._lru.add(task, 1)
            yield from self._spaces.let_go_of_fault(task, mm)
        self._operations.end(operation)

    @call
    def execve(self, task: Task, pages: Pages = 0, *, shared: bool = False) -> Steps:
        """Run another program: a new address space; the one before ends if nobody else uses it.

        Parameters
        ----------
        task
            Who calls.
        pages
            How many of the one before go if it ends.
        shared
            Whether they are the parent's, too, as those of a child that was forked: then only
            entries and counts of them go, which takes as long as it took to copy them.
        """
        before = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "execve", pages)
        yield from self._operations.compute(task, self._costs.user_exec)
        last = self._spaces.exit_mm(task)
        yield from self._spaces.use_mm(task, self._spaces.create())
        if last:
            yield from self._exit_mmap(task, before, pages, shared=shared)
        self._operations.end(operation)

    @call
    def exit_mm(self, task: Task, pages: Pages = 0) -> Steps:
        """End a thread; with the last one goes the address space: one flush, lazy CPUs included.

        Parameters
        ----------
        task
            Who ends. It may become a thread of another process, as which it stands for another.
        pages
            How many are freed if it is the last one.
        """
        mm = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "exit_mm", pages)
        yield from self._spaces.resume(task)
        yield from self._operations.compute(task, self._costs.thread_exit)
        if self._spaces.exit_mm(task):
            yield from self._exit_mmap(task, mm, pages)
        self._operations.end(operation)

    def _exit_mmap(self, task: Task, mm: UserMm, pages: Pages, *, shared: bool = False) -> Steps:
        """Clear all entries, flush, and only then free the tables, and pages that nobody shares."""
        if shared:
            yield from self._operations.compute(task, pages * self._costs.user_fork_page)
            yield from self._spaces.flush_tlb_mm(task, mm)
            return
        yield from self._operations.compute(task, pages * self._costs.user_mapping_page)
        change = self._safety.space_changed(mm)
        yield from self._spaces.flush_tlb_mm(task, mm)
        self._safety.space_relied_on(task, mm, change, pages, freed=True)
        self._safety.space_gone(mm)
        yield from self._lru.remove(task, pages)
        yield from self._operations.compute(task, pages * self._costs.user_page_free)
