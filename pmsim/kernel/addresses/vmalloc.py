"""vmalloc: memory that is contiguous in virtual addresses only.

Stands for ``vmalloc``, ``vmalloc_huge``, ``module_alloc``, ``vfree``, ``vmap`` and ``vunmap`` of
mm/vmalloc.c (4.16 to 6.18): address ranges, a guard page behind each area, page-pointer arrays that
are vmalloc'ed themselves, lazy freeing. Left out: freeing from interrupts, KASAN shadows, and the
notifiers by which graphics drivers give mappings up when addresses run out.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from pmsim.errors import ProgramError
from pmsim.kernel.addresses.areas import GUARD, Areas
from pmsim.kernel.addresses.fresh_mappings import FreshMappings
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.addresses.ranges import AddressRange
from pmsim.kernel.addresses.vm_area import VmArea
from pmsim.kernel.calls import call
from pmsim.kernel.pagetables.barriers import PteBarriers
from pmsim.kernel.pagetables.directmap import DirectMap
from pmsim.kernel.pagetables.entries import PAGE_KERNEL, Run
from pmsim.kernel.pagetables.frames import page_frames
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.kernel.tlbflush import Cause
from pmsim.units import Bytes, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.pagetables.page_blocks import PageBlock
    from pmsim.steps import Steps

_HUGE_LEVEL: Final = 2
"""Level of the page table at which a huge leaf stands (``PMD_SHIFT``)."""


class Shape(NamedTuple):
    """How an area is to be: pages that one entry maps, alignment in pages, and as in `VmArea`."""

    leaf: Pages
    align: Pages
    flush_reset_perms: bool


_BY_PAGES: Final = Shape(1, 1, False)

RangeName = Literal["vmalloc", "modules"]
"""A range in which areas are allocated."""

Allocation = Generator[Any, Any, VmArea | None]
"""Takes simulated time; returns an area, or None for NULL."""


class Vmalloc:
    """Areas with memory, or with frames that others own.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    areas
        The areas.
    ranges
        The address ranges by name: ``vmalloc`` and ``modules``.
    """

    def __init__(self, context: KernelContext) -> None:
        profile, geometry = context.profile, context.profile.geometry
        self._page_size = geometry.page_size
        self._huge = geometry.span(_HUGE_LEVEL)
        self._by_huge_leaves = Shape(self._huge, self._huge, False)
        self.areas = context.part(Areas)
        self.ranges = self.areas.ranges
        self._profile = profile
        self._pointer = profile.word_bytes
        # Larger areas have their page pointers in an area of their own.
        self._at_once = self._page_size // self._pointer
        fallback = ("vmalloc",) if profile.modules_fallback == "vmalloc" else ()
        self._places = {
            "vmalloc": (self.ranges["vmalloc"],),
            "modules": tuple(self.ranges[name] for name in ("modules", *fallback)),
        }
        self._costs = context.costs
        self._tlbflush = context.tlbflush
        self._operations = context.operations
        self._pagetable = context.part(kernel_page_table)
        self._barriers = context.part(PteBarriers)
        self._direct_map = context.part(DirectMap)
        self._frames = context.part(page_frames)
        self._fresh = context.part(FreshMappings)
        self._touched = context.touched
        self._purge = context.part(Purge)
        self._safety = context.safety

    @property
    def lazy_pages(self) -> Pages:
        """Pages of address space that were freed and are not yet flushed and given back."""
        return self._purge.lazy_pages

    def is_vmalloc_addr(self, address: int) -> bool:
        """Return whether an address lies in the vmalloc range: ``is_vmalloc_addr``."""
        where = self.ranges["vmalloc"]
        return where.start <= address < where.end

    def find(self, address: int) -> VmArea | None:
        """Return the area that has a page mapped at an address; see `Areas.find`."""
        return self.areas.find(address)

    @call
    def vmalloc(self, task: Task, size: Bytes) -> Allocation:
        """Allocate at least ``size`` bytes in whole pages: ``vmalloc``.

        New mappings need no flush: their addresses were flushed before they became free.

        Returns
        -------
        VmArea or None
            None for size 0, for more than all memory, and where addresses or frames run out.

        Raises
        ------
        ProgramError
            For a negative size.
        """
        return self._request(task, "vmalloc", size, _BY_PAGES, self._places["vmalloc"])

    @call
    def vmalloc_huge(self, task: Task, size: Bytes) -> Allocation:
        """Allocate an area that is mapped by large leaves, of 2 MiB as a rule: ``vmalloc_huge``.

        What is smaller than a leaf, or finds no room for leaves, is mapped by pages.

        Parameters
        ----------
        task
            Who calls.
        size
            In bytes; rounded up to whole leaves.

        Returns
        -------
        VmArea or None
            None also on a kernel without huge areas.
        """
        return self.vmalloc_huge_in(task, size, "vmalloc")

    def vmalloc_in(
        self,
        task: Task,
        size: Bytes,
        range: RangeName,
        *,
        align: Pages = 1,
        flush_reset_perms: bool = False,
    ) -> Allocation:
        """Allocate at least ``size`` bytes in a range: ``__vmalloc_node_range``, ``module_alloc``.

        Parameters
        ----------
        task
            Who calls.
        size
            In bytes.
        range
            ``vmalloc`` or ``modules``; where the latter is full, some kernels take the former.
        align
            Of what the number of the first page is a multiple: a power of two.
        flush_reset_perms
            As in `VmArea`.
        """
        shape = Shape(1, align, flush_reset_perms)
        return self._request(task, "vmalloc", size, shape, self._places[range])

    def vmalloc_huge_in(self, task: Task, size: Bytes, range: RangeName) -> Allocation:
        """Allocate an area of huge leaves in a range; see `vmalloc_huge` and `vmalloc_in`."""
        if not self._profile.huge_vmalloc:
            return None
        area = None
        if size >= self._huge * self._page_size:
            places = self._places[range]
            area = yield from self._request(
                task, "vmalloc_huge", size, self._by_huge_leaves, places
            )
        if area is not None:
            return area
        return (yield from self.vmalloc_in(task, size, range))

    @call
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
        area.mark_freed(task, "vfree")
        if self._free_at_once(task, area):
            return
        operation = self._operations.begin(task, "vfree", area.pages)
        operation.page = area.address // self._page_size
        yield from self.areas.remove(task, area, self._costs.vfree, self._costs.vfree_page)
        if area.flush_reset_perms and area.runs and self._profile.reset_perms:
            yield from self._reset_permissions(task, area)
            self._safety.freed(task, area.address, area.pages, trusted=False)
        elif area.runs:
            self._safety.freed(task, area.address, area.pages, trusted=True)
        self._frames.release(area.runs)
        if area.page_array is not None:
            yield from self.vfree(task, area.page_array)
        self._operations.end(operation)

    @call
    def vmap(self, task: Task, block: PageBlock) -> Allocation:
        """Map the pages of a block once more: ``vmap``.

        Returns
        -------
        VmArea or None
            None where addresses run out.
        """
        return self.map_frames(task, "vmap", [block.run])

    @call
    def vunmap(self, task: Task, area: VmArea | None) -> Steps:
        """Unmap what `vmap` mapped, and leave its pages to their owner: ``vunmap``.

        Raises
        ------
        UndefinedBehaviour
            If the area was freed before.
        """
        return self.unmap_frames(task, "vunmap", area)

    def map_frames(self, task: Task, kind: str, runs: list[Run]) -> Allocation:
        """Map frames that others own, in an operation of some kind; None also for no frames."""
        pages = sum(count for _, count in runs)
        operation = self._operations.begin(task, kind, pages)
        area = None
        page = (yield from self.areas.alloc_vmap_area(task, pages + GUARD)) if pages else None
        if page is not None:
            area = VmArea(page * self._page_size, pages, self.ranges["vmalloc"])
            area.runs = runs
            self.areas.add(area)
            cpu_time = self._costs.vmap + pages * self._costs.vmap_page + self._barriers.time(pages)
            yield from self._operations.compute(task, cpu_time)
            self._pagetable.map(area.address, runs, PAGE_KERNEL)
            yield from self._fresh.mapped(task, area.address, pages)
        self._operations.end(operation)
        if area is not None and self._touched.on:
            self._touched.touch(task.cpu, area.address, pages)
        if area is not None and self._fresh.touches:
            yield from self._fresh.touched(task, area.address, pages)
        return area

    def unmap_frames(self, task: Task, kind: str, area: VmArea | None) -> Steps:
        """Undo `map_frames`, in an operation of some kind; see `vunmap`."""
        if area is None:
            return
        area.mark_freed(task, kind)
        operation = self._operations.begin(task, kind, area.pages)
        yield from self.areas.remove(task, area, self._costs.vmap, self._costs.vmap_page)
        self._operations.end(operation)

    def _request(
        self,
        task: Task,
        kind: str,
        size: Bytes,
        shape: Shape,
        places: tuple[AddressRange, ...],
    ) -> Allocation:
        """Allocate whole leaves in the first place that has room (``__vmalloc_node_range``)."""
        if size < 0:
            raise ProgramError(f"{kind} of {size} bytes", task.now, task.place)
        pages = -(-size // (self._page_size * shape.leaf)) * shape.leaf
        if shape is _BY_PAGES and (area := self._allocate_at_once(task, pages)) is not None:
            if self._touched.on:
                self._touched.touch(task.cpu, area.address, pages)
            return area
        operation = self._operations.begin(task, kind, pages)
        area = None
        if not 0 < pages <= self._frames.total:
            yield from self._operations.compute(task, self._costs.vmalloc)
        else:
            for where in places:
                if area is None:
                    area = yield from self._allocate(task, pages, shape, where)
        if area is not None:
            operation.page = area.address // self._page_size
        self._operations.end(operation)
        if area is not None and self._touched.on:
            self._touched.touch(task.cpu, area.address, pages)
        if area is not None and self._fresh.touches:
            yield from self._fresh.touched(task, area.address, pages)
        return area

    def _allocate_at_once(self, task: Task, pages: Pages) -> VmArea | None:
        """Do what `_request` does, in one step, where nobody can notice that it takes time.

        For small areas, which are allocated by the million. None, with nothing done, where somebody
        could, or where there is more to do than usually.
        """
        where = self.ranges["vmalloc"]
        if not 0 < pages <= self._at_once or self._fresh.touches or pages > self._frames.free:
            return None
        work = self._costs.vmalloc + pages * self._costs.vmalloc_page + self._barriers.time(pages)
        taken = self.areas.take_at_once(task, where, pages + GUARD, work)
        if taken is None:
            return None
        page, time = taken
        area = VmArea(page * self._page_size, pages, where, False, True)
        area.runs = self._frames.allocate(pages) or []
        self.areas.add(area)
        self._pagetable.map(area.address, area.runs, PAGE_KERNEL)
        self._operations.note(task, "vmalloc", pages, page, time)
        return area

    def _free_at_once(self, task: Task, area: VmArea) -> bool:
        """Do what `vfree` does, in one step, where nobody can notice; return whether it was."""
        if area.leaf > 1 or area.page_array is not None or area.flush_reset_perms:
            return False
        costs = self._costs
        mapped = area.pages if area.runs else 0
        work = costs.vfree + mapped * costs.vfree_page
        time = self.areas.remove_at_once(task, area, work)
        if time is None:
            return False
        if mapped:
            self._safety.freed(task, area.address, mapped, trusted=True)
        self._frames.release(area.runs)
        self._operations.note(task, "vfree", area.pages, area.address // self._page_size, time)
        return True

    def _allocate(self, task: Task, pages: Pages, shape: Shape, where: AddressRange) -> Allocation:
        """Find addresses, then a place for the page pointers, then pages; then map them."""
        leaf, align, flush_reset_perms = shape
        page = yield from self.areas.alloc_vmap_area(task, pages + GUARD, where, align=align)
        if page is None:
            return None
        area = VmArea(page * self._page_size, pages, where, flush_reset_perms, True, leaf)
        self.areas.add(area)
        if pages * self._pointer <= self._page_size:
            area.runs = self._frames.allocate(pages, leaf) or []
        else:
            area.page_array = yield from self.vmalloc(task, pages * self._pointer)
            if area.page_array is not None:
                area.runs = self._frames.allocate(pages, leaf) or []
        if not area.runs:
            # Its addresses were in use, so they go the way of all freed addresses.
            yield from self.vfree(task, area)
            return None
        entries = pages // leaf
        cpu_time = self._costs.vmalloc + entries * self._costs.vmalloc_page
        cpu_time += self._barriers.time(entries)
        yield from self._operations.compute(task, cpu_time)
        if leaf == 1:
            self._pagetable.map(area.address, area.runs, PAGE_KERNEL)
        else:
            yield from self._write_leaves(task, area)
        yield from self._fresh.mapped(task, area.address, pages)
        return area

    def _write_leaves(self, task: Task, area: VmArea) -> Steps:
        """Write large leaves (``vmap_try_huge_pmd``).

        A table that small leaves have left there is freed first, and every CPU must forget where
        it was (``pmd_free_pte_page``).
        """
        address = area.address
        for pfn, count in area.runs:
            if self._pagetable.free_table(address, _HUGE_LEVEL):
                self._safety.table_unlinked(task)
                yield from self._tlbflush.flush_pages(
                    task, 1, Cause.NEW_MAPPING, address, frees_tables=True
                )
                self._safety.table_freed(task, address, self._huge)
            self._pagetable.map_leaf(address, pfn, _HUGE_LEVEL, PAGE_KERNEL)
            address += count * self._page_size

    def _reset_permissions(self, task: Task, area: VmArea) -> Steps:
        """Flush an area and its direct map in one, and make the latter ordinary again.

        Stands for ``vm_remove_mappings``, since 6.3 ``vm_reset_perms``: the direct map is made
        inaccessible, so that nothing can be cached of it after the flush, and restored once all
        CPUs have flushed.
        """
        start, end = self._direct_map.bounds(area.runs)
        yield from self._direct_map.set_invalid_noflush(task, area.runs)
        yield from self._purge.flush_with_aliases(task, start, end, Cause.RESET_PERMS)
        yield from self._direct_map.set_default_noflush(task, area.runs)
