"""Physical memory: page frames. No time passes.

Stands for the page allocator (mm/page_alloc.c) as far as the page table needs it: which frames an
allocation gets, and that there may be none left. Always the lowest free frames, so that a run is
reproducible. Left out: zones, nodes, per-CPU lists, fragmentation by movable pages; where a real
system scatters an area's pages over memory, they lie together here, and fewer large leaves of the
direct map are met.
"""

from __future__ import annotations

from typing import Final

from pmsim.kernel.entries import Run
from pmsim.kernel.freespace import FreeSpace
from pmsim.units import MIB, PAGE_SIZE, Pages

MAX_ORDER: Final = 11
"""Orders from this one on are refused (include/linux/mmzone.h, Linux 6.1)."""

_RESERVED: Final = 16 * MIB // PAGE_SIZE
"""Frames of ZONE_DMA, which ordinary allocations do not get."""


class Frames:
    """The frames of a machine's memory.

    Parameters
    ----------
    total
        How many there are, numbered from 0; those of the first 16 MiB are never given out.
    """

    def __init__(self, total: Pages) -> None:
        self.total = total
        reserved = min(_RESERVED, total)
        self._space = FreeSpace(reserved, total - reserved)

    @property
    def free(self) -> Pages:
        """How many frames are free."""
        return self._space.free

    def allocate(self, pages: Pages) -> list[Run] | None:
        """Take the lowest free frames, in runs; None, and nothing taken, if there are too few."""
        return self._space.take_scattered(pages)

    def allocate_block(self, order: int) -> int | None:
        """Take ``2**order`` frames that follow each other, aligned to their number.

        Returns
        -------
        int or None
            The first one's number; None if the order is too large or no such block is free.
        """
        if not 0 <= order < MAX_ORDER:
            return None
        return self._space.take(1 << order, align=1 << order)

    def release(self, runs: list[Run]) -> None:
        """Return frames; raise `ValueError` if some of them are free already."""
        for pfn, count in runs:
            self._space.give(pfn, count)
