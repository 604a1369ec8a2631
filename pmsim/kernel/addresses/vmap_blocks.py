"""Short-lived mappings of existing pages: per-CPU blocks of address space.

Stands for ``vm_map_ram`` and ``vm_unmap_ram`` of mm/vmalloc.c (2.6.28 and later): each CPU carves
small mappings from a block of its own, without a lock that others take; what is unmapped stays
dirty, and nothing is flushed before the block is used up or somebody asks for it
(``vm_unmap_aliases``). Up to 6.4 nobody remembered what was flushed, and only blocks with space
left were looked at. Left out: the locks of a block, which only another CPU's unmapping would
contend for, and the radix tree.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.addresses.areas import Areas
from pmsim.kernel.addresses.ranges import FreedArea
from pmsim.kernel.pagetables.entries import Run
from pmsim.units import PAGE_SIZE, CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.pagetables.pagetable import PageTable
    from pmsim.kernel.profile import KernelProfile


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
    profile, costs
        How large blocks are, what is remembered of them, and what work costs.
    areas, pagetable, operations
        Where address space comes from and goes, what is written, and where time is charged.
    """

    profile: KernelProfile
    costs: KernelCosts
    areas: Areas
    pagetable: PageTable
    operations: OperationLog
    _with_space: dict[CpuId, list[Block]] = field(default_factory=dict)
    # Blocks that were given out wholly and have not come back wholly.
    _used_up: list[Block] = field(default_factory=list)

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
            if block.dirty == block.pages:
                self._used_up.remove(block)
                yield from self._free(task, block.page, block.pages)
        self.operations.end(operation)

    def dirty_span(self) -> tuple[int, int] | None:
        """Return first address and end of all that is dirty and must be flushed.

        Up to 6.4 what was flushed is not remembered, and blocks that were given out wholly are not
        looked at, though parts of them may be dirty; since then each part counts once.
        """
        once = self.profile.dirty_blocks == "once"
        blocks = [block for blocks in self._with_space.values() for block in blocks]
        if once:
            blocks += self._used_up
        dirty = [block for block in blocks if block.dirty_start < block.dirty_end]
        if not dirty:
            return None
        start = min(block.page + block.dirty_start for block in dirty)
        end = max(block.page + block.dirty_end for block in dirty)
        if once:
            for block in dirty:
                block.flushed()
        return start * PAGE_SIZE, end * PAGE_SIZE

    def take_fragmented(self, *, forced: bool) -> list[FreedArea]:
        """Give up blocks of which nothing is mapped (``purge_fragmented_blocks``).

        Parameters
        ----------
        forced
            All of them; otherwise, since 6.5, those of which less than a quarter is left
            (``VMAP_PURGE_THRESHOLD``).
        """
        quarter = self.profile.dirty_blocks == "once" and not forced
        most = (
            (self.profile.vmap_block_pages + 3) // 4 - 1
            if quarter
            else self.profile.vmap_block_pages
        )
        where = self.areas.ranges["vmalloc"]
        freed = []
        for blocks in self._with_space.values():
            given_up = [block for block in blocks if block.fragmented and block.free <= most]
            blocks[:] = [block for block in blocks if block not in given_up]
            freed += [FreedArea(block.page, block.pages, where) for block in given_up]
        return freed

    def _reserve(self, task: Task, pages: Pages) -> Generator[Any, Any, RamMapping | None]:
        if pages > self.profile.vmap_block_limit:
            page = yield from self.areas.alloc_vmap_area(task, pages)
            return None if page is None else RamMapping(page * PAGE_SIZE, pages, None)
        needed = _rounded(pages)
        blocks = self._with_space.setdefault(task.cpu, [])
        block = next((one for one in blocks if one.free >= needed), None)
        if block is None:
            size = self.profile.vmap_block_pages
            page = yield from self.areas.alloc_vmap_area(task, size, align=size)
            if page is None:
                return None
            block = Block(page, size, size)
            blocks.append(block)
        mapping = RamMapping(block.take(needed) * PAGE_SIZE, pages, block)
        if not block.free:
            blocks.remove(block)
            self._used_up.append(block)
        return mapping

    def _work(self, task: Task, pages: Pages) -> Any:
        return self.operations.compute(task, self.costs.vmap + pages * self.costs.vmap_page)

    def _free(self, task: Task, page: int, pages: Pages) -> Iterable[Any]:
        where = self.areas.ranges["vmalloc"]
        return self.areas.purge.add(task, FreedArea(page, pages, where))


def _rounded(pages: Pages) -> Pages:
    """Round up to a power of two, as a block gives pages out."""
    return 1 << (pages - 1).bit_length()
