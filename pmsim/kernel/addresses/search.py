"""The address space of a kernel: its ranges, and how free addresses in them are found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.kernel.addresses.hint_search import HintSearch, ListSearch
from pmsim.kernel.addresses.node_pools import NodePools
from pmsim.kernel.addresses.ranges import (
    AddressRange,
    AddressSearch,
    FirstFit,
    address_ranges,
)

if TYPE_CHECKING:
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.profile import KernelProfile


class AddressSpace:
    """The part of the address space in which areas lie.

    Parameters
    ----------
    context
        What it stands on.

    Attributes
    ----------
    ranges
        The ranges by name: ``vmalloc`` and ``modules``, which may be one and the same.
    search
        How a place in them is found.
    """

    def __init__(self, context: KernelContext) -> None:
        profile = context.profile
        self.ranges = address_ranges(
            profile.vmalloc_range, profile.modules_range, profile.page_size
        )
        self.search = _address_search(profile, context.machine.n_cpus, self.ranges)

    def holds(self, address: int) -> bool:
        """Return whether an address lies where areas do."""
        return any(where.start <= address < where.end for where in self.ranges.values())


def _address_search(
    profile: KernelProfile, cpus: int, ranges: dict[str, AddressRange]
) -> AddressSearch:
    """Return the search of a kernel on a machine of so many CPUs."""
    match profile.area_search:
        case "list":
            return ListSearch()
        case "hint":
            return HintSearch()
        case "first_fit":
            return FirstFit()
        case "per_node":
            # Nodes are made on 64-bit machines only.
            return NodePools(cpus if profile.word_bytes == 8 else 1, ranges["vmalloc"])
