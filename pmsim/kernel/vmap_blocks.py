"""Short-lived mappings of existing pages: per-CPU blocks of address space.

Stands for ``vm_map_ram`` and ``vm_unmap_ram`` of mm/vmalloc.c (2.6.28 to 6.4): each CPU carves
small mappings from a block of its own, without a lock that others take; what is unmapped stays
dirty, and nothing is flushed before the block is used up or somebody asks for it
(``vm_unmap_aliases``). Left out: the locks of a block, which only another CPU's unmapping would
contend for, and the radix tree.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.entries import Run
from pmsim.kernel.purge import FreedArea, Purge
from pmsim.kernel.vmalloc import Vmalloc
from pmsim.units import PAGE_SIZE, CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.pagetable import PageTable

BLOCK_PAGES: Final = 1024
"""Pages of a block (``VMAP_BBMAP_BITS``), for kernels built for up to 2,048 CPUs."""

MAX_PAGES: Final = 64
"""The largest mapping that is carved from a block (``VMAP_MAX_ALLOC``); larger ones stand alone."""


@dataclass(slots=True, eq=False)
class Block:
    """A block of address space (``struct vmap_block``).

    Attributes
    ----------
    page
        Number of its first page.
    free
        Pages at its end that were never given out; what comes back is not given out again.
    dirty
        Pages that came back.
    dirty_start, dirty_end
        The first and the one after the last of these, from the start of the block.
    """

    page: int
    free: Pages = BLOCK_PAGES
    dirty: Pages = 0
    dirty_start: Pages = BLOCK_PAGES
    dirty_end: Pages = 0

    @property
    def fragmented(self) -> bool:
        """Whether nothing of it is mapped, though it is not used up."""
        return self.free + self.dirty == BLOCK_PAGES and self.dirty not in (0, BLOCK_PAGES)

    def take(self, pages: Pages) -> int:
        """Give out the next pages; return the number of the first."""
        page = self.page + BLOCK_PAGES - self.free
        self.free -= pages
        return page

    def give(self, page: int, pages: Pages) -> None:
        """Take pages back, dirty."""
        start = page - self.page
        self.dirty += pages
        self.dirty_start = min(self.dirty_start, start)
        self.dirty_end = max(self.dirty_end, start + pages)


@dataclass(slots=True, eq=False)
class RamMapping:
    """What `VmapBlocks.vm_map_ram` returns.

    Attributes
    ----------
    address, pages
        Where it is and how large.
    block
        What it was carved from; None if it stands alone.
    unmapped
        It was given back.
    """

    address: int
    pages: Pages
    block: Block | None
    unmapped: bool = False

    @property
    def page(self) -> int:
        """Number of the first page."""
        return self.address // PAGE_SIZE


@dataclass(slots=True)
class VmapBlocks:
    """The blocks of all CPUs.

    Parameters
    ----------
    vmalloc, purge, pagetable
        Where address space comes from and goes, and what is written.
    operations, costs
        Where time is charged, and what work costs.
    """

    vmalloc: Vmalloc
    purge: Purge
    pagetable: PageTable
    operations: OperationLog
    costs: KernelCosts
    _with_space: dict[CpuId, list[Block]] = field(default_factory=dict)

    def vm_map_ram(self, task: Task, runs: list[Run]) -> Generator[Any, Any, RamMapping | None]:
        """Map pages for a short time: ``vm_map_ram``.

        Returns
        -------
        RamMapping or None
            None for no pages, and if no address space is left.
        """
        pages = sum(count for _, count in runs)
        operation = self.operations.begin(task, "vm_map_ram", pages)
        mapping = None
        if pages:
            mapping = yield from self._reserve(task, pages)
        if mapping is not None:
            yield from self._work(task, pages)
            self.pagetable.map(mapping.address, runs)
        self.operations.end(operation)
        return mapping

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
        operation = self.operations.begin(task, "vm_unmap_ram", mapping.pages)
        yield from self._work(task, mapping.pages)
        self.pagetable.unmap(mapping.address, mapping.pages)
        block = mapping.block
        if block is None:
            yield from self._free(task, mapping.page, mapping.pages)
        else:
            block.give(mapping.page, _rounded(mapping.pages))
            if block.dirty == BLOCK_PAGES:
                yield from self._free(task, block.page, BLOCK_PAGES)
        self.operations.end(operation)

    def dirty_span(self) -> tuple[int, int] | None:
        """Return first address and end of all that is dirty in blocks that still have space.

        Blocks that were given out wholly are not looked at, though parts of them may be dirty, and
        what was flushed is not remembered: both as up to 6.4.
        """
        dirty = [block for blocks in self._with_space.values() for block in blocks if block.dirty]
        if not dirty:
            return None
        start = min(block.page + block.dirty_start for block in dirty)
        end = max(block.page + block.dirty_end for block in dirty)
        return start * PAGE_SIZE, end * PAGE_SIZE

    def take_fragmented(self) -> list[FreedArea]:
        """Give up the blocks of which nothing is mapped (``purge_fragmented_blocks``)."""
        where = self.vmalloc.ranges["vmalloc"]
        freed = []
        for blocks in self._with_space.values():
            freed += [FreedArea(b.page, BLOCK_PAGES, where) for b in blocks if b.fragmented]
            blocks[:] = [block for block in blocks if not block.fragmented]
        return freed

    def _reserve(self, task: Task, pages: Pages) -> Generator[Any, Any, RamMapping | None]:
        if pages > MAX_PAGES:
            page = yield from self.vmalloc.alloc_vmap_area(task, pages)
            return None if page is None else RamMapping(page * PAGE_SIZE, pages, None)
        needed = _rounded(pages)
        blocks = self._with_space.setdefault(task.cpu, [])
        block = next((one for one in blocks if one.free >= needed), None)
        if block is None:
            page = yield from self.vmalloc.alloc_vmap_area(task, BLOCK_PAGES, align=BLOCK_PAGES)
            if page is None:
                return None
            block = Block(page)
            blocks.append(block)
        mapping = RamMapping(block.take(needed) * PAGE_SIZE, pages, block)
        if not block.free:
            blocks.remove(block)
        return mapping

    def _work(self, task: Task, pages: Pages) -> Any:
        return self.operations.compute(task, self.costs.vmap + pages * self.costs.vmap_page)

    def _free(self, task: Task, page: int, pages: Pages) -> Steps:
        return self.purge.add(task, FreedArea(page, pages, self.vmalloc.ranges["vmalloc"]))


def _rounded(pages: Pages) -> Pages:
    """Round up to a power of two, as a block gives pages out."""
    return 1 << (pages - 1).bit_length()
