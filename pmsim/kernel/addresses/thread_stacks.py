"""Kernel stacks of threads: cached two to a CPU, mapped by vmalloc, and given back late.

Stands for ``alloc_thread_stack_node`` and ``free_thread_stack`` (kernel/fork.c, 4.16 to 6.18) with
CONFIG_VMAP_STACK. A stack that finds no room in its CPU's cache may not be freed where its thread
ends: up to 5.17 a work item frees it soon (``vfree_atomic``), later it waits for an RCU grace
period, looks into the cache once more and is freed by a work item too (``thread_stack_free_rcu``,
from whose callback ``vfree`` is deferred). Where stacks are not mapped, they are pages of the
direct map. Left out: memory cgroups, and the cache's pruning when a CPU goes away.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from pmsim.kernel.addresses.vm_area import VmArea
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.calls import call
from pmsim.kernel.pagetables.page_blocks import PageBlock, PageBlocks
from pmsim.kernel.workqueue import Work
from pmsim.units import CpuId

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

CACHED_STACKS: Final = 2
"""Stacks that a CPU keeps (``NR_CACHED_STACKS``)."""

UNMAPPED_ORDER: Final = 1
"""Pages, as a power of two, of a stack that is not mapped (``THREAD_SIZE_ORDER``, x86-32 4.16)."""

Stack = VmArea | PageBlock
"""A kernel stack: mapped, or pages of the direct map."""


class ThreadStacks:
    """The stacks of a kernel.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        profile = context.profile
        self._size = profile.thread_stack
        self._align = profile.thread_align // self._page_size
        self._after_rcu = profile.stack_free == "rcu"
        self._context = context
        self._vmalloc = context.part(Vmalloc)
        self._blocks = context.part(PageBlocks)
        self._cpus: dict[CpuId, _CpuStacks] = {}

    @call
    def alloc_thread_stack(self, task: Task) -> Generator[Any, Any, Stack | None]:
        """Take a stack for a thread that begins: ``alloc_thread_stack_node``.

        From the CPU's cache, if there is one.

        Returns
        -------
        VmArea, PageBlock or None
            None where addresses or memory run out.
        """
        if not self._size:
            return (yield from self._blocks.alloc_pages(task, UNMAPPED_ORDER))
        cached = self._of(task).cached
        if cached:
            return cached.pop()
        return (yield from self._vmalloc.vmalloc_in(task, self._size, "vmalloc", align=self._align))

    @call
    def free_thread_stack(self, task: Task, stack: Stack) -> Steps:
        """Give the stack of a thread back, as it ends: ``free_thread_stack``."""
        if isinstance(stack, PageBlock):
            yield from self._blocks.free_pages(task, stack)
            return
        mine = self._of(task)
        if mine.keep(stack):
            return
        if self._after_rcu:
            mine.free_after_grace_period(task, stack)
        else:
            mine.free_soon(task, stack)

    def _of(self, task: Task) -> _CpuStacks:
        if task.cpu not in self._cpus:
            self._cpus[task.cpu] = _CpuStacks(self._context)
        return self._cpus[task.cpu]


class _CpuStacks:
    """What one CPU keeps, and what waits there to be freed."""

    def __init__(self, context: KernelContext) -> None:
        self.cached: list[VmArea] = []
        self._workqueue = context.workqueue
        self._grace_period = context.costs.rcu_grace_period
        self._vmalloc = context.part(Vmalloc)
        self._to_free: list[VmArea] = []
        self._work = Work(self._free_all)
        # Those of the grace period that runs, and those that came since it began.
        self._waiting: list[VmArea] = []
        self._next: list[VmArea] = []

    def keep(self, stack: VmArea) -> bool:
        """Put a stack into the cache; return False if that is full."""
        if len(self.cached) >= CACHED_STACKS:
            return False
        self.cached.append(stack)
        return True

    def free_soon(self, task: Task, stack: VmArea) -> None:
        """Let the work item free it: ``vfree_atomic``."""
        self._to_free.append(stack)
        self._workqueue.schedule_work(task, self._work)

    def free_after_grace_period(self, task: Task, stack: VmArea) -> None:
        """Let the work item free it later: ``thread_stack_delayed_free``."""
        if self._waiting:
            self._next.append(stack)
        else:
            self._waiting.append(stack)
            self._workqueue.queue_delayed(task, self._grace_period_over, self._grace_period)

    def _grace_period_over(self, task: Task) -> Steps:
        done, self._waiting, self._next = self._waiting, self._next, []
        if self._waiting:
            self._workqueue.queue_delayed(task, self._grace_period_over, self._grace_period)
        self._to_free += [stack for stack in done if not self.keep(stack)]
        return self._free_all(task)

    def _free_all(self, task: Task) -> Steps:
        """Free what has gathered, the newest first (``delayed_vfree_work``)."""
        while self._to_free:
            yield from self._vmalloc.vfree(task, self._to_free.pop())
