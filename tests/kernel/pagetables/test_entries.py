"""Single entries of a page table."""

from __future__ import annotations

from pmsim.kernel.pagetables.entries import GLOBAL, NX, PFN_MASK, PRESENT, PSE, RW, Change


def test_the_bits_are_those_of_x86_64() -> None:
    # Intel SDM, volume 3, tables 4-18 to 4-20: P, R/W, PS, G, XD, and bits 12 to 51 for the frame.
    assert (PRESENT, RW, PSE, GLOBAL, NX) == (1 << 0, 1 << 1, 1 << 7, 1 << 8, 1 << 63)
    assert sum(1 << bit for bit in range(12, 52)) == PFN_MASK


def test_a_change_sets_and_clears_bits() -> None:
    assert Change(NX, RW).of(PRESENT | RW) == PRESENT | NX
    assert Change(NX, RW).without_nx == Change(0, RW)
    assert [Change(NX, 0).only_nx, Change(0, NX).only_nx, Change(NX, RW).only_nx] == [
        True, True, False,
    ]  # fmt: skip
