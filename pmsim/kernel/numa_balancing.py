"""NUMA balancing: pages are made to fault, so that the kernel learns which node uses them.

Stands for ``task_numa_work`` (kernel/sched/fair.c), ``change_prot_numa`` (mm/mempolicy.c) and
``do_numa_page`` (mm/memory.c), Linux 4.16 to 6.18. A scan takes the right to access from the
entries of some pages, which is one flush for each mapping that has such. The fault that follows
gives it back, and may move the page to another node first; that flushes nothing, since no CPU can
hold a translation of an entry without that right (``ptep_clear_flush``, ``pte_accessible``).

Left out: how far apart scans are (``numa_scan_period``, 1 s at first), which the workload says;
that a scan gives up where ``mmap_lock`` is taken; huge pages; the choice of nodes and tasks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim.errors import ProgramError
from pmsim.kernel.calls import call
from pmsim.kernel.tlbflush import Cause
from pmsim.kernel.user_flush import UserFlushes
from pmsim.kernel.user_mm import UserMms
from pmsim.units import MIB, Bytes, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

SCAN_SIZE: Final = 256 * MIB
"""Memory whose entries a scan changes at most (``sysctl_numa_balancing_scan_size``)."""


def scan_pages(page_size: Bytes) -> Pages:
    """Return how many entries a scan changes at most."""
    return SCAN_SIZE // page_size


SCAN_LOOKS: Final = 8
"""Times as many entries that a scan looks at, if there is less to change (``virtpages``)."""


class NumaBalancing:
    """What NUMA balancing does in the tasks of a process.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._there = context.profile.numa_balancing
        self._costs = context.costs
        self._operations = context.operations
        self._spaces = context.part(UserMms)
        self._flushes = context.part(UserFlushes)

    @call
    def task_numa_work(
        self, task: Task, pages: Pages, *, scanned: Pages = 0, mappings: int = 1
    ) -> Steps:
        """Scan the caller's process: make ``pages`` pages fault at their next use.

        Parameters
        ----------
        task
            Who scans, as it returns to user space.
        pages
            How many entries change; none of them flushes nothing.
        scanned
            How many are looked at, at least those that change.
        mappings
            In how many mappings they lie: a flush for each.

        Raises
        ------
        ProgramError
            If this kernel has no NUMA balancing.
        """
        if not self._there:
            raise ProgramError("task_numa_work: this kernel has none", task.now, task.place)
        mm = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "task_numa_work", pages)
        yield from self._spaces.resume(task)
        yield from self._operations.lock(task, mm.mmap_lock.read)
        for place in range(mappings):
            part = pages // mappings + (place < pages % mappings)
            looks = max(scanned // mappings, part)
            yield from self._operations.compute(task, looks * self._costs.user_mapping_page)
            if part:
                yield from self._flushes.flush_tlb_mm_range(task, mm, part, cause=Cause.NUMA)
        mm.mmap_lock.read.unlock(task)
        self._operations.end(operation)

    @call
    def do_numa_page(self, task: Task, pages: Pages, *, moved: Pages = 0) -> Steps:
        """Use pages that a scan made fault: a fault for each, and no flush.

        Parameters
        ----------
        task
            Who uses them.
        pages
            How many.
        moved
            How many of them move to the node of the caller's CPU, the first ones.
        """
        mm = self._spaces.current_mm(task)
        operation = self._operations.begin(task, "do_numa_page", pages)
        move = self._costs.user_page_migrate + self._costs.user_page_copy
        for page in range(pages):
            yield from self._spaces.hold_to_fault(task, mm)
            work = self._costs.user_fault + (move if page < moved else 0)
            yield from self._operations.compute(task, work)
            yield from self._spaces.let_go_of_fault(task, mm)
        self._operations.end(operation)
