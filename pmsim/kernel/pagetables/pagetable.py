"""The kernel's page table: a radix tree whose tables are arrays of entries. No time passes.

What it stands for is ``init_mm``'s table, which every address space shares in its upper half. Left
out: the physical place of the tables themselves, and caches of upper-level entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from pmsim.kernel.geometry import Geometry
from pmsim.kernel.pagetables.entries import (
    FEW,
    FRAME,
    NX,
    PAGE_KERNEL,
    PFN_MASK,
    POINTER,
    PRESENT,
    PSE,
    RW,
    Entries,
    Leaf,
    Run,
    fill,
)
from pmsim.kernel.pagetables.tables import LinearRange, Table, uniform
from pmsim.kernel.safety.stale import StalePages
from pmsim.units import Pages


@dataclass(slots=True)
class PageTable:
    """A page table.

    Parameters
    ----------
    geometry
        Its shape; by default the four levels of x86-64.
    stale
        Where it notes what it takes away.

    Attributes
    ----------
    entries_written, tables_allocated, leaves_split
        Counted since the beginning; ranges of `map_linear` are not counted.

    Notes
    -----
    Ranges are given as the address of the first page and a number of pages. An operation on a
    range works on slices of the arrays, one for each table that it meets. The arrays of the lowest
    level are also found directly by the upper bits of the address: the tree is the truth, this is
    its paging-structure cache. They are found as arrays, and for a few entries as words, which
    Python reads and writes three times as fast.
    """

    geometry: Geometry = field(default_factory=Geometry)
    stale: StalePages = field(default_factory=StalePages)
    entries_written: int = field(default=0, init=False)
    tables_allocated: int = field(default=0, init=False)
    leaves_split: int = field(default=0, init=False)
    _shift: int = field(init=False)
    _bits: int = field(init=False)
    _entries: int = field(init=False)
    _mask: int = field(init=False)
    _root: Table = field(init=False)
    _lowest: dict[int, Entries] = field(default_factory=dict, init=False)
    _words: dict[int, memoryview] = field(default_factory=dict, init=False)
    _linear: list[LinearRange] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self._shift = self.geometry.page_shift
        self._bits = self.geometry.index_bits
        self._entries = self.geometry.entries
        self._mask = (1 << self.geometry.address_bits) - 1
        self._root = Table(self.geometry.root_entries)

    def map_linear(self, address: int, pages: Pages, pfn: int, level: int, flags: int) -> None:
        """Declare a range that is mapped from the start, by leaves of one level, frame by frame.

        Its tables come into being when they are looked at, so that terabytes cost nothing.

        Raises
        ------
        ValueError
            If the range is no whole number of aligned leaves.
        """
        size = self.geometry.span(level)
        if any(number % size for number in (address >> self._shift, pages, pfn)):
            raise ValueError("a linear range is made of whole, aligned leaves")
        linear = LinearRange(self._page(address), pages, pfn, level, flags)
        self._linear.append(linear)
        if level == self.geometry.levels:
            linear.fill(self._root.entries, linear.start, size)

    def map(self, address: int, runs: Iterable[Run], flags: int = PAGE_KERNEL) -> None:
        """Map page frames one after the other from ``address`` on, in leaves of a page."""
        page = (address & self._mask) >> self._shift
        for pfn, count in runs:
            index = page % self._entries
            words = self._words.get(page >> self._bits)
            if words is not None and count <= FEW and index + count <= self._entries:
                entry = pfn * FRAME | flags
                for at in range(index, index + count):
                    words[at] = entry
                    entry += FRAME
                self.entries_written += count
            else:
                self._map_many(page, pfn, count, flags)
            page += count

    def _map_many(self, page: int, pfn: int, count: int, flags: int) -> None:
        """Do what `map` does, table by table."""
        while count:
            index = page % self._entries
            taken = min(count, self._entries - index)
            fill(self._table(page, 1).entries, index, taken, pfn, 1, flags)
            self.entries_written += taken
            page, pfn, count = page + taken, pfn + taken, count - taken

    def map_leaf(self, address: int, pfn: int, level: int, flags: int = PAGE_KERNEL) -> None:
        """Map one leaf of any level.

        Raises
        ------
        ValueError
            If address or frame is not aligned to the leaf, or smaller leaves are mapped there.
        """
        page, size = self._page(address), self.geometry.span(level)
        self._populate(page)
        if page % size or pfn % size:
            raise ValueError(f"a leaf of level {level} is aligned to its size")
        table, index = self._table(page, level), self._index(page, level)
        if index in table.below:
            raise ValueError("a table of smaller leaves stands there")
        table.entries[index] = pfn * FRAME | flags | (PSE if level > 1 else 0)
        self.entries_written += 1

    def free_table(self, address: int, level: int) -> bool:
        """Take away the table below an entry of a level, so that a leaf may stand there.

        Returns
        -------
        bool
            Whether there was one.

        Raises
        ------
        ValueError
            If something is mapped in it.
        """
        page = self._page(address)
        above, index = self._table(page, level), self._index(page, level)
        table = above.below.get(index)
        if table is None:
            return False
        if table.entries.any():
            raise ValueError(f"the table at {address:#x} is in use")
        del above.below[index]
        above.entries[index] = 0
        self.entries_written += 1
        if level == 2:
            self._forget(page)
        return True

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
        page = (address & self._mask) >> self._shift
        index = page % self._entries
        words = self._words.get(page >> self._bits)
        cleared = 0
        if words is not None and pages <= FEW and index + pages <= self._entries:
            for at in range(index, index + pages):
                if words[at]:
                    words[at] = 0
                    cleared += 1
            self.entries_written += cleared
            if cleared:
                self.stale.mark(page, pages)
            return cleared
        for level, part, whole in self._slices(address, pages):
            found = int(np.count_nonzero(part))
            if not whole:
                raise ValueError(f"a large leaf is only partly in the range at {address:#x}")
            part[:] = 0
            self.entries_written += found
            cleared += found * self.geometry.span(level)
        if cleared:
            self.stale.mark(page, pages)
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
        page = (address & self._mask) >> self._shift
        index = page % self._entries
        words = self._words.get(page >> self._bits)
        if words is not None and pages <= FEW and index + pages <= self._entries:
            return self._protect_few(words, page, pages, set_bits, clear_bits)
        changed, revoked = 0, False
        setting, keeping = np.uint64(set_bits), np.uint64(~clear_bits & (1 << 64) - 1)
        for _, part, whole in self._slices(address, pages):
            new = (part | setting) & keeping
            if not part.all():
                new[part == 0] = 0
            found = int(np.count_nonzero(new != part))
            if found:
                if not whole:
                    raise ValueError(f"a large leaf is only partly in the range at {address:#x}")
                revoked = revoked or _some_are_taken_away(part, new)
                part[:] = new
                self.entries_written += found
                changed += found
        if revoked:
            self.stale.mark(page, pages)
        return changed

    def _protect_few(
        self, words: memoryview, page: int, pages: Pages, set_bits: int, clear_bits: int
    ) -> int:
        """Do what `protect` does for a few pages of one of the lowest tables, word by word."""
        changed, revoked = 0, False
        index = page % self._entries
        for at in range(index, index + pages):
            before = words[at]
            after = (before | set_bits) & ~clear_bits if before else 0
            if after != before:
                revoked = revoked or _is_taken_away(before, after)
                words[at] = after
                changed += 1
        self.entries_written += changed
        if revoked:
            self.stale.mark(page, pages)
        return changed

    def leaves(self, address: int, pages: Pages) -> int:
        """Return how many entries hold the leaves of a range, empty ones of a table included."""
        page = (address & self._mask) >> self._shift
        if page >> self._bits in self._words and page % self._entries + pages <= self._entries:
            return pages
        return sum(len(part) for _, part, _ in self._slices(address, pages))

    def read(self, address: int, pages: Pages) -> Entries:
        """Return the entries of a range, one for each page, 0 where nothing is mapped.

        A large leaf appears as the entries that it would split into.
        """
        page, left = self._page(address), pages
        parts = []
        while left:
            index = page % self._entries
            taken = min(left, self._entries - index)
            parts.append(self._lowest_for_reading(page)[index : index + taken])
            page, left = page + taken, left - taken
        return np.concatenate(parts) if parts else np.zeros(0, np.uint64)

    def walk(self, address: int) -> Leaf | None:
        """Return the leaf that translates an address, or None if there is none."""
        page = self._page(address)
        lowest = self._lowest.get(page >> self._bits)
        if lowest is not None:
            entry = int(lowest[page % self._entries])
            return Leaf(1, address >> self._shift << self._shift, entry) if entry else None
        self._populate(page)
        table = self._root
        for level in range(self.geometry.levels, 0, -1):
            index = self._index(page, level)
            entry = int(table.entries[index])
            if not entry:
                return None
            if level == 1 or entry & PSE:
                span = self.geometry.span(level)
                first = (address >> self._shift) - page % span
                return Leaf(level, first << self._shift, entry, span)
            table = table.below[index]
        raise AssertionError("level 1 has only leaves")

    def translate(self, address: int) -> int | None:
        """Return the physical address, or None if the address is not mapped or not present."""
        leaf = self.walk(address)
        if leaf is None or not leaf.entry & PRESENT:
            return None
        return (leaf.pfn << self._shift) + address - leaf.address

    def run_start(self, address: int) -> int | None:
        """Return the first address of the unbroken run of mapped pages that an address lies in.

        None if nothing is mapped there.
        """
        page = self._page(address)
        start = page + 1
        while start:
            before = start - 1
            entries = self._lowest.get(before >> self._bits)
            if entries is None:
                leaf = self.walk(before << self._shift)
                if leaf is None:
                    break
                start = self._page(leaf.address)
                continue
            index = before % self._entries
            holes = np.flatnonzero(entries[: index + 1] == 0)
            start = before - index
            if holes.size:
                start += int(holes[-1]) + 1
                break
        return None if start > page else (address >> self._shift) - (page - start) << self._shift

    def split(self, address: int) -> Leaf:
        """Replace a large leaf by a table of leaves, one level below, with the same rights.

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
        above, index = self._table(page, leaf.level), self._index(page, leaf.level)
        flags = leaf.entry & ~PFN_MASK & (~PSE if leaf.level == 2 else -1)
        step = self.geometry.span(leaf.level - 1)
        table = self._hang(above, index, page, leaf.level - 1)
        fill(table.entries, 0, self._entries, leaf.pfn, step, flags)
        self.entries_written += self._entries + 1
        self.leaves_split += 1
        return leaf

    def collapse(self, address: int) -> bool:
        """Replace the table that maps an address's large leaf by such a leaf, if it may be.

        It may where all its entries are present and alike, and their frames follow each other from
        an aligned one on (``collapse_pmd_page``, arch/x86/mm/pat/set_memory.c, Linux 6.18).

        Returns
        -------
        bool
            Whether it was replaced.
        """
        page = self._page(address) >> self._bits << self._bits
        entries = self._lowest.get(page >> self._bits)
        if entries is None or not uniform(entries):
            return False
        above, index = self._table(page, 2), self._index(page, 2)
        del above.below[index]
        self._forget(page)
        above.entries[index] = int(entries[0]) | PSE
        self.entries_written += 1
        return True

    def _page(self, address: int) -> int:
        return (address & self._mask) >> self._shift

    def _index(self, page: int, level: int) -> int:
        """Return the place of a page's entry in its table of a level."""
        index = page >> self._bits * (level - 1)
        return index if level == self.geometry.levels else index & self._entries - 1

    def _lowest_for_reading(self, page: int) -> Entries:
        entries = self._lowest.get(page >> self._bits)
        if entries is not None:
            return entries
        leaf = self.walk(page << self._shift)
        entries = self._lowest.get(page >> self._bits)
        if entries is not None:
            return entries
        expanded = np.zeros(self._entries, np.uint64)
        if leaf is not None:
            first = leaf.pfn + (page >> self._bits << self._bits) - self._page(leaf.address)
            fill(expanded, 0, self._entries, first, 1, leaf.entry & ~PFN_MASK & ~PSE)
        return expanded

    def _slices(self, address: int, pages: Pages) -> Iterator[tuple[int, Entries, bool]]:
        """Yield the parts of the arrays that hold the leaves of a range.

        With each comes its level, and whether its leaves lie wholly in the range.
        """
        page = self._page(address)
        end = page + pages
        while page < end:
            above = (page >> self._bits << self._bits) + self._entries
            leaf = None if page >> self._bits in self._lowest else self.walk(page << self._shift)
            entries = self._lowest.get(page >> self._bits)
            if entries is not None:
                index = page % self._entries
                yield 1, entries[index : index + min(end, above) - page], True
            elif leaf is not None:
                first, index = self._page(leaf.address), self._index(page, leaf.level)
                above = first + leaf.pages
                part = self._table(page, leaf.level).entries[index : index + 1]
                yield leaf.level, part, page == first and above <= end
            page = above

    def _table(self, page: int, level: int) -> Table:
        """Return the table of a level that holds a page's entry; make what is missing."""
        table = self._root
        for upper in range(self.geometry.levels, level, -1):
            index = self._index(page, upper)
            below = table.below.get(index)
            if below is None:
                if table.entries[index]:
                    raise ValueError(f"a large leaf translates page {page:#x}; split it first")
                below = self._hang(table, index, page, upper - 1)
                self.entries_written += 1
            table = below
        return table

    def _hang(self, above: Table, index: int, page: int, level: int) -> Table:
        """Make the table of a level that holds a page's entry, and point to it from above."""
        table = Table(self._entries)
        above.below[index] = table
        above.entries[index] = POINTER
        if level == 1:
            self._lowest[page >> self._bits] = table.entries
            self._words[page >> self._bits] = table.entries.data
        for linear in self._linear:
            if linear.level == level:
                linear.fill(table.entries, page, self.geometry.span(level))
        self.tables_allocated += 1
        return table

    def _forget(self, page: int) -> None:
        """Take note that the lowest table of a page is gone."""
        del self._lowest[page >> self._bits], self._words[page >> self._bits]

    def _populate(self, page: int) -> None:
        """Make the table that holds the leaf of a page of a linear range; it was always there."""
        for linear in self._linear:
            if linear.start <= page < linear.start + linear.pages:
                counted = self.entries_written, self.tables_allocated
                self._table(page, linear.level)
                self.entries_written, self.tables_allocated = counted


def _is_taken_away(before: int, after: int) -> bool:
    """Return whether a change of an entry takes a right away that a TLB may still grant."""
    lost = (before & ~after & (PRESENT | RW)) | (~before & after & NX)
    return before & PRESENT > 0 and lost > 0


def _some_are_taken_away(before: Entries, after: Entries) -> bool:
    """Return the same of several entries, whether of any of them."""
    known = before & np.uint64(PRESENT) != 0
    lost = (before & ~after & np.uint64(PRESENT | RW)) | (~before & after & np.uint64(NX))
    return bool(np.any(lost[known]))
