"""Entries of a page table: their bits, and leaves.

Bit positions as in the Intel SDM, volume 3, section 4.5; names as in
arch/x86/include/asm/pgtable_types.h, Linux 6.1. Other architectures' tables are kept in the same
bits: what matters here is whether a page is mapped, writable and executable, and each of them can
say that (Arm: PTE_VALID, PTE_RDONLY, PTE_PXN; RISC-V: V, W, X). Left out: protection keys.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pmsim.units import Pages

PRESENT: Final = 1 << 0
RW: Final = 1 << 1
PWT: Final = 1 << 3
PCD: Final = 1 << 4
"""With this one caches are bypassed; `PWT` alone is write-combining (arch/x86/mm/pat/memtype.c)."""
ACCESSED: Final = 1 << 5
DIRTY: Final = 1 << 6
PSE: Final = 1 << 7
"""This entry of an upper level is a large leaf."""
GLOBAL: Final = 1 << 8
SHARED: Final = 1 << 58
"""Others than the guest may read it, where memory is encrypted. A bit of our own: AMD's C-bit and
Intel's shared bit lie among those of the page frame, and mean the opposite of each other."""
NX: Final = 1 << 63
PAGE_KERNEL: Final = PRESENT | RW | ACCESSED | DIRTY | GLOBAL | NX
"""Protection of ordinary kernel memory (``__PAGE_KERNEL``)."""
FRAME: Final = 1 << 12
"""What an entry counts its page frame in: the lowest of the bits that hold the frame's number.

Frames of 16 and 64 KiB are numbered in the same bits, which Arm's larger pages leave some of free.
"""
PFN_MASK: Final = ((1 << 52) - 1) & -FRAME
"""The bits of an entry that hold the page frame."""

POINTER: Final = PRESENT | RW | ACCESSED | DIRTY
"""Flags of an entry that points to a table (``_KERNPG_TABLE``)."""

Entries = npt.NDArray[np.uint64]
_LARGEST_TABLE: Final = 8192
_PAGES: Final[Entries] = np.arange(_LARGEST_TABLE, dtype=np.uint64) * np.uint64(FRAME)
Run = tuple[int, int]
"""Page frames that follow each other: the first one's number, and how many."""


class Change(NamedTuple):
    """Bits of entries to set and to clear."""

    set_bits: int
    clear_bits: int

    @property
    def only_nx(self) -> bool:
        """Whether it is about the right to execute and nothing else."""
        return self.set_bits | self.clear_bits == NX

    @property
    def without_nx(self) -> Change:
        """The same, the right to execute left as it is."""
        return Change(self.set_bits & ~NX, self.clear_bits & ~NX)

    def of(self, entry: int) -> int:
        """Return an entry, changed."""
        return (entry | self.set_bits) & ~self.clear_bits


class Leaf(NamedTuple):
    """The entry that translates an address.

    Attributes
    ----------
    level
        1 for a page; with pages of 4 KiB 2 for 2 MiB (4 MiB without PAE), 3 for 1 GiB.
    address
        First virtual address that it translates.
    entry
        The raw entry.
    pages
        How many pages it translates.
    """

    level: int
    address: int
    entry: int
    pages: Pages = 1

    @property
    def pfn(self) -> int:
        """Number of the first page frame."""
        return (self.entry & PFN_MASK) // FRAME


FEW: Final = 8
"""Entries up to which word by word is faster than NumPy; measured, 4 of them by a factor of 3."""


def fill(entries: Entries, index: int, count: int, pfn: int, step: Pages, flags: int) -> None:
    """Write ``count`` entries for frames that follow each other ``step`` frames apart."""
    first = pfn * FRAME | flags
    if count <= FEW:
        words = entries.data
        for k in range(count):
            words[index + k] = first + k * step * FRAME
        return
    steps = _PAGES[:count] if step == 1 else _PAGES[:count] * np.uint64(step)
    np.add(steps, np.uint64(first), out=entries[index : index + count])


def runs_of(entries: Entries) -> list[Run]:
    """Return the page frames of entries, joined where they follow each other."""
    if len(entries) < 2:
        return [((int(entry) & PFN_MASK) // FRAME, 1) for entry in entries]
    frames = ((entries & np.uint64(PFN_MASK)) >> np.uint64(12)).astype(np.int64)
    firsts = np.concatenate(([0], np.flatnonzero(np.diff(frames) != 1) + 1))
    counts = np.diff(np.append(firsts, len(frames)))
    return [(int(frames[at]), int(count)) for at, count in zip(firsts, counts, strict=True)]
