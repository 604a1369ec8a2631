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

    Attributes
    ----------
    coldest
        Nobody needs longer to fetch what one of them guards.
    asked
        How many hold or ask for one of them.
    """

    def __init__(self, context: KernelContext) -> None:
        names = context.part(AddressSpace).search.locks
        self._locks = [context.spinlock(name, guards=TREE_LINES) for name in names]
        self._hold = context.costs.area_lock_hold
        self._cold = context.part(ColdAreas)
        self._operations = context.operations
        self.coldest = self._locks[0].data.coldest
        self.asked = 0

    def enter(self, task: Task, number: int) -> Steps:
        """Take a lock and do what takes CPU time under it."""
        self.asked += 1
        lock = self._locks[number]
        yield from self._operations.lock(task, lock, self._hold + self._cold.descent())

    def leave(self, task: Task, number: int) -> None:
        """Let go of a lock."""
        self.asked -= 1
        self._locks[number].unlock(task)

    def stay(self, task: Task, number: int) -> Steps:
        """Enter and leave."""
        yield from self.enter(task, number)
        self.leave(task, number)

    def stays(self, count: int) -> Picoseconds:
        """Return what some stays take under locks whose data are at hand."""
        return count * (self._hold + self._cold.descent())

    def fetch(self, task: Task, number: int) -> Picoseconds:
        """Return how long a task that is alone fetches what a lock guards, and take it as done."""
        return self._locks[number].data.fetch(task.cpu)
