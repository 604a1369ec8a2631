"""vmalloc: memory that is contiguous in virtual addresses only.

Stands for ``vmalloc``, ``module_alloc``, ``vfree``, ``vmap`` and ``vunmap`` of mm/vmalloc.c (Linux
6.1): address ranges, a guard page behind each area, the lowest free address first, page-pointer
arrays that are vmalloc'ed themselves, lazy freeing. Left out: huge mappings, which plain
``vmalloc`` does not use; freeing from interrupts; KASAN shadows.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.hardware.locks import Spinlock
from pmsim.kernel.directmap import DirectMap
from pmsim.kernel.entries import PAGE_KERNEL, Run
from pmsim.kernel.frames import Frames
from pmsim.kernel.freespace import FreeSpace
from pmsim.kernel.pagetable import PageTable
from pmsim.kernel.purge import AddressRange, EagerRelease, FreedArea, LazyRelease, Purge, Release
from pmsim.kernel.tlbflush import Cause, TlbFlush
from pmsim.units import PAGE_SIZE, Bytes, Pages

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.profile import KernelProfile

GUARD: Final = 1
"""Unmapped pages behind every area (``__get_vm_area_node``)."""
_POINTER: Final = 8
"""Bytes of a pointer: each page of an area has one in the area's array."""


class VmArea:
    """An area of vmalloc'ed memory (``struct vm_struct``).

    Attributes
    ----------
    address
        First address.
    pages
        Mapped pages; the guard page behind them is not counted.
    range
        Where its addresses come from.
    runs
        Its page frames, in order.
    page_array
        The area of its page pointers, where they need more than a page.
    flush_reset_perms
        Freeing it resets the direct map and flushes at once (``VM_FLUSH_RESET_PERMS``).
    freed
        It was given back; whoever uses it still is undone.
    """

    __slots__ = ("address", "flush_reset_perms", "freed", "page_array", "pages", "range", "runs")

    def __init__(
        self, address: int, pages: Pages, range_: AddressRange, flush_reset_perms: bool
    ) -> None:
        self.address = address
        self.pages = pages
        self.range = range_
        self.flush_reset_perms = flush_reset_perms
        self.runs: list[Run] = []
        self.page_array: VmArea | None = None
        self.freed = False

    def __repr__(self) -> str:
        return f"VmArea({self.address:#x}, {self.pages} pages)"


Allocation = Generator[Any, Any, VmArea | None]
"""Takes simulated time; returns an area, or None for NULL."""


