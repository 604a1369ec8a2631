"""The kernel's page table: a radix tree whose tables are arrays of 512 entries. No time passes.

What it stands for is ``init_mm``'s table, which every address space shares in its upper half. Left
out: the physical place of the tables themselves, and caches of upper-level entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from pmsim.kernel.entries import (
    ENTRIES,
    INDEX_BITS,
    PAGE_KERNEL,
    PFN_MASK,
    POINTER,
    PRESENT,
    PSE,
    Entries,
    Leaf,
    Run,
    fill,
    index_of,
)
from pmsim.units import PAGE_SIZE, Pages


class _Table:
    """One table: its entries, and the tables below it."""

    __slots__ = ("below", "entries")

    def __init__(self) -> None:
        self.entries: Entries = np.zeros(ENTRIES, np.uint64)
        self.below: dict[int, _Table] = {}


@dataclass(frozen=True, slots=True)
class _Linear:
    """A range that was mapped before the simulation began; its tables are made when looked at."""

    start: int
    pages: Pages
    pfn: int
    level: int
    flags: int

    def fill(self, entries: Entries, page: int) -> None:
        """Write the leaves of the range into the table of its level that spans ``page``."""
        shift = INDEX_BITS * (self.level - 1)
        base = page >> shift + INDEX_BITS << shift + INDEX_BITS
        first = max(base, self.start)
        count = (min(base + (ENTRIES << shift), self.start + self.pages) - first) >> shift
        if count > 0:
            flags = self.flags | (PSE if self.level > 1 else 0)
            pfn = self.pfn + first - self.start
            fill(entries, index_of(first, self.level), count, pfn, PAGE_SIZE << shift, flags)


@dataclass(slots=True)
class PageTable:
    """A page table of four or five levels.

    Parameters
    ----------
    levels
        4 or 5.

    Attributes
    ----------
    entries_written, tables_allocated, leaves_split
        Counted since the beginning; ranges of `map_linear` are not counted.

    Notes
    -----
    Ranges are given as the address of the first page and a number of 4 KiB pages. An operation on a
    range works on slices of the arrays, one for each table that it meets. The arrays of the lowest
    level are also found directly by the upper bits of the address: the tree is the truth, this is
    its paging-structure cache.
    """

    levels: int = 4
    entries_written: int = field(default=0, init=False)
    tables_allocated: int = field(default=0, init=False)
    leaves_split: int = field(default=0, init=False)
    _root: _Table = field(default_factory=_Table, init=False)
    _lowest: dict[int, Entries] = field(default_factory=dict, init=False)
    _linear: list[_Linear] = field(default_factory=list, init=False)

    def map_linear(self, address: int, pages: Pages, pfn: int, level: int, flags: int) -> None:
        """Declare a range that is mapped from the start, by leaves of one level, frame by frame.

        Its tables come into being when they are looked at, so that terabytes cost nothing.

        Raises
        ------
        ValueError
            If the range is no whole number of aligned leaves.
        """
        size = 1 << INDEX_BITS * (level - 1)
        if any(number % size for number in (address // PAGE_SIZE, pages, pfn)):
            raise ValueError("a linear range is made of whole, aligned leaves")
        self._linear.append(_Linear(self._page(address), pages, pfn, level, flags))

    def map(self, address: int, runs: Iterable[Run], flags: int = PAGE_KERNEL) -> None:
        """Map page frames one after the other from ``address`` on, in 4 KiB leaves."""
        page = self._page(address)
        for pfn, count in runs:
            while count:
                index = page % ENTRIES
                entries = self._lowest_for_writing(page)
                taken = min(count, ENTRIES - index)
                fill(entries, index, taken, pfn, PAGE_SIZE, flags)
                self.entries_written += taken
                page, pfn, count = page + taken, pfn + taken, count - taken

    def map_leaf(self, address: int, pfn: int, level: int, flags: int = PAGE_KERNEL) -> None:
        """Map one leaf of any level.

        Raises
        ------
        ValueError
            If address or frame is not aligned to the leaf, or smaller leaves are mapped there.
        """
        page, size = self._page(address), 1 << INDEX_BITS * (level - 1)
        self._populate(page)
        if page % size or pfn % size:
            raise ValueError(f"a leaf of level {level} is aligned to its size")
        table, index = self._table(page, level), index_of(page, level)
        if index in table.below:
            raise ValueError("a table of smaller leaves stands there")
        table.entries[index] = pfn * PAGE_SIZE | flags | (PSE if level > 1 else 0)
        self.entries_written += 1

    def unmap(self, address: int, pages: Pages) -> Pages:
        """Clear the leaves of a range; tables stay, as those of the vmalloc range do.

        Returns
        -------
        Pages
            How many pages were mapped.

        Raises
        ------
        ValueError
            If a large leaf lies partly outside; split it first.
        """
        cleared = 0
        for level, part, whole in self._slices(address, pages):
            found = int(np.count_nonzero(part))
            if not whole:
                raise ValueError(f"a large leaf is only partly in the range at {address:#x}")
            part[:] = 0
            self.entries_written += found
            cleared += found << INDEX_BITS * (level - 1)
        return cleared

    def protect(self, address: int, pages: Pages, set_bits: int, clear_bits: int) -> int:
        """Change bits of every mapped leaf of a range.

        Returns
        -------
        int
            Entries that changed.

        Raises
        ------
        ValueError
            If a large leaf that would change lies partly outside; split it first.
        """
        changed = 0
        setting, keeping = np.uint64(set_bits), np.uint64(~clear_bits & (1 << 64) - 1)
        for _, part, whole in self._slices(address, pages):
            new = (part | setting) & keeping
            if not part.all():
                new[part == 0] = 0
            found = int(np.count_nonzero(new != part))
            if found:
                if not whole:
                    raise ValueError(f"a large leaf is only partly in the range at {address:#x}")
                part[:] = new
                self.entries_written += found
                changed += found
        return changed

    def read(self, address: int, pages: Pages) -> Entries:
        """Return the entries of a range, one for each 4 KiB page, 0 where nothing is mapped.

        A large leaf appears as the entries that it would split into.
        """
        page, left = self._page(address), pages
        parts = []
        while left:
            index = page % ENTRIES
            taken = min(left, ENTRIES - index)
            parts.append(self._lowest_for_reading(page)[index : index + taken])
            page, left = page + taken, left - taken
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)

    def walk(self, address: int) -> Leaf | None:
        """Return the leaf that translates an address, or None if there is none."""
        page = self._page(address)
        lowest = self._lowest.get(page >> INDEX_BITS)
        if lowest is not None:
            entry = int(lowest[page % ENTRIES])
            return Leaf(1, address // PAGE_SIZE * PAGE_SIZE, entry) if entry else None
        self._populate(page)
        table = self._root
        for level in range(self.levels, 0, -1):
            index = index_of(page, level)
            entry = int(table.entries[index])
            if not entry:
                return None
            if level == 1 or entry & PSE:
                offset = page % (1 << INDEX_BITS * (level - 1))
                return Leaf(level, address // PAGE_SIZE * PAGE_SIZE - offset * PAGE_SIZE, entry)
            table = table.below[index]
        raise AssertionError("level 1 has only leaves")

    def translate(self, address: int) -> int | None:
        """Return the physical address, or None if the address is not mapped or not present."""
        leaf = self.walk(address)
        if leaf is None or not leaf.entry & PRESENT:
            return None
        return leaf.pfn * PAGE_SIZE + address - leaf.address

    def run_start(self, address: int) -> int | None:
        """Return the first address of the unbroken run of 4 KiB pages that an address lies in.

        None if nothing is mapped there.
        """
        page = self._page(address)
        entries = self._lowest.get(page >> INDEX_BITS)
        if entries is None or not entries[page % ENTRIES]:
            return None
        back = 0
        index = page % ENTRIES
        while entries is not None:
            holes = np.flatnonzero(entries[: index + 1] == 0)
            if holes.size:
                back += index - int(holes[-1]) - 1
                break
            back += index + 1
            page -= index + 1
            index = ENTRIES - 1
            entries = self._lowest.get(page >> INDEX_BITS)
        else:
            # There is no table below, so the page before the last one looked at is a hole.
            back -= 1
        return address // PAGE_SIZE * PAGE_SIZE - back * PAGE_SIZE

    def split(self, address: int) -> Leaf:
        """Replace a large leaf by a table of 512 leaves, one level below, with the same rights.

        Returns
        -------
        Leaf
            The leaf that there was.

        Raises
        ------
        ValueError
            If no large leaf translates the address.
        """
        leaf = self.walk(address)
        if leaf is None or leaf.level == 1:
            raise ValueError(f"no large leaf at {address:#x}")
        page = self._page(leaf.address)
        above, index = self._table(page, leaf.level), index_of(page, leaf.level)
        flags = leaf.entry & ~PFN_MASK & (~PSE if leaf.level == 2 else -1)
        step = PAGE_SIZE << INDEX_BITS * (leaf.level - 2)
        table = self._hang(above, index, page, leaf.level - 1)
        fill(table.entries, 0, ENTRIES, leaf.pfn, step, flags)
        self.entries_written += ENTRIES + 1
        self.leaves_split += 1
        return leaf

    def _page(self, address: int) -> int:
        return (address & (1 << 12 + INDEX_BITS * self.levels) - 1) >> 12

    def _lowest_for_writing(self, page: int) -> Entries:
        entries = self._lowest.get(page >> INDEX_BITS)
        return self._table(page, 1).entries if entries is None else entries

    def _lowest_for_reading(self, page: int) -> Entries:
        entries = self._lowest.get(page >> INDEX_BITS)
        if entries is not None:
            return entries
        leaf = self.walk(page * PAGE_SIZE)
        entries = self._lowest.get(page >> INDEX_BITS)
        if entries is not None:
            return entries
        expanded = np.zeros(ENTRIES, np.uint64)
        if leaf is not None:
            first = leaf.pfn + (page >> INDEX_BITS << INDEX_BITS) - self._page(leaf.address)
            fill(expanded, 0, ENTRIES, first, PAGE_SIZE, leaf.entry & ~PFN_MASK & ~PSE)
        return expanded

    def _slices(self, address: int, pages: Pages) -> Iterator[tuple[int, Entries, bool]]:
        """Yield the parts of the arrays that hold the leaves of a range.

        With each comes its level, and whether its leaves lie wholly in the range.
        """
        page = self._page(address)
        end = page + pages
        while page < end:
            above = (page >> INDEX_BITS << INDEX_BITS) + ENTRIES
            leaf = None if page >> INDEX_BITS in self._lowest else self.walk(page * PAGE_SIZE)
            entries = self._lowest.get(page >> INDEX_BITS)
            if entries is not None:
                index = page % ENTRIES
                yield 1, entries[index : index + min(end, above) - page], True
            elif leaf is not None:
                first, index = self._page(leaf.address), index_of(page, leaf.level)
                above = first + leaf.pages
                part = self._table(page, leaf.level).entries[index : index + 1]
                yield leaf.level, part, page == first and above <= end
            page = above

    def _table(self, page: int, level: int) -> _Table:
        """Return the table of a level that holds a page's entry; make what is missing."""
        table = self._root
        for upper in range(self.levels, level, -1):
            index = index_of(page, upper)
            below = table.below.get(index)
            if below is None:
                if table.entries[index]:
                    raise ValueError(f"a large leaf translates page {page:#x}; split it first")
                below = self._hang(table, index, page, upper - 1)
                self.entries_written += 1
            table = below
        return table

    def _hang(self, above: _Table, index: int, page: int, level: int) -> _Table:
        """Make the table of a level that holds a page's entry, and point to it from above."""
        table = _Table()
        above.below[index] = table
        above.entries[index] = POINTER
        if level == 1:
            self._lowest[page >> INDEX_BITS] = table.entries
        for linear in self._linear:
            if linear.level == level:
                linear.fill(table.entries, page)
        self.tables_allocated += 1
        return table

    def _populate(self, page: int) -> None:
        """Make the table that holds the leaf of a page of a linear range; it was always there."""
        for linear in self._linear:
            if linear.start <= page < linear.start + linear.pages:
                counted = self.entries_written, self.tables_allocated
                self._table(page, linear.level)
                self.entries_written, self.tables_allocated = counted
