"""The spinlocks around what the kernel knows of its areas, and what it takes to be under one.

Stands for ``vmlist_lock`` (2.6.27), ``vmap_area_lock`` alone (up to 5.1), beside it
``free_vmap_area_lock`` and ``purge_vmap_area_lock`` (5.2 to 6.8), and the locks of
``struct vmap_node`` (6.9 and later) of mm/vmalloc.c. Which ones there are, the search for a place
says (`pmsim.kernel.addresses.ranges.AddressSearch`). Left out: that a purge gives areas back under
them, all of it or, if the scheduler wants, in parts (``cond_resched_lock``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim.kernel.addresses.cold_areas import ColdAreas
from pmsim.kernel.addresses.search import AddressSpace
from pmsim.units import Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

TREE_LINES: Final = 3
"""Cache lines that a change of a tree of areas touches and the change before, by another CPU,
wrote. *Estimate*, 2 to 6: the parent, one more node to balance the tree, and the neighbour in the
list that the tree is threaded with (``link_va``, ``unlink_va``)."""


class AreaLocks:
    """The locks by their numbers; all stays under one of them are made here.

    Parameters
    ----------
    context
        What they stand on.

    """

    def __init__(self, context: KernelContext) -> None:
        names = context.part(AddressSpace).search.locks
        self._locks = [context.spinlock(name, guards=TREE_LINES) for name in names]
        self._hold = context.costs.area_lock_hold
        self._cold = context.part(ColdAreas)
        self._operations = context.operations
        self._coldest = self._locks[0].data.coldest
        self._asked = 0

    @property
    def free(self) -> bool:
        """Whether nobody holds or asks for any of them."""
        return not self._asked

    def enter(self, task: Task, number: int) -> Steps:
        """Take a lock and do what takes CPU time under it."""
        self._asked += 1
        lock = self._locks[number]
        yield from self._operations.lock(task, lock, self._hold + self._cold.descent())

    def leave(self, task: Task, number: int) -> None:
        """Let go of a lock."""
        self._asked -= 1
        self._locks[number].unlock(task)

    def stay(self, task: Task, number: int) -> Steps:
        """Enter and leave."""
        yield from self.enter(task, number)
        self.leave(task, number)

    def longest(self, locks: int, stays: int) -> Picoseconds:
        """Return the longest that stays under some locks take a task that need not wait."""
        return locks * self._coldest + stays * (self._hold + self._cold.descent())

    def passed(self, task: Task, number: int, stays: int) -> Picoseconds:
        """Return what some stays in a row take a task that is alone, and take them as made."""
        if not stays:
            return 0
        each = self._hold + self._cold.descent()
        return self._locks[number].data.fetch(task.cpu) + stays * each
