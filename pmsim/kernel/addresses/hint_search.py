"""The search from where the last one ended, of kernels up to 5.1.

Stands for ``alloc_vmap_area`` and ``__free_vmap_area`` of mm/vmalloc.c (4.16): areas are a list
sorted by address, and the search walks it from a remembered area on (``free_vmap_cache``), so that
addresses ascend and holes below are left alone, until an area below is freed or a hole that was
passed is known to be large enough (``cached_hole_size``). Left out: the list, whose gaps are the
free blocks here.
"""

from __future__ import annotations

from pmsim.kernel.addresses.ranges import AddressRange, Share, WithoutNodes, merged
from pmsim.units import CpuId, Pages


class HintSearch(WithoutNodes):
    """Where the next search begins, and what it has passed by.

    One for all ranges: a request whose range starts below that of the one before forgets the
    place, so that modules and other areas in turn make each other search from the bottom.
    """

    def __init__(self) -> None:
        # The page behind the remembered area; None where nothing is remembered.
        self._place: int | None = None
        self._passed: Pages = 0
        self._start = 0
        self._align: Pages = 1

    def take(self, cpu: CpuId, where: AddressRange, pages: Pages, align: Pages) -> int | None:
        """Take the first place from the remembered one on; see `AddressSearch.take`.

        None also where only lower holes than the remembered place would do: the kernel purges
        then, which moves the place to the lowest area that it frees.
        """
        space = where.space
        permissive = pages < self._passed or space.start < self._start or align < self._align
        outside = self._place is not None and self._place < space.start
        if permissive or outside:
            self._place = None
        if self._place is None:
            self._passed = 0
        self._start, self._align = space.start, align
        page, passed = space.take_above(self._place or space.start, pages, align)
        self._passed = max(self._passed, passed)
        if page is not None:
            self._place = page + pages
        return page

    def give(self, share: Share, *, full: bool) -> None:
        """Free the areas' addresses; the search goes on from the lowest, if it is below its place.

        The size of the holes that were passed is not brought up to date, as in the kernel.
        """
        for page, pages, where in merged(share.areas):
            block = where.space.give(page, pages)
            if self._place is None:
                continue
            if page + pages < self._start:
                self._place = None
            elif page < self._place:
                # The area before the freed one is remembered: its end is where the hole begins.
                self._place = block
