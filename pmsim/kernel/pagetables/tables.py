"""What a page table is made of: single tables, and ranges that were mapped from the start."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pmsim.kernel.pagetables.entries import FRAME, PFN_MASK, PRESENT, PSE, Entries, fill
from pmsim.units import Pages


class Table:
    """One table.

    Parameters
    ----------
    size
        How many entries it has.

    Attributes
    ----------
    entries, below
        Its entries, and by their number the tables that they point to.
    """

    __slots__ = ("below", "entries")

    def __init__(self, size: int) -> None:
        self.entries: Entries = np.zeros(size, np.uint64)
        self.below: dict[int, Table] = {}


@dataclass(frozen=True, slots=True)
class LinearRange:
    """A range that was mapped before the simulation began; its tables are made when looked at.

    Attributes
    ----------
    start, pages
        Number of its first page, and how many there are.
    pfn
        The first page frame; the others follow it.
    level
        Where its leaves stand.
    flags
        Their bits, without the one that marks a large leaf.
    """

    start: int
    pages: Pages
    pfn: int
    level: int
    flags: int

    def fill(self, entries: Entries, page: int, leaf: Pages) -> None:
        """Write the leaves, of so many pages each, into the table that spans ``page``."""
        base = page - page % (len(entries) * leaf)
        first = max(base, self.start)
        count = (min(base + len(entries) * leaf, self.start + self.pages) - first) // leaf
        if count > 0:
            flags = self.flags | (PSE if self.level > 1 else 0)
            pfn = self.pfn + first - self.start
            fill(entries, (first - base) // leaf, count, pfn, leaf, flags)


def uniform(entries: Entries) -> bool:
    """Return whether a table's entries could be one large leaf."""
    first = int(entries[0])
    if not first & PRESENT or (first & PFN_MASK) % (len(entries) * FRAME):
        return False
    expected = np.empty_like(entries)
    fill(expected, 0, len(entries), 0, 1, first)
    return bool(np.array_equal(entries, expected))
