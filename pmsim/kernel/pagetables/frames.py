"""Physical memory: page frames. No time passes.

Stands for the page allocator (mm/page_alloc.c) as far as the page table needs it: which frames an
allocation gets, and that there may be none left. Always the lowest free frames of a zone, so that a
run is reproducible. Left out: nodes, per-CPU lists, fragmentation by movable pages, all zones but
ZONE_DMA and ZONE_HIGHMEM; where a real system scatters an area's pages over memory, they lie
together here, and fewer large leaves of the direct map are met.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim.kernel.freespace import FreeSpace
from pmsim.kernel.pagetables.entries import Run
from pmsim.units import MIB, Pages

if TYPE_CHECKING:
    from pmsim.kernel.context import KernelContext

MAX_ORDERS: Final = {12: 11, 14: 12, 16: 14}
"""By the bits of a page: orders from this one on are refused (include/linux/mmzone.h, Linux 6.1;
arch/arm64/Kconfig, ARCH_FORCE_MAX_ORDER, which counts one less since 6.3)."""

RESERVED: Final = 16 * MIB
"""Size of ZONE_DMA, whose frames ordinary allocations do not get."""


class Frames:
    """The frames of a machine's memory.

    Parameters
    ----------
    total
        How many there are, numbered from 0; those of the first 16 MiB are never given out.
    lowmem
        How many of them, from 0 on, the direct map holds; by default all. The others (highmem, on
        32-bit machines) have no alias there, and only areas of vmalloc get them.

    Attributes
    ----------
    max_order
        Blocks of ``2**max_order`` pages and more are refused.
    total, lowmem
        As given. No run that `allocate` returns has frames on both sides of ``lowmem``.
    """

    def __init__(self, total: Pages, lowmem: Pages | None = None, page_shift: int = 12) -> None:
        self.total = total
        self.max_order = MAX_ORDERS[page_shift]
        self.lowmem = total if lowmem is None else min(lowmem, total)
        reserved = min(RESERVED >> page_shift, self.lowmem)
        self._low = FreeSpace(reserved, self.lowmem - reserved)
        self._high = FreeSpace(self.lowmem, total - self.lowmem) if total > self.lowmem else None

    @property
    def free(self) -> Pages:
        """How many frames are free."""
        return self._low.free + (self._high.free if self._high else 0)

    def allocate(self, pages: Pages, block: Pages = 1) -> list[Run] | None:
        """Take free frames for an area, in runs: highmem first, and of each zone the lowest first.

        Parameters
        ----------
        pages
            How many.
        block
            A power of two that divides it: so many at least follow each other, aligned to their
            number.

        Returns
        -------
        list of Run or None
            None, and nothing taken, if there are too few.
        """
        if block > 1:
            return self._allocate_blocks(pages // block, block)
        if self._high is None:
            return self._low.take_scattered(pages)
        high = min(pages, self._high.free)
        low = self._low.take_scattered(pages - high)
        if low is None:
            return None
        return (self._high.take_scattered(high) or []) + low

    def allocate_block(self, order: int) -> int | None:
        """Take ``2**order`` frames that follow each other, aligned to their number, of lowmem.

        Returns
        -------
        int or None
            The first one's number; None if the order is too large or no such block is free.
        """
        if not 0 <= order < self.max_order:
            return None
        return self._low.take(1 << order, align=1 << order)

    def release(self, runs: list[Run]) -> None:
        """Return frames; raise `ValueError` if some of them are free already."""
        for pfn, count in runs:
            space = self._low if self._high is None or pfn < self.lowmem else self._high
            space.give(pfn, count)

    def _allocate_blocks(self, blocks: int, size: Pages) -> list[Run] | None:
        runs: list[Run] = []
        for _ in range(blocks):
            pfn = self._low.take(size, align=size)
            if pfn is None:
                self.release(runs)
                return None
            runs.append((pfn, size))
        return runs


def page_frames(context: KernelContext) -> Frames:
    """Return the page frames of a kernel's memory, all free."""
    profile = context.profile
    shift = profile.geometry.page_shift
    return Frames(profile.memory >> shift, profile.direct_map_size >> shift, shift)
