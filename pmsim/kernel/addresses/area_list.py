"""The list of all areas, sorted by address, which old kernels walk for a free place.

Stands for ``vmlist`` (2.6.27 and before) and ``vmap_area_list`` (mm/vmalloc.c, up to 5.1). An area
stays on it until a purge gives it back.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from pmsim.units import Pages


class AreaList:
    """The areas, by the numbers of their first pages."""

    def __init__(self) -> None:
        self._pages: list[int] = []
        self._ends: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._pages)

    def add(self, page: int, end: int) -> None:
        """Put an area on the list: its first page, and the one after its last."""
        insort(self._pages, page)
        self._ends[page] = end

    def remove(self, pages: Iterable[int]) -> None:
        """Take areas off the list."""
        gone = set(pages)
        self._pages = [page for page in self._pages if page not in gone]
        for page in gone:
            del self._ends[page]

    def between(self, start: Pages, end: Pages) -> int:
        """Return how many areas begin from one page on, below another."""
        return bisect_left(self._pages, end) - bisect_left(self._pages, start)

    def end_before(self, page: int) -> int | None:
        """Return the page after the last area that begins below a page; None if there is none."""
        at = bisect_left(self._pages, page)
        return self._ends[self._pages[at - 1]] if at else None

    def reaching(self, page: int) -> int:
        """Return where the area begins that a page lies in or just behind, else the page itself."""
        at = bisect_left(self._pages, page)
        before = self._pages[at - 1] if at else page
        return before if at and self._ends[before] >= page else page
