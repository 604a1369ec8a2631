"""The cache of executable memory: pieces of huge pages that are read-only and executable already.

Stands for the part of mm/execmem.c under CONFIG_ARCH_HAS_EXECMEM_ROX (Linux 6.18, x86-64): text
shares leaves of 2 MiB, so that there are fewer of them in the instruction TLB, and each piece pays
for it with more changes of permission than memory of its own would. Left out: KASAN shadows.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.pagetables.directmap import DirectMap
from pmsim.kernel.pagetables.frames import page_frames
from pmsim.kernel.permissions.set_memory import SetMemory
from pmsim.kernel.workqueue import Work
from pmsim.units import MS, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

FREE_DELAY: Final = 10 * MS
"""After how long freeing a piece is tried again for which there was no memory (``FREE_DELAY``)."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a block: address of its first byte, and pages."""

    address: int
    pages: Pages


class RoxCache:
    """The free and the used pieces of all blocks.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    mutex
        Held while a piece is searched for; and while one is freed, over its three changes of
        permission and their shootdowns.
    blocks
        The blocks by the number of their first page.
    """

    def __init__(self, context: KernelContext) -> None:
        geometry = context.profile.geometry
        self._page_size = geometry.page_size
        # Blocks are made of leaves of this many pages (``PMD_SIZE``).
        self._leaf = geometry.span(2)
        self.mutex = KernelMutex(context.machine, "execmem_cache.mutex")
        self.blocks: dict[int, VmArea] = {}
        self._costs = context.costs
        self._operations = context.operations
        self._workqueue = context.workqueue
        self._direct_map = context.part(DirectMap)
        self._frames = context.part(page_frames)
        self._vmalloc = context.part(Vmalloc)
        self._set_memory = context.part(SetMemory)
        self._free: list[tuple[int, Pages]] = []
        self._pending: list[Piece] = []
        self._clean_work = Work(self._clean)

    @property
    def free_pieces(self) -> list[tuple[int, Pages]]:
        """The free pieces by address: number of the first page, and pages."""
        return list(self._free)

    def allocate(self, task: Task, pages: Pages) -> Generator[Any, Any, Piece | None]:
        """Hand out a piece, read-only and executable as it is (``execmem_cache_alloc``).

        Returns
        -------
        Piece or None
            None if no free piece is large enough and no memory is left for a new block.
        """
        yield from self._operations.lock(task, self.mutex)
        piece = self._cut(pages)
        self.mutex.unlock(task)
        return piece or (yield from self._populate(task, pages))

    def force_rw(self, task: Task, address: int, pages: Pages) -> Steps:
        """Make memory writable and not executable, whatever it was (``execmem_force_rw``)."""
        yield from self._set_memory.set_memory_nx(task, address, pages)
        yield from self._set_memory.set_memory_rw(task, address, pages)

    def restore_rox(self, task: Task, address: int, pages: Pages) -> Steps:
        """Make memory read-only and executable again (``execmem_restore_rox``)."""
        yield from self._set_memory.set_memory_rox(task, address, pages)

    def free(self, task: Task, piece: Piece) -> Steps:
        """Take a piece back (``execmem_cache_free``); later, if there is no memory to note it."""
        yield from self._operations.lock(task, self.mutex)
        if (yield from self._free_locked(task, piece)):
            self._workqueue.schedule_work(task, self._clean_work)
        else:
            if not self._pending:
                self._workqueue.queue_delayed(task, self._free_pending, FREE_DELAY)
            self._pending.append(piece)
        self.mutex.unlock(task)

    def _cut(self, pages: Pages) -> Piece | None:
        """Cut a piece from the lowest free one that is large enough; the mutex is held.

        Stands for ``execmem_cache_alloc_locked``.
        """
        found = next((i for i, (_, size) in enumerate(self._free) if size >= pages), None)
        if found is None:
            return None
        page, size = self._free.pop(found)
        if size > pages:
            self._free.insert(found, (page + pages, size - pages))
        return Piece(page * self._page_size, pages)

    def _populate(self, task: Task, pages: Pages) -> Generator[Any, Any, Piece | None]:
        """Add a block of whole huge pages, or of small ones if there are none, and cut from it.

        Both under one hold of the mutex (``execmem_cache_populate_alloc``): a block that is wholly
        free might otherwise be cleaned away, or used up by others, before its own piece is cut.
        """
        size = -(-pages // self._leaf) * self._leaf
        block = yield from self._vmalloc.vmalloc_huge_in(task, size * self._page_size, "modules")
        if block is None:
            block = yield from self._vmalloc.vmalloc_in(task, pages * self._page_size, "modules")
        if block is None:
            return None
        yield from self._fill(task, block.pages)
        yield from self.restore_rox(task, block.address, block.pages)
        yield from self._operations.lock(task, self.mutex)
        self.blocks[block.address // self._page_size] = block
        self._add(block.address // self._page_size, block.pages)
        piece = self._cut(pages)
        self.mutex.unlock(task)
        return piece

    def _free_locked(self, task: Task, piece: Piece) -> Generator[Any, Any, bool]:
        """Overwrite a piece and note that it is free; return False if there is no memory for that.

        The note is an entry of a tree, for which a page may be needed. It is written last: a piece
        for which there is none is protected again by then, and goes through all of it once more.
        """
        yield from self.force_rw(task, piece.address, piece.pages)
        yield from self._fill(task, piece.pages)
        yield from self.restore_rox(task, piece.address, piece.pages)
        if not self._frames.free:
            return False
        self._add(piece.address // self._page_size, piece.pages)
        return True

    def _free_pending(self, task: Task) -> Steps:
        """Try again to free what could not be freed (``execmem_cache_free_slow``)."""
        yield from self._operations.lock(task, self.mutex)
        pending, self._pending = self._pending, []
        for piece in pending:
            if not (yield from self._free_locked(task, piece)):
                self._pending.append(piece)
        if self._pending:
            self._workqueue.queue_delayed(task, self._free_pending, FREE_DELAY)
        else:
            self._workqueue.schedule_work(task, self._clean_work)
        self.mutex.unlock(task)

    def _clean(self, task: Task) -> Steps:
        """Give blocks back of which no piece is used any more (``execmem_cache_clean``)."""
        yield from self._operations.lock(task, self.mutex)
        for page, pages in self.free_pieces:
            block = self.blocks.get(page)
            if block is None or block.pages != pages or page % self._leaf or pages % self._leaf:
                continue
            self._free.remove((page, pages))
            del self.blocks[page]
            yield from self._direct_map.set_default_noflush(task, block.runs)
            yield from self._vmalloc.vfree(task, block)
        self.mutex.unlock(task)

    def _add(self, page: int, pages: Pages) -> None:
        """Note a free piece, joined with those that adjoin it (``execmem_cache_add_locked``)."""
        at = bisect(self._free, (page, pages))
        if at < len(self._free) and self._free[at][0] == page + pages:
            pages += self._free.pop(at)[1]
        if at and sum(self._free[at - 1]) == page:
            at -= 1
            page, below = self._free.pop(at)
            pages += below
        self._free.insert(at, (page, pages))

    def _fill(self, task: Task, pages: Pages) -> Any:
        """Fill memory with instructions that trap, so that none of the old ones can be run."""
        return self._operations.compute(task, pages * self._page_size * self._costs.fill_byte)
