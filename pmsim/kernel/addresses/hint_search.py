"""Searches that walk the list of areas, of kernels up to 5.1.

`ListSearch` stands for ``__get_vm_area_node`` (mm/vmalloc.c, 2.6.27), which begins at the bottom;
`HintSearch` for ``alloc_vmap_area`` and ``__free_vmap_area`` (4.16), which walk from a remembered
area on (``free_vmap_cache``), so that addresses ascend and holes below are left alone, until an
area below is freed or a hole that was passed is known to be large enough (``cached_hole_size``).
Places are found among free blocks, and the areas between are counted, as each is a step of the
walk.
"""

from __future__ import annotations

from pmsim.kernel.addresses.area_list import AreaList
from pmsim.kernel.addresses.ranges import AddressRange, Share, WithoutNodes, merged
from pmsim.units import CpuId, Pages


class _Walk(WithoutNodes):
    """The list of areas, and how far the last search walked it."""

    def __init__(self) -> None:
        self._areas = AreaList()
        self.steps = 0

    @property
    def most_steps(self) -> int:
        """As many as there are areas."""
        return len(self._areas)

    def _walked(self, start: Pages, found: int | None, pages: Pages, where: AddressRange) -> None:
        """Count the steps from a page to the place that was found, or to the end of a range."""
        end = where.space.end if found is None else found
        self.steps = self._areas.between(start, end)
        if found is not None:
            self._areas.add(found, found + pages)

    def _off(self, share: Share) -> None:
        self._areas.remove(area.page for area in share.areas)


class ListSearch(_Walk):
    """The lowest place that is large enough, from the bottom of the list (2.6.27 and before)."""

    locks = ("vmlist_lock",)

    def take(self, cpu: CpuId, where: AddressRange, pages: Pages, align: Pages) -> int | None:
        """Take the lowest place; see `AddressSearch.take`."""
        page = where.space.take(pages, align)
        self._walked(where.space.start, page, pages, where)
        return page

    def give(self, share: Share, *, full: bool) -> None:
        """Free the areas' addresses."""
        self._off(share)
        for page, pages, where in merged(share.areas):
            where.space.give(page, pages)


class HintSearch(_Walk):
    """Where the next search begins, and what it has passed by (up to 5.1).

    One for all ranges: a request whose range starts below that of the one before forgets the
    place, so that modules and other areas in turn make each other search from the bottom.
    """

    def __init__(self) -> None:
        super().__init__()
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
        self._walked(self._first(where, align), page, pages, where)
        self._passed = max(self._passed, passed)
        if page is not None:
            self._place = page + pages
        return page

    def _first(self, where: AddressRange, align: Pages) -> Pages:
        """Return the page from which on areas are walked.

        Without a remembered area a look into the tree finds the first that ends at the lowest
        aligned page or behind it; those below are no steps.
        """
        if self._place is not None:
            return self._place
        lowest = where.space.start
        return max(lowest, self._areas.reaching(lowest + -lowest % align))

    def give(self, share: Share, *, full: bool) -> None:
        """Free the areas' addresses; the search goes on from the lowest, if it is below its place.

        The size of the holes that were passed is not brought up to date, as in the kernel.
        """
        self._off(share)
        for page, pages, where in merged(share.areas):
            where.space.give(page, pages)
            if self._place is None:
                continue
            if page + pages < self._start:
                self._place = None
            elif page < self._place:
                # Remembered is the area before the freed one, of any range; or none (rb_prev).
                self._place = self._areas.end_before(page)
