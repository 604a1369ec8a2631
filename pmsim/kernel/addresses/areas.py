"""Areas of the address space: taken, looked up, and given up.

Stands for ``alloc_vmap_area``, ``find_vm_area`` and ``remove_vm_area`` of mm/vmalloc.c: what all
areas have in common, whatever they map.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from pmsim.kernel.addresses.area_locks import AreaLocks
from pmsim.kernel.addresses.cold_areas import ColdAreas
from pmsim.kernel.addresses.drain import LazyFree
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.addresses.ranges import TREE, AddressRange, FreedArea
from pmsim.kernel.addresses.release import release
from pmsim.kernel.addresses.search import AddressSpace
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.units import Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

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
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        space = context.part(AddressSpace)
        self.ranges = space.ranges
        self._by_start: dict[int, VmArea] = {}
        self._search = space.search
        self._holds = space.holds
        self._locks = context.part(AreaLocks)
        self._alloc_stays = context.profile.area_alloc_stays
        self._free_stays = context.profile.area_free_stays
        self._operations = context.operations
        self._workqueue = context.workqueue
        self._pagetable = context.part(kernel_page_table)
        self._purge = context.part(Purge)
        self._lazy_free = context.part(LazyFree)
        self._release = release(context)
        self._cold = context.part(ColdAreas)
        self._safety = context.safety

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
        yield from self._workqueue.cond_resched(task)
        purged = False
        while True:
            lock = self._search.search_lock(task.cpu, where, pages)
            yield from self._locks.enter(task, lock)
            if lock != TREE and self._search.search_lock(task.cpu, where, pages) == TREE:
                # Its pool has been emptied while this one waited (``node_alloc``).
                self._locks.leave(task, lock)
                continue
            page = self._search.take(task.cpu, where, pages, align)
            yield from self._operations.compute(task, self._cold.walk(self._search.steps))
            self._locks.leave(task, lock)
            if page is not None:
                self._safety.reused(task, page, pages)
                for _ in range(self._alloc_stays):
                    yield from self._locks.stay(task, self._search.busy_lock(page))
                return page
            if purged:
                return None
            yield from self._purge.purge(task)
            purged = True

    def take_at_once(
        self, task: Task, where: AddressRange, pages: Pages, work: Picoseconds
    ) -> tuple[int, Picoseconds] | None:
        """Do what `alloc_vmap_area` does in no time, where nobody can notice that it takes some.

        Parameters
        ----------
        task, where, pages
            As for `alloc_vmap_area`.
        work
            CPU time of what the task does besides.

        Returns
        -------
        tuple of int or None
            The page, and the CPU time of it all. None, and nothing done, where somebody could
            notice, or where there is no place.
        """
        locks, search = self._locks, self._search
        own = work + locks.stays(1 + self._alloc_stays)
        longest = own + 2 * locks.coldest + self._cold.walk(search.most_steps)
        if locks.asked or task.preempt_count or not self._operations.is_alone(task, longest):
            return None
        lock = search.search_lock(task.cpu, where, pages)
        page = search.take(task.cpu, where, pages, 1)
        if page is None:
            return None
        self._safety.reused(task, page, pages, self._operations.next_id)
        time = own + locks.fetch(task, lock) + self._cold.walk(search.steps)
        if self._alloc_stays:
            time += locks.fetch(task, search.busy_lock(page))
        return page, time

    def add(self, area: VmArea) -> None:
        """Let an area be found."""
        self._by_start[area.address] = area
        self._cold.in_use += 1

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
        page = address // self._page_size * self._page_size
        if _reaches(self._by_start.get(start), page):
            return self._by_start[start]
        starts = (at for at in range(page, start, -self._page_size) if at in self._by_start)
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
        lock = self._search.busy_lock(area.address // self._page_size)
        yield from self._operations.compute(task, fixed + mapped // area.leaf * each)
        for _ in range(self._free_stays - 1):
            yield from self._locks.stay(task, lock)
        yield from self._locks.enter(task, lock)
        yield from self._release.release(task, self._unlink(area), lock)

    def remove_at_once(self, task: Task, area: VmArea, work: Picoseconds) -> Picoseconds | None:
        """Do what `remove` does in no time, where nobody can notice that it takes some.

        Parameters
        ----------
        task, area
            As for `remove`.
        work
            CPU time of what the task does besides being under locks.

        Returns
        -------
        int or None
            The CPU time of it all. None, and nothing done, where somebody could notice, or a purge
            would be due.
        """
        locks, purge = self._locks, self._purge
        if (
            not self._release.lazy
            or locks.asked
            or task.preempt_count
            or not purge.has_room(area.pages + GUARD)
        ):
            return None
        own = work + locks.stays(self._free_stays)
        longest = own + locks.stays(1) + 2 * locks.coldest + purge.counter.coldest
        if not self._operations.is_alone(task, longest):
            return None
        lock = self._search.busy_lock(area.address // self._page_size)
        time = own + locks.fetch(task, lock)
        return time + self._lazy_free.free_at_once(task, self._unlink(area))

    def _unlink(self, area: VmArea) -> FreedArea:
        """Remove an area from the index of areas, and unmap it."""
        del self._by_start[area.address]
        self._cold.in_use -= 1
        if area.runs:
            self._pagetable.unmap(area.address, area.pages)
        return FreedArea(area.address // self._page_size, area.pages + GUARD, area.range)


def _reaches(area: VmArea | None, page: int) -> bool:
    """Return whether an area that does not start above a page's address holds it."""
    return area is not None and page < area.end
