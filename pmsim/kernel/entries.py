"""Entries of an x86-64 page table: their bits, and leaves.

Bit positions as in the Intel SDM, volume 3, section 4.5; names as in
arch/x86/include/asm/pgtable_types.h, Linux 6.1. Left out: protection keys, cache attributes,
encryption bits.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pmsim.units import PAGE_SIZE, Pages

PRESENT: Final = 1 << 0
RW: Final = 1 << 1
ACCESSED: Final = 1 << 5
DIRTY: Final = 1 << 6
PSE: Final = 1 << 7
"""This entry of an upper level is a large leaf."""
GLOBAL: Final = 1 << 8
NX: Final = 1 << 63
PAGE_KERNEL: Final = PRESENT | RW | ACCESSED | DIRTY | GLOBAL | NX
"""Protection of ordinary kernel memory (``__PAGE_KERNEL``)."""
PFN_MASK: Final = ((1 << 52) - 1) & -PAGE_SIZE
"""The bits of an entry that hold the page frame."""

ENTRIES: Final = 512
"""Entries of a table, at every level."""
INDEX_BITS: Final = 9
POINTER: Final = PRESENT | RW | ACCESSED | DIRTY
"""Flags of an entry that points to a table (``_KERNPG_TABLE``)."""

Entries = npt.NDArray[np.uint64]
_PAGES: Final[Entries] = np.arange(ENTRIES, dtype=np.uint64) * np.uint64(PAGE_SIZE)
Run = tuple[int, int]
"""Page frames that follow each other: the first one's number, and how many."""


class Leaf(NamedTuple):
    """The entry that translates an address.

    Attributes
    ----------
    level
        1 for a page of 4 KiB, 2 for 2 MiB, 3 for 1 GiB.
    address
        First virtual address that it translates.
    entry
        The raw entry.
    """

    level: int
    address: int
    entry: int

    @property
    def pages(self) -> Pages:
        """How many 4 KiB pages it translates."""
        return 1 << INDEX_BITS * (self.level - 1)

    @property
    def pfn(self) -> int:
        """Number of the first page frame."""
        return (self.entry & PFN_MASK) >> 12


def index_of(page: int, level: int) -> int:
    """Return the place of a page's entry in its table of a level."""
    return page >> INDEX_BITS * (level - 1) & ENTRIES - 1


def fill(entries: Entries, index: int, count: int, pfn: int, step: int, flags: int) -> None:
    """Write ``count`` entries for frames that follow each other ``step`` bytes apart."""
    first = pfn * PAGE_SIZE | flags
    if count == 1:
        entries[index] = first
        return
    steps = _PAGES[:count] if step == PAGE_SIZE else _PAGES[:count] * np.uint64(step // PAGE_SIZE)
    np.add(steps, np.uint64(first), out=entries[index : index + count])
