"""The shape of a page table: how many levels it has, and what one entry of each covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pmsim.units import KIB, Bytes, Pages

DESCRIPTOR: Final = 64
"""Bytes of a ``struct page``, on 64-bit kernels (include/linux/mm_types.h)."""

ULONG_MAX: Final = (1 << 64) - 1
"""The highest address that there is (include/linux/limits.h)."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """The shape of a page table.

    Attributes
    ----------
    levels
        How many tables are looked at for an address: 2 to 5.
    index_bits
        Bits of an address that choose an entry of a table, in every level below the top: 9, or 10
        where entries have 32 bits (x86 without PAE). A table of entries of 64 bits fills a page, so
        that there are 11 with pages of 16 KiB, and 13 with 64 KiB.
    address_bits
        Bits of an address that are translated. The top table's index is what the others leave: 2
        bits with PAE, 11 on 32-bit Arm, where Linux pairs the hardware's entries.
    page_shift
        Bits of an address below the page number (``PAGE_SHIFT``): 12, on arm64 14 or 16 too.

    Notes
    -----
    Sources: Intel SDM, volume 3, chapter 4; arch/x86/include/asm/pgtable-{2,3}level_types.h and
    pgtable_64_types.h; arch/arm/include/asm/pgtable-2level.h; arch/arm64/include/asm/
    pgtable-hwdef.h; arch/riscv/include/asm/pgtable-64.h.
    """

    levels: int = 4
    index_bits: int = 9
    address_bits: int = 48
    page_shift: int = 12

    @property
    def page_size(self) -> Bytes:
        """Bytes of a page (``PAGE_SIZE``)."""
        return 1 << self.page_shift

    @property
    def leaf_sizes(self) -> list[Bytes]:
        """Bytes of its leaves, from level 1 on.

        Those above level 2 are for pages of 4 KiB on 64-bit machines (``pud_sect_supported``,
        arch/arm64/include/asm/vmalloc.h, Linux 6.1).
        """
        largest = 3 if self.address_bits > 32 and self.page_size == 4 * KIB else 2
        return [self.span(level) * self.page_size for level in range(1, largest + 1)]

    @property
    def entries(self) -> int:
        """Entries of a table below the top."""
        return 1 << self.index_bits

    @property
    def root_entries(self) -> int:
        """Entries of the top table."""
        return 1 << self.address_bits - self.page_shift - self.index_bits * (self.levels - 1)

    def descriptor_pages(self, size: Bytes) -> Pages:
        """Return how many whole pages the descriptors of so much memory fill (``struct page``)."""
        return size // self.page_size * DESCRIPTOR // self.page_size

    @property
    def descriptor_leaf(self) -> Pages:
        """Pages of a leaf that maps descriptors: a large one with pages of 4 KiB only.

        ``vmemmap_populate`` of arm64 takes small ones elsewhere (arch/arm64/mm/mmu.c, Linux 6.1).
        """
        return self.span(2) if self.page_size == 4 * KIB else 1

    def span(self, level: int) -> Pages:
        """Return how many pages an entry of a level covers; level 1 is the lowest."""
        return 1 << self.index_bits * (level - 1)
