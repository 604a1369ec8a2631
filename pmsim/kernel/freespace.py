"""Free runs of a numbered space, handed out lowest first. No time passes.

Serves address ranges (in pages) and physical memory (in page frames). What it stands for is the
tree of free blocks of mm/vmalloc.c (``free_vmap_area_root``, Linux 5.2 and later): blocks sorted by
address, neighbours merged, and the lowest block that is large enough wins
(``find_vmap_lowest_match``). The result is the same, the structure is another: a sorted list in
chunks, each with a bound of its largest block.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Final

_CHUNK: Final = 256
"""Blocks at which a chunk is halved. 128 to 512 measured alike; 64 and 1,024 were slower."""

_CURSORS: Final = 32
"""Sizes whose cursors are kept; with more of them in turn each search starts from the bottom."""


class FreeSpace:
    """The free blocks of a space of consecutive numbers.

    Parameters
    ----------
    start
        The first number.
    size
        How many there are, all of them free.

    Attributes
    ----------
    free
        How many numbers are free.
    """

    __slots__ = ("_bounds", "_cursors", "_firsts", "_sizes", "_starts", "end", "free", "start")

    def __init__(self, start: int, size: int) -> None:
        self.start = start
        self.end = start + size
        self.free = size
        self._starts: list[list[int]] = [[start]]
        self._sizes: list[list[int]] = [[size]]
        self._firsts: list[int] = [start]
        # Upper bounds of the largest block of each chunk; tightened when a search finds too little.
        self._bounds: list[int] = [size]
        # No block of so many numbers or more starts below the cursor of that size.
        self._cursors: dict[int, int] = {}

    @property
    def largest(self) -> int:
        """How many numbers the largest free block has."""
        return max((max(sizes, default=0) for sizes in self._sizes), default=0)

    def blocks(self) -> list[tuple[int, int]]:
        """Return the free blocks, ascending: first number and size of each."""
        chunks = zip(self._starts, self._sizes, strict=True)
        return [block for starts, sizes in chunks for block in zip(starts, sizes, strict=True)]

    def take(self, size: int, align: int = 1) -> int | None:
        """Take the lowest ``size`` consecutive numbers, the first of them a multiple of ``align``.

        Returns
        -------
        int or None
            The first number; None if no block is large enough.
        """
        cursor = self._cursors.get(size, self.start)
        chunk = max(bisect_right(self._firsts, cursor) - 1, 0)
        starts, sizes = self._starts[chunk], self._sizes[chunk]
        at = bisect_left(starts, cursor)
        if align == 1 and at < len(sizes) and sizes[at] > size:
            # The most frequent case by far: what comes next is large enough.
            start = starts[at]
            starts[at] = start + size
            sizes[at] -= size
            self._firsts[chunk] = starts[0]
            self.free -= size
            self._remember(size, start)
            return start
        while chunk < len(self._bounds):
            if self._bounds[chunk] >= size:
                place = self._search(chunk, at, size, align)
                if place is not None:
                    start = self._cut(chunk, place, size, align)
                    if align == 1:
                        self._remember(size, start)
                    return start
            chunk, at = chunk + 1, 0
        return None

    def take_above(self, place: int, size: int, align: int = 1) -> tuple[int | None, int]:
        """Take the first ``size`` consecutive numbers that lie at or above a place.

        Parameters
        ----------
        place
            Where the search begins, in a free block or between two.
        size, align
            As for `take`.

        Returns
        -------
        int or None
            The first number; None if no block above is large enough.
        int
            The size of the largest block that was passed by, counted from its first aligned number
            on; one that reaches to the end of the space does not count.
        """
        first = max(bisect_right(self._firsts, place) - 1, 0)
        at = bisect_left(self._starts[first], place)
        passed = 0
        for chunk in range(first, len(self._starts)):
            starts, sizes = self._starts[chunk], self._sizes[chunk]
            for block in range(at, len(starts)):
                usable = sizes[block] - -starts[block] % align
                if usable >= size:
                    return self._cut(chunk, block, size, align), passed
                if starts[block] + sizes[block] < self.end:
                    passed = max(passed, usable)
            at = 0
        return None, passed

    def take_scattered(self, size: int) -> list[tuple[int, int]] | None:
        """Take the ``size`` lowest numbers, in as many blocks as it needs.

        Returns
        -------
        list of (int, int) or None
            First number and size of each block, ascending; None, and nothing taken, if fewer are
            free.
        """
        if size > self.free:
            return None
        starts, sizes = self._starts[0], self._sizes[0]
        if 0 < size < sizes[0]:
            # The most frequent case by far, as in `take`.
            start = starts[0]
            starts[0] = self._firsts[0] = start + size
            sizes[0] -= size
            self.free -= size
            return [(start, size)]
        taken = []
        while size:
            count = min(size, self._sizes[0][0])
            taken.append((self._cut(0, 0, count, 1), count))
            size -= count
        return taken

    def give(self, start: int, size: int) -> None:
        """Return numbers that were taken; neighbouring blocks merge.

        Raises
        ------
        ValueError
            If some of them are free already, or outside the space.
        """
        chunk = max(bisect_right(self._firsts, start) - 1, 0)
        starts, sizes = self._starts[chunk], self._sizes[chunk]
        at = bisect_right(starts, start)
        before = starts[at - 1] + sizes[at - 1] if at else self.start
        if at < len(starts) and starts[at] == start + size and before + (at > 0) <= start:
            # The most frequent case by far: what was taken last comes back first.
            self.free += size
            self._extend_down(chunk, at, start)
            return
        right = self._right_of(chunk, at)
        after = self.end if right is None else self._starts[right[0]][right[1]]
        if not before <= start < start + size <= after:
            raise ValueError(f"{size} numbers from {start} on are not all taken")
        self.free += size
        if right is not None and after == start + size:
            size += self._sizes[right[0]][right[1]]
            self._delete(*right)
        if at and before == start:
            start, size = starts[at - 1], sizes[at - 1] + size
            sizes[at - 1] = size
            self._bounds[chunk] = max(self._bounds[chunk], size)
        else:
            self._insert(chunk, at, start, size)
        self._lower_cursors(start, size)

    def _extend_down(self, chunk: int, at: int, start: int) -> None:
        """Let a block begin further below."""
        starts, sizes = self._starts[chunk], self._sizes[chunk]
        sizes[at] = size = sizes[at] + starts[at] - start
        starts[at] = start
        self._firsts[chunk] = starts[0]
        if size > self._bounds[chunk]:
            self._bounds[chunk] = size
        if self._cursors:
            self._lower_cursors(start, size)

    def _lower_cursors(self, start: int, size: int) -> None:
        """Let searches for no more than ``size`` begin at a block of that size again."""
        for wanted, cursor in self._cursors.items():
            if start < cursor and wanted <= size:
                self._cursors[wanted] = start

    def _search(self, chunk: int, at: int, size: int, align: int) -> int | None:
        """Return the place of the first block of a chunk, from ``at`` on, that can serve."""
        starts, sizes = self._starts[chunk], self._sizes[chunk]
        for place in range(at, len(sizes)):
            if sizes[place] >= size and -starts[place] % align + size <= sizes[place]:
                return place
        if at == 0:
            self._bounds[chunk] = max(sizes, default=0)
        return None

    def _right_of(self, chunk: int, at: int) -> tuple[int, int] | None:
        if at < len(self._starts[chunk]):
            return chunk, at
        return (chunk + 1, 0) if chunk + 1 < len(self._starts) else None

    def _cut(self, chunk: int, at: int, size: int, align: int) -> int:
        """Take ``size`` numbers out of a block, the first aligned; return it."""
        starts, sizes = self._starts[chunk], self._sizes[chunk]
        start = starts[at]
        gap = -start % align
        rest = sizes[at] - gap - size
        self.free -= size
        if gap:
            sizes[at] = gap
            if rest:
                self._insert(chunk, at + 1, start + gap + size, rest)
        elif rest:
            starts[at], sizes[at] = start + size, rest
            self._firsts[chunk] = starts[0]
        else:
            self._delete(chunk, at)
        return start + gap

    def _remember(self, size: int, start: int) -> None:
        if len(self._cursors) >= _CURSORS and size not in self._cursors:
            self._cursors.clear()
        self._cursors[size] = start

    def _insert(self, chunk: int, at: int, start: int, size: int) -> None:
        starts, sizes = self._starts[chunk], self._sizes[chunk]
        starts.insert(at, start)
        sizes.insert(at, size)
        self._firsts[chunk] = starts[0]
        self._bounds[chunk] = max(self._bounds[chunk], size)
        if len(starts) > _CHUNK:
            half = len(starts) // 2
            self._starts.insert(chunk + 1, starts[half:])
            self._sizes.insert(chunk + 1, sizes[half:])
            self._firsts.insert(chunk + 1, starts[half])
            self._bounds.insert(chunk + 1, self._bounds[chunk])
            del starts[half:], sizes[half:]

    def _delete(self, chunk: int, at: int) -> None:
        starts, sizes = self._starts[chunk], self._sizes[chunk]
        del starts[at], sizes[at]
        if starts:
            self._firsts[chunk] = starts[0]
        elif len(self._starts) > 1:
            for column in (self._starts, self._sizes, self._firsts, self._bounds):
                del column[chunk]
