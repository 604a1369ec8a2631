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

    def __len__(self) -> int:
        return len(self._pages)

    def add(self, page: int) -> None:
        """Put an area on the list."""
        insort(self._pages, page)

    def remove(self, pages: Iterable[int]) -> None:
        """Take areas off the list."""
        gone = set(pages)
        self._pages = [page for page in self._pages if page not in gone]

    def between(self, start: Pages, end: Pages) -> int:
        """Return how many areas begin from one page on, below another."""
        return bisect_left(self._pages, end) - bisect_left(self._pages, start)
