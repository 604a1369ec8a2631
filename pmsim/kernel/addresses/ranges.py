"""Address space: the ranges in which areas lie, and how a free place is found in them.

Stands for ``alloc_vmap_area`` and what gives an area back (mm/vmalloc.c), whose policy changed
twice: `pmsim.kernel.addresses.hint_search` is the oldest, `FirstFit` the one of 5.2 to 6.8, and
`pmsim.kernel.addresses.node_pools` what came then. No time passes here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from pmsim.kernel.freespace import FreeSpace
from pmsim.units import Bytes, CpuId, Pages

TREE: Final = 0
"""The number of the lock under which all that is free is known."""


@dataclass(frozen=True, slots=True, eq=False)
class AddressRange:
    """A part of the address space in which areas are allocated.

    Attributes
    ----------
    name
        ``vmalloc`` or ``modules``.
    start, end
        First address, and the one after the last.
    page_size
        Bytes of a page.
    space
        What is free of it, in pages counted from address 0.
    """

    name: str
    start: int
    end: int
    page_size: Bytes
    space: FreeSpace


class FreedArea(NamedTuple):
    """Address space that was unmapped: first page number, pages with the guard, and its range."""

    page: int
    pages: Pages
    range: AddressRange


class Share(NamedTuple):
    """The number of a node, and those of some freed areas that are its own."""

    node: int
    areas: list[FreedArea]


class AddressSearch(Protocol):
    """How a free place is found, and where a freed one goes."""

    @property
    def steps(self) -> int:
        """How many areas the last `take` walked past, one after the other; a tree is not walked."""

    @property
    def most_steps(self) -> int:
        """How many the next one may."""

    @property
    def locks(self) -> Sequence[str]:
        """The names of the spinlocks that guard what it knows."""

    def search_lock(self, cpu: CpuId, where: AddressRange, pages: Pages) -> int:
        """Return the number of the lock under which `take` looks for a place."""

    def busy_lock(self, page: int) -> int:
        """Return the number of the lock under which an area is entered and unlinked."""

    def lazy_lock(self, page: int) -> int | None:
        """Return that of the list of freed areas on which one is put; None if it needs none."""

    def take(self, cpu: CpuId, where: AddressRange, pages: Pages, align: Pages) -> int | None:
        """Take pages of a range for a task on ``cpu``, the first a multiple of ``align``.

        Returns
        -------
        int or None
            Number of the first page; None if there is no such place.
        """

    def before_purge(self, *, full: bool) -> None:
        """Let go of what is kept aside for later use; of all of it, if ``full``."""

    def shares(self, areas: list[FreedArea]) -> list[Share]:
        """Tell freed areas apart by the node that each belongs to; nodes ascending."""

    def give(self, share: Share, *, full: bool) -> None:
        """Take a node's freed areas back after their flush; keep none aside, if ``full``."""


class WithoutNodes:
    """What searches have in common that know one node only: one lock, and nothing kept aside."""

    steps = 0
    locks: Sequence[str] = ("vmap_area_lock",)

    @property
    def most_steps(self) -> int:
        """Return none: a tree is not walked area by area."""
        return 0

    def search_lock(self, cpu: CpuId, where: AddressRange, pages: Pages) -> int:
        """Return the only lock."""
        return TREE

    def busy_lock(self, page: int) -> int:
        """Return the only lock."""
        return 0

    def lazy_lock(self, page: int) -> int | None:
        """Return nothing: freed areas are on a list without a lock (``llist_add``)."""
        return None

    def before_purge(self, *, full: bool) -> None:
        """Keep nothing aside."""

    def shares(self, areas: list[FreedArea]) -> list[Share]:
        """Return all areas as one share."""
        return [Share(0, areas)]


class FirstFit(WithoutNodes):
    """The lowest place that is large enough: ``find_vmap_lowest_match`` (5.2 to 6.8)."""

    locks = ("free_vmap_area_lock", "vmap_area_lock", "purge_vmap_area_lock")

    def busy_lock(self, page: int) -> int:
        """Return the lock of the areas in use."""
        return 1

    def lazy_lock(self, page: int) -> int | None:
        """Return the lock of the tree in which freed areas are joined."""
        return 2

    def take(self, cpu: CpuId, where: AddressRange, pages: Pages, align: Pages) -> int | None:
        """Take the lowest place; see `AddressSearch.take`."""
        return where.space.take(pages, align)

    def give(self, share: Share, *, full: bool) -> None:
        """Free the areas' addresses."""
        for page, pages, where in merged(share.areas):
            where.space.give(page, pages)


def address_ranges(
    vmalloc: tuple[int, Bytes], modules: tuple[int, Bytes], page_size: Bytes
) -> dict[str, AddressRange]:
    """Return the ranges of areas by name; one and the same, where both are given alike.

    Parameters
    ----------
    vmalloc, modules
        First address and size of each.
    page_size
        Bytes of a page.
    """
    first = _address_range("vmalloc", *vmalloc, page_size)
    second = first if modules == vmalloc else _address_range("modules", *modules, page_size)
    return {"vmalloc": first, "modules": second}


def merged(areas: Sequence[FreedArea]) -> list[FreedArea]:
    """Join areas, which are given by address, that follow each other without a gap."""
    blocks: list[FreedArea] = []
    if not areas:
        return blocks
    page, pages, where = areas[0]
    for area in areas[1:]:
        if area.page == page + pages and area.range is where:
            pages += area.pages
        else:
            blocks.append(FreedArea(page, pages, where))
            page, pages, where = area
    blocks.append(FreedArea(page, pages, where))
    return blocks


def _address_range(name: str, start: int, size: Bytes, page_size: Bytes) -> AddressRange:
    space = FreeSpace(start // page_size, size // page_size)
    return AddressRange(name, start, start + size, page_size, space)