class Vmalloc:
    """The areas of a kernel.

    Parameters
    ----------
    machine, profile, costs
        What it runs on, its address ranges, what work costs.
    pagetable, direct_map, frames
        What areas are made of.
    purge, tlbflush, operations
        Where freed address space goes, how CPUs are told, where time is charged.

    Attributes
    ----------
    purge
        The lazy list.
    ranges
        The address ranges by name: ``vmalloc`` and ``modules``.
    """

    def __init__(
        self,
        machine: Machine,
        profile: KernelProfile,
        costs: KernelCosts,
        pagetable: PageTable,
        direct_map: DirectMap,
        frames: Frames,
        purge: Purge,
        tlbflush: TlbFlush,
        operations: OperationLog,
    ) -> None:
        self.purge = purge
        self.ranges = {
            "vmalloc": _address_range("vmalloc", *profile.vmalloc_range),
            "modules": _address_range("modules", *profile.modules_range),
        }
        self._areas: dict[int, VmArea] = {}
        # vmap_area_lock and free_vmap_area_lock: always taken one after the other, so one here.
        self._area_lock = Spinlock(machine, "vmap_area_lock")
        eager = profile.purge_by == "unmap"
        self._release: Release = EagerRelease(tlbflush) if eager else LazyRelease(purge)
        self._costs = costs
        self._pagetable = pagetable
        self._direct_map = direct_map
        self._frames = frames
        self._operations = operations

    @property
    def lazy_pages(self) -> Pages:
        """Pages of address space that were freed and are not yet flushed and given back."""
        return self.purge.lazy_pages

    @property
    def live_areas(self) -> int:
        """How many areas are allocated, page-pointer arrays included."""
        return len(self._areas)

    def is_vmalloc_addr(self, address: int) -> bool:
        """Return whether an address lies in the vmalloc range: ``is_vmalloc_addr``."""
        where = self.ranges["vmalloc"]
        return where.start <= address < where.end

    def find(self, address: int) -> VmArea | None:
        """Return the area that has a page mapped at an address (``find_vm_area``).

        Areas lie apart by their guards, so an area mostly starts where an unbroken run of mapped
        pages does. Only a mapping of ``vm_map_ram`` may end right below it, without a guard; then
        the start is looked for page by page.
        """
        start = self._pagetable.run_start(address)
        if start is None:
            return None
        page = address // PAGE_SIZE * PAGE_SIZE
        if _reaches(self._areas.get(start), page):
            return self._areas[start]
        starts = (at for at in range(page, start, -PAGE_SIZE) if at in self._areas)
        nearest = self._areas.get(next(starts, start))
        return nearest if _reaches(nearest, page) else None

    def vmalloc(
        self, task: Task, size: Bytes, *, range: str = "vmalloc", flush_reset_perms: bool = False
    ) -> Allocation:
        """Allocate at least ``size`` bytes in whole pages: ``vmalloc``, or ``module_alloc``.

        New mappings need no flush: their addresses were flushed before they became free.

        Parameters
        ----------
        task
            Who calls.
        size
            In bytes.
        range
            ``vmalloc`` or ``modules``.
        flush_reset_perms
            As in `VmArea`.

        Returns
        -------
        VmArea or None
            None for size 0, for more than all memory, and where addresses or frames run out.

        Raises
        ------
        ProgramError
            For a negative size.
        """
        if size < 0:
            raise ProgramError(f"vmalloc of {size} bytes", task.now, task.place)
        pages = -(-size // PAGE_SIZE)
        operation = self._operations.begin(task, "vmalloc", pages)
        area = None
        if 0 < pages <= self._frames.total:
            area = yield from self._allocate(task, pages, self.ranges[range], flush_reset_perms)
        self._operations.end(operation)
        return area

    def vfree(self, task: Task, area: VmArea | None) -> Steps:
        """Free an area: ``vfree``. Nothing is flushed now, unless the area wants it.

        The pages may be used again at once, before any CPU forgets the old translations; the
        addresses only after a purge.

        Raises
        ------
        UndefinedBehaviour
            If the area was freed before.
        """
        if area is None:
            return
        _mark_freed(task, "vfree", area)
        operation = self._operations.begin(task, "vfree", area.pages)
        yield from self._remove(task, area, self._costs.vfree, self._costs.vfree_page)
        if area.flush_reset_perms and area.runs:
            yield from self._reset_permissions(task, area)
        self._frames.release(area.runs)
        yield from self.vfree(task, area.page_array)
        self._operations.end(operation)

    def vmap(self, task: Task, runs: list[Run]) -> Allocation:
        """Map pages that exist already, one after the other: ``vmap``.

        Returns
        -------
        VmArea or None
            None for no pages, and where addresses run out.
        """
        pages = sum(count for _, count in runs)
        operation = self._operations.begin(task, "vmap", pages)
        area, where = None, self.ranges["vmalloc"]
        page = (yield from self.alloc_vmap_area(task, pages + GUARD)) if pages else None
        if page is not None:
            area = VmArea(page * PAGE_SIZE, pages, where, False)
            area.runs = runs
            self._areas[area.address] = area
            cpu_time = self._costs.vmap + pages * self._costs.vmap_page
            yield from self._operations.compute(task, cpu_time)
            self._pagetable.map(area.address, runs, PAGE_KERNEL)
        self._operations.end(operation)
        return area

    def vunmap(self, task: Task, area: VmArea | None) -> Steps:
        """Unmap what `vmap` mapped, and leave its pages to their owner: ``vunmap``.

        Raises
        ------
        UndefinedBehaviour
            If the area was freed before.
        """
        if area is None:
            return
        _mark_freed(task, "vunmap", area)
        operation = self._operations.begin(task, "vunmap", area.pages)
        yield from self._remove(task, area, self._costs.vmap, self._costs.vmap_page)
        self._operations.end(operation)

    def alloc_vmap_area(
        self, task: Task, pages: Pages, where: AddressRange | None = None, *, align: Pages = 1
    ) -> Generator[Any, Any, int | None]:
        """Take the lowest free addresses (``alloc_vmap_area``); purge once if there are none.

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
        page = yield from self._take_addresses(task, pages, where, align)
        if page is None:
            yield from self.purge.purge(task)
            page = yield from self._take_addresses(task, pages, where, align)
        return page

    def unmap_aliases(self, task: Task) -> Steps:
        """Leave no stale translation of freed areas: ``vm_unmap_aliases``."""
        return self.purge.unmap_aliases(task)

    def _allocate(
        self, task: Task, pages: Pages, where: AddressRange, flush_reset_perms: bool
    ) -> Allocation:
        """Find addresses, then a place for the page pointers, then pages; then map them."""
        page = yield from self.alloc_vmap_area(task, pages + GUARD, where)
        if page is None:
            return None
        area = VmArea(page * PAGE_SIZE, pages, where, flush_reset_perms)
        self._areas[area.address] = area
        if (yield from self._populate(task, area)):
            return area
        # Its addresses were in use, so they go the way of all freed addresses.
        yield from self.vfree(task, area)
        return None

    def _populate(self, task: Task, area: VmArea) -> Generator[Any, Any, bool]:
        """Give an area its pages and map them; return False if memory runs out."""
        pages, costs = area.pages, self._costs
        if pages * _POINTER > PAGE_SIZE:
            area.page_array = yield from self.vmalloc(task, pages * _POINTER)
            if area.page_array is None:
                return False
        runs = self._frames.allocate(pages)
        if runs is None:
            return False
        area.runs = runs
        yield from self._operations.compute(task, costs.vmalloc + pages * costs.vmalloc_page)
        self._pagetable.map(area.address, runs, PAGE_KERNEL)
        return True

    def _take_addresses(
        self, task: Task, pages: Pages, where: AddressRange, align: Pages
    ) -> Generator[Any, Any, int | None]:
        yield from self._operations.lock(task, self._area_lock)
        yield from self._operations.compute(task, self._costs.area_lock_hold)
        page = where.space.take(pages, align)
        self._area_lock.unlock(task)
        return page

    def _remove(self, task: Task, area: VmArea, cpu_time: int, page_time: int) -> Steps:
        """Unlink and unmap an area, and give up its addresses (``remove_vm_area``)."""
        mapped = sum(count for _, count in area.runs)
        yield from self._operations.compute(task, cpu_time + mapped * page_time)
        yield from self._operations.lock(task, self._area_lock)
        yield from self._operations.compute(task, self._costs.area_lock_hold)
        del self._areas[area.address]
        if mapped:
            self._pagetable.unmap(area.address, mapped)
        freed = FreedArea(area.address // PAGE_SIZE, area.pages + GUARD, area.range)
        yield from self._release.release(task, freed, self._area_lock)

    def _reset_permissions(self, task: Task, area: VmArea) -> Steps:
        """Flush an area and its direct map in one, and make the latter ordinary again.

        Stands for ``vm_remove_mappings``: the direct map is made inaccessible, so that nothing can
        be cached of it after the flush, and restored once all CPUs have flushed.
        """
        start = self._direct_map.address(min(pfn for pfn, _ in area.runs))
        end = self._direct_map.address(max(pfn + count for pfn, count in area.runs))
        yield from self._direct_map.set_invalid_noflush(task, area.runs)
        yield from self.purge.flush_with_aliases(task, start, end, Cause.RESET_PERMS)
        yield from self._direct_map.set_default_noflush(task, area.runs)


def _reaches(area: VmArea | None, page: int) -> bool:
    """Return whether an area that does not start above a page's address holds it."""
    return area is not None and page < area.address + area.pages * PAGE_SIZE


def _mark_freed(task: Task, call: str, area: VmArea) -> None:
    if area.freed:
        raise UndefinedBehaviour(f"{call} of {area} for the second time", task.now, task.place)
    area.freed = True


def _address_range(name: str, start: int, size: Bytes) -> AddressRange:
    return AddressRange(name, start, start + size, FreeSpace(start // PAGE_SIZE, size // PAGE_SIZE))
