"""The shape of a page table: how many levels it has, and what one entry of each covers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from pmsim.units import Pages

PAGE_BITS: Final = 12
"""Bits of an address below the page number."""

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
        where entries have 32 bits (x86 without PAE).
    address_bits
        Bits of an address that are translated. The top table's index is what the others leave: 2
        bits with PAE, 11 on 32-bit Arm, where Linux pairs the hardware's entries.

    Notes
    -----
    Sources: Intel SDM, volume 3, chapter 4; arch/x86/include/asm/pgtable-{2,3}level_types.h and
    pgtable_64_types.h; arch/arm/include/asm/pgtable-2level.h; arch/arm64/include/asm/
    pgtable-hwdef.h; arch/riscv/include/asm/pgtable-64.h.
    """

    levels: int = 4
    index_bits: int = 9
    address_bits: int = 48

    @property
    def entries(self) -> int:
        """Entries of a table below the top."""
        return 1 << self.index_bits

    @property
    def root_entries(self) -> int:
        """Entries of the top table."""
        return 1 << self.address_bits - PAGE_BITS - self.index_bits * (self.levels - 1)

    def span(self, level: int) -> Pages:
        """Return how many pages an entry of a level covers; level 1 is the lowest."""
        return 1 << self.index_bits * (level - 1)
