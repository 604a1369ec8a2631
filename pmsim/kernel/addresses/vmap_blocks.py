"""Short-lived mappings of existing pages: per-CPU blocks of address space.

Stands for ``vm_map_ram`` and ``vm_unmap_ram`` of mm/vmalloc.c (2.6.28 and later): each CPU carves
small mappings from a block of its own, without a lock that others take; what is unmapped stays
dirty, and nothing is flushed before the block is used up or somebody asks for it
(``vm_unmap_aliases``). Left out: the locks of a block, which only another CPU's unmapping would
contend for, and the radix tree.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.addresses.areas import Areas
from pmsim.kernel.addresses.drain import LazyFree
from pmsim.kernel.addresses.ranges import FreedArea
from pmsim.kernel.addresses.search import AddressSpace
from pmsim.kernel.addresses.vmap_block_queues import Block, VmapBlockQueues
from pmsim.kernel.calls import call
from pmsim.kernel.pagetables.barriers import PteBarriers
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.units import Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.pagetables.entries import Run
    from pmsim.kernel.pagetables.page_blocks import PageBlock
    from pmsim.steps import Steps


@dataclass(slots=True, eq=False)
class RamMapping:
    """What `VmapBlocks.vm_map_ram` returns.

    Attributes
    ----------
    page, address, pages
        Number of its first page, its address, and how large it is.
    block
        What it was carved from; None if it stands alone.
    unmapped
        It was given back.
    """

    page: int
    address: int
    pages: Pages
    block: Block | None
    unmapped: bool = False


MaybeMapping = Generator[Any, Any, RamMapping | None]
"""Takes simulated time; returns a mapping, or None if there is no room for it."""


class VmapBlocks:
    """Mappings of pages for a short time.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._block_pages = context.profile.vmap_block_pages
        self._block_limit = context.profile.vmap_block_limit
        self._costs = context.costs
        self._operations = context.operations
        self._pagetable = context.part(kernel_page_table)
        self._barriers = context.part(PteBarriers)
        self._areas = context.part(Areas)
        self._lazy_free = context.part(LazyFree)
        self._where = context.part(AddressSpace).ranges["vmalloc"]
        self._queues = context.part(VmapBlockQueues)

    @call
    def vm_map_ram(self, task: Task, block: PageBlock) -> MaybeMapping:
        """Map the pages of a block for a short time: ``vm_map_ram``.

        Returns
        -------
        RamMapping or None
            None if no address space is left.
        """
        return self.map_frames(task, [block.run])

    def map_frames(self, task: Task, runs: list[Run]) -> MaybeMapping:
        """Map frames for a short time; None also for no frames."""
        pages = sum(count for _, count in runs)
        operation = self._operations.begin(task, "vm_map_ram", pages)
        mapping = None
        if pages:
            mapping = yield from self._reserve(task, pages)
        if mapping is not None:
            yield from self._work(task, pages, self._barriers.time(pages))
            self._pagetable.map(mapping.address, runs)
        self._operations.end(operation)
        return mapping

    @call
    def vm_unmap_ram(self, task: Task, mapping: RamMapping) -> Steps:
        """Unmap: ``vm_unmap_ram``. Nothing is flushed.

        Raises
        ------
        UndefinedBehaviour
            If it was unmapped before.
        """
        if mapping.unmapped:
            message = f"vm_unmap_ram of {mapping.address:#x} for the second time"
            raise UndefinedBehaviour(message, task.now, task.place)
        mapping.unmapped = True
        operation = self._operations.begin(task, "vm_unmap_ram", mapping.pages)
        yield from self._work(task, mapping.pages)
        self._pagetable.unmap(mapping.address, mapping.pages)
        block = mapping.block
        if block is None:
            yield from self._free(task, mapping.page, mapping.pages)
        elif self._queues.give(block, mapping.page, _rounded(mapping.pages)):
            yield from self._free(task, block.page, block.pages)
        self._operations.end(operation)

    def _reserve(self, task: Task, pages: Pages) -> MaybeMapping:
        if pages > self._block_limit:
            page = yield from self._areas.alloc_vmap_area(task, pages)
            return None if page is None else self._mapping(page, pages, None)
        needed = _rounded(pages)
        block = self._queues.with_space(task.cpu, needed)
        if block is None:
            size = self._block_pages
            page = yield from self._areas.alloc_vmap_area(task, size, align=size)
            if page is None:
                return None
            block = self._queues.add(task.cpu, page)
        return self._mapping(self._queues.take(task.cpu, block, needed), pages, block)

    def _mapping(self, page: int, pages: Pages, block: Block | None) -> RamMapping:
        return RamMapping(page, page * self._page_size, pages, block)

    def _work(self, task: Task, pages: Pages, barriers: Picoseconds = 0) -> Any:
        work = self._costs.vmap + pages * self._costs.vmap_page
        return self._operations.compute(task, work + barriers)

    def _free(self, task: Task, page: int, pages: Pages) -> Iterable[Any]:
        return self._lazy_free.free(task, FreedArea(page, pages, self._where))


def _rounded(pages: Pages) -> Pages:
    """Round up to a power of two, as a block gives pages out."""
    return 1 << (pages - 1).bit_length()
