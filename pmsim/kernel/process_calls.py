"""Processes that fork, run other programs and end: how much of that other CPUs hear.

Stands for ``dup_mmap`` (kernel/fork.c; in 6.18 mm/mmap.c), ``exec_mmap`` (fs/exec.c), ``exit_mm``
(kernel/exit.c) with ``exit_mmap`` (mm/mmap.c), and ``wp_page_copy`` (mm/memory.c), Linux 4.16 to
6.18. A fork write-protects what it copies, so that every CPU that runs the process is told, once;
then each page that is written to while both share it is copied, which is a flush of a page
(``ptep_clear_flush``, mm/pgtable-generic.c): for the CPUs of the process that writes, not for those
of the other one. An address space that ends is flushed once, when its last user goes: nobody runs
it any more, but CPUs may still borrow it, and its tables are freed.

A child may start on another CPU, and move as it runs another program (kernel/sched/core.c:
``wake_up_new_task`` chooses a CPU at fork, ``sched_exec`` at exec, "a valuable balancing
opportunity"). The CPU that it left borrows its address space from then on, and is told when that
ends.

Left out: the stopper thread that moves a task, and how the scheduler chooses; mappings that are not
copied, or copied eagerly; more than one flush for an address space of more than some ten thousand
pages; a page that is written to when the other process has gone, which is no flush on x86.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pmsim.hardware.machine import FORKED
from pmsim.kernel.calls import call
from pmsim.kernel.lru import LruLists
from pmsim.kernel.memcg import PageCounters
from pmsim.kernel.user_flush import UserFlushes
from pmsim.kernel.user_mm import UserMm, UserMms
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


@dataclass(slots=True)
class Forked:
    """A task that came to life during a run, or went on on another CPU.

    Attributes
    ----------
    name, cpu, number
        What tables call it, and where it runs.
    start_ps, end_ps
        When it began, and when it came to its end; None as long as it has not.
    """

    name: str
    cpu: CpuId
    number: int
    start_ps: Picoseconds
    end_ps: Picoseconds | None = None


class ProcessCalls:
    """The calls that make processes and end them.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    forked
        The tasks of children, in the order of their beginning.
    """

    def __init__(self, context: KernelContext) -> None:
        self._machine = context.machine
        self._costs = context.costs
        self._operations = context.operations
        self._safety = context.safety
        self._spaces = context.part(UserMms)
        self._flushes = context.part(UserFlushes)
        self._lru = context.part(LruLists)
        self._counters = context.part(PageCounters)
        self.forked: list[Forked] = []
        self._number: Counter[CpuId] = Counter()

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
        change = self._safety.processes.changed(mm)
        yield from self._flushes.flush_tlb_mm(task, mm)
        self._safety.processes.relied_on(task, mm, change, pages, freed=False)
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
    def wake_up_new_task(
        self, task: Task, cpu: CpuId, run: Callable[[Task], Steps], working_set: int = 0
    ) -> None:
        """Let a child run on a CPU from now on, and return at once.

        Parameters
        ----------
        task
            Who has forked it.
        cpu
            Where it runs.
        run
            Called with the child's task; returns its steps, of which `use_mm` is the first.
        working_set
            TLB entries that it refills after a full flush.
        """
        number = FORKED + self._number[cpu]
        self._number[cpu] += 1
        row = Forked(task.name, cpu, number, task.now)
        self.forked.append(row)

        def noted(child: Task) -> Steps:
            yield from run(child)
            row.end_ps = child.now

        self._machine.spawn(cpu, noted, name=task.name, working_set=working_set, number=number)

    @call
    def sched_exec(
        self, task: Task, cpu: CpuId, run: Callable[[Task], Steps], working_set: int = 0
    ) -> None:
        """Move the caller to another CPU, where it goes on with other steps; return at once.

        It must end now; the CPU that it leaves borrows its address space.

        Parameters
        ----------
        task
            Who is about to run another program.
        cpu
            Where it goes on.
        run
            Called with the task that it is from then on; returns its steps.
        working_set
            As of `wake_up_new_task`.
        """
        mm = self._spaces.current_mm(task)
        self._spaces.exit_mm(task)

        def moved(there: Task) -> Steps:
            yield from self._spaces.use_mm(there, mm)
            yield from run(there)

        self.wake_up_new_task(task, cpu, moved, working_set)

    @call
    def wp_page_copy(self, task: Task, pages: Pages) -> Steps:
        """Write to ``pages`` pages that another process shares: fault, copy and flush for each."""
        mm = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "wp_page_copy", pages)
        each = self._costs.user_fault + self._costs.user_page_copy
        for _ in range(pages):
            yield from self._spaces.hold_to_fault(task, mm)
            yield from self._operations.compute(task, each)
            yield from self._counters.charge(task, 1)
            change = self._safety.processes.changed(mm)
            yield from self._flushes.flush_tlb_mm_range(task, mm, 1, frees_tables=False)
            self._safety.processes.relied_on(task, mm, change, 1, freed=False)
            yield from self._lru.add(task, 1)
            yield from self._spaces.let_go_of_fault(task, mm)
        self._operations.end(operation)

    @call
    def execve(self, task: Task, pages: Pages = 0, *, shared: Pages = 0) -> Steps:
        """Run another program: a new address space; the one before ends if nobody else uses it.

        Parameters
        ----------
        task
            Who calls.
        pages
            How many of the one before go if it ends.
        shared
            How many of these are another process's, too, as those of a child that was forked: only
            their entries and counts go, which takes as long as it took to copy them.
        """
        before = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "execve", pages)
        yield from self._operations.compute(task, self._costs.user_exec)
        last = self._spaces.exit_mm(task)
        yield from self._spaces.use_mm(task, self._spaces.create())
        if last:
            yield from self._exit_mmap(task, before, pages, shared)
        self._operations.end(operation)

    @call
    def exit_mm(self, task: Task, pages: Pages = 0, *, shared: Pages = 0) -> Steps:
        """End a thread; with the last one goes the address space: one flush, lazy CPUs included.

        Parameters
        ----------
        task
            Who ends. It may become a thread of another process, as which it stands for another.
        pages
            How many go if it is the last one.
        shared
            How many of these are another process's, too; see `execve`.
        """
        mm = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "exit_mm", pages)
        yield from self._spaces.resume(task)
        yield from self._operations.compute(task, self._costs.thread_exit)
        if self._spaces.exit_mm(task):
            yield from self._exit_mmap(task, mm, pages, shared)
        self._operations.end(operation)

    def _exit_mmap(self, task: Task, mm: UserMm, pages: Pages, shared: Pages) -> Steps:
        """Clear all entries, flush, and only then free the tables, and pages that nobody shares."""
        own = pages - shared
        work = shared * self._costs.user_fork_page + own * self._costs.user_mapping_page
        yield from self._operations.compute(task, work)
        change = self._safety.processes.changed(mm)
        yield from self._flushes.flush_tlb_mm(task, mm)
        self._safety.processes.relied_on(task, mm, change, own, freed=True)
        self._safety.processes.gone(mm)
        yield from self._lru.remove(task, own)
        yield from self._operations.compute(task, own * self._costs.user_page_free)
