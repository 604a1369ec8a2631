"""The page table of a kernel, which its checker asks for leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.kernel.pagetables.pagetable import PageTable

if TYPE_CHECKING:
    from pmsim.kernel.context import KernelContext


def kernel_page_table(context: KernelContext) -> PageTable:
    """Return a kernel's own page table, nothing mapped yet."""
    safety = context.safety
    geometry = context.profile.geometry
    table, shift = PageTable(geometry, safety.stale), geometry.page_shift

    def leaf_of(page: int) -> tuple[int, int] | None:
        leaf = table.walk(page << shift)
        if leaf is None or leaf.level == 1:
            return None
        first = leaf.address >> shift
        return first, first + leaf.pages

    safety.leaf_of = leaf_of
    return table
