"""Blocks of address space, of which each CPU carves small mappings: what is free and what is dirty.

Stands for ``struct vmap_block`` and ``struct vmap_block_queue`` of mm/vmalloc.c (2.6.28 and later).
No time passes here: `pmsim.kernel.addresses.vmap_blocks` maps and unmaps,
`pmsim.kernel.addresses.purge` flushes what is dirty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pmsim.kernel.addresses.ranges import FreedArea
from pmsim.kernel.addresses.search import AddressSpace
from pmsim.units import CpuId, Pages

if TYPE_CHECKING:
    from pmsim.kernel.context import KernelContext


@dataclass(slots=True, eq=False)
class Block:
    """A block of address space (``struct vmap_block``).

    Attributes
    ----------
    page, pages
        Number of its first page, and how many there are.
    free
        Pages at its end that were never given out; what comes back is not given out again.
    dirty
        Pages that came back.
    dirty_start, dirty_end
        The first and the one after the last of these that wait for a flush, from the start of the
        block; none do where they are not in this order.
    """

    page: int
    pages: Pages
    free: Pages
    dirty: Pages = 0
    dirty_start: Pages = 0
    dirty_end: Pages = 0

    @property
    def fragmented(self) -> bool:
        """Whether nothing of it is mapped, though it is not used up."""
        return self.free + self.dirty == self.pages and 0 < self.dirty < self.pages

    def take(self, pages: Pages) -> int:
        """Give out the next pages; return the number of the first."""
        page = self.page + self.pages - self.free
        self.free -= pages
        return page

    def give(self, page: int, pages: Pages) -> None:
        """Take pages back, dirty."""
        start = page - self.page
        unflushed = self.dirty_start < self.dirty_end
        self.dirty += pages
        self.dirty_start = min(self.dirty_start, start) if unflushed else start
        self.dirty_end = max(self.dirty_end, start + pages) if unflushed else start + pages

    def flushed(self) -> None:
        """Remember that nothing of it waits for a flush."""
        self.dirty_start = self.dirty_end = 0


class VmapBlockQueues:
    """The blocks of all CPUs.

    Up to 6.4 nobody remembered what was flushed, and only blocks with space left were looked at.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._once = context.profile.dirty_blocks == "once"
        self._block_pages = context.profile.vmap_block_pages
        self._where = context.part(AddressSpace).ranges["vmalloc"]
        self._with_space: dict[CpuId, list[Block]] = {}
        # Blocks that were given out wholly and have not come back wholly.
        self._used_up: list[Block] = []

    def with_space(self, cpu: CpuId, pages: Pages) -> Block | None:
        """Return the CPU's first block that has so many pages left, None if it has none."""
        blocks = self._with_space.get(cpu, ())
        return next((block for block in blocks if block.free >= pages), None)

    def add(self, cpu: CpuId, page: int) -> Block:
        """Make a block of the pages from ``page`` on, for a CPU to carve."""
        block = Block(page, self._block_pages, self._block_pages)
        self._with_space.setdefault(cpu, []).append(block)
        return block

    def take(self, cpu: CpuId, block: Block, pages: Pages) -> int:
        """Give out pages of a CPU's block; return the number of the first."""
        page = block.take(pages)
        if not block.free:
            self._with_space[cpu].remove(block)
            self._used_up.append(block)
        return page

    def give(self, block: Block, page: int, pages: Pages) -> bool:
        """Take pages back, dirty; return whether the whole block has come back, and is given up."""
        block.give(page, pages)
        if block.dirty < block.pages:
            return False
        self._used_up.remove(block)
        return True

    def dirty_span(self) -> tuple[int, int] | None:
        """Return first address and end of all that is dirty and must be flushed.

        Up to 6.4 what was flushed is not remembered, and blocks that were given out wholly are not
        looked at, though parts of them may be dirty; since then each part counts once.
        """
        blocks = [block for blocks in self._with_space.values() for block in blocks]
        if self._once:
            blocks += self._used_up
        dirty = [block for block in blocks if block.dirty_start < block.dirty_end]
        if not dirty:
            return None
        start = min(block.page + block.dirty_start for block in dirty)
        end = max(block.page + block.dirty_end for block in dirty)
        if self._once:
            for block in dirty:
                block.flushed()
        return start * self._page_size, end * self._page_size

    def take_fragmented(self, *, forced: bool) -> list[FreedArea]:
        """Give up blocks of which nothing is mapped (``purge_fragmented_blocks``).

        Parameters
        ----------
        forced
            All of them; otherwise, since 6.5, those of which less than a quarter is left
            (``VMAP_PURGE_THRESHOLD``).
        """
        quarter = self._once and not forced
        most = (self._block_pages + 3) // 4 - 1 if quarter else self._block_pages
        freed = []
        for blocks in self._with_space.values():
            given_up = [block for block in blocks if block.fragmented and block.free <= most]
            blocks[:] = [block for block in blocks if block not in given_up]
            freed += [FreedArea(block.page, block.pages, self._where) for block in given_up]
        return freed
