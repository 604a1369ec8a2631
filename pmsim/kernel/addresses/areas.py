"""Areas of the address space: taken, looked up, and given up.

Stands for ``alloc_vmap_area``, ``find_vm_area`` and ``remove_vm_area`` of mm/vmalloc.c: what all
areas have in common, whatever they map.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.addresses.ranges import AddressRange, FreedArea
from pmsim.kernel.addresses.release import release
from pmsim.kernel.addresses.search import AddressSpace
from pmsim.kernel.locks import KernelSpinlock
from pmsim.kernel.pagetables.pagetable import kernel_page_table
from pmsim.units import PAGE_SIZE, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

TREE_LINES: Final = 3
"""Cache lines that a change of the tree of areas touches and the change before, by another CPU,
wrote. *Estimate*, 2 to 6: the parent, one more node to balance the tree, and the neighbour in the
list that the tree is threaded with (``link_va``, ``unlink_va``)."""

GUARD: Final = 1
"""Unmapped pages behind every area (``__get_vm_area_node``)."""


class Areas:
    """The areas of a kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    ranges
        The address ranges by name: ``vmalloc`` and ``modules``.
    lock_hold
        CPU time under the lock of the address ranges, in `alloc_vmap_area` and in `remove`.
    """

    def __init__(self, context: KernelContext) -> None:
        space = context.part(AddressSpace)
        self.ranges = space.ranges
        self._by_start: dict[int, VmArea] = {}
        self._search = space.search
        self._locks = [
            KernelSpinlock(context.machine, "vmap_area_lock", guards=TREE_LINES)
            for _ in range(space.search.locks)
        ]
        self._holds = space.holds
        self.lock_hold = context.costs.area_lock_hold
        self._operations = context.operations
        self._pagetable = context.part(kernel_page_table)
        self._purge = context.part(Purge)
        self._lazy = context.profile.purge_by != "unmap"
        self._release = release(context)

    def __len__(self) -> int:
        return len(self._by_start)

    def alloc_vmap_area(
        self, task: Task, pages: Pages, where: AddressRange | None = None, *, align: Pages = 1
    ) -> Generator[Any, Any, int | None]:
        """Take free addresses (``alloc_vmap_area``); if there are none, purge and look once more.

        Parameters
        ----------
        task
            Who calls.
        pages
            How many pages of address space, a guard included.
        where
            By default the range of vmalloc.
        align
            Of what the first page's number is a multiple.

        Returns
        -------
        int or None
            Number of the first page.
        """
        where = where or self.ranges["vmalloc"]
        purged = False
        while True:
            lock = self._locks[self._search.search_lock(task.cpu, where, pages)]
            yield from self._operations.lock(task, lock)
            yield from self._operations.compute(task, self.lock_hold)
            page = self._search.take(task.cpu, where, pages, align)
            lock.unlock(task)
            if page is not None or purged:
                return page
            yield from self._purge.purge(task)
            purged = True

    def is_free(self, task: Task, where: AddressRange, pages: Pages) -> bool:
        """Return whether a task would get the lock of `alloc_vmap_area` at once, and its data."""
        lock = self._locks[self._search.search_lock(task.cpu, where, pages)]
        return lock.owner is None and not task.spinlocks and not lock.data.cold(task.cpu)

    def take(self, task: Task, where: AddressRange, pages: Pages) -> int | None:
        """Take free addresses in no time; None if there are none.

        For a task that is alone, with `lock_hold` of CPU time paid for; see `alloc_vmap_area`.
        """
        self._locks[self._search.search_lock(task.cpu, where, pages)].data.fetch(task.cpu)
        return self._search.take(task.cpu, where, pages, 1)

    def add(self, area: VmArea) -> None:
        """Let an area be found."""
        self._by_start[area.address] = area

    def find(self, address: int) -> VmArea | None:
        """Return the area that has a page mapped at an address (``find_vm_area``).

        Areas lie apart by their guards, so an area mostly starts where an unbroken run of mapped
        pages does. Only a mapping of ``vm_map_ram`` may end right below it, without a guard; then
        the start is looked for page by page.
        """
        if not self._holds(address):
            return None
        start = self._pagetable.run_start(address)
        if start is None:
            return None
        page = address // PAGE_SIZE * PAGE_SIZE
        if _reaches(self._by_start.get(start), page):
            return self._by_start[start]
        starts = (at for at in range(page, start, -PAGE_SIZE) if at in self._by_start)
        nearest = self._by_start.get(next(starts, start))
        return nearest if _reaches(nearest, page) else None

    def remove(self, task: Task, area: VmArea, fixed: Picoseconds, each: Picoseconds) -> Steps:
        """Unlink and unmap an area, and give up its addresses (``remove_vm_area``).

        Parameters
        ----------
        task
            Who calls.
        area
            Which.
        fixed, each
            CPU time of it, and of each of its entries.
        """
        mapped = area.pages if area.runs else 0
        lock = self._locks[self._search.busy_lock(area.address // PAGE_SIZE)]
        yield from self._operations.compute(task, fixed + mapped // area.leaf * each)
        yield from self._operations.lock(task, lock)
        yield from self._operations.compute(task, self.lock_hold)
        yield from self._release.release(task, self._unlink(area), lock)

    def remove_at_once(self, task: Task, area: VmArea, time: Picoseconds) -> bool:
        """Do what `remove` does in no time, where nobody can notice that it takes so long.

        Returns
        -------
        bool
            False, and nothing done, where somebody could, or a purge would be due.
        """
        lock = self._locks[self._search.busy_lock(area.address // PAGE_SIZE)]
        if (
            not self._lazy
            or lock.owner is not None
            or task.spinlocks
            or lock.data.cold(task.cpu)
            or not self._purge.has_room(area.pages + GUARD)
            or not self._operations.is_alone(task, time)
        ):
            return False
        lock.data.fetch(task.cpu)
        self._purge.put(self._unlink(area))
        return True

    def _unlink(self, area: VmArea) -> FreedArea:
        """Remove an area from the index of areas, and unmap it."""
        del self._by_start[area.address]
        if area.runs:
            self._pagetable.unmap(area.address, area.pages)
        return FreedArea(area.address // PAGE_SIZE, area.pages + GUARD, area.range)


def _reaches(area: VmArea | None, page: int) -> bool:
    """Return whether an area that does not start above a page's address holds it."""
    return area is not None and page < area.address + area.pages * PAGE_SIZE
