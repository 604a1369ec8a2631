"""Which search for free addresses a kernel has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.kernel.addresses.hint_search import HintSearch
from pmsim.kernel.addresses.node_pools import NodePools
from pmsim.kernel.addresses.ranges import AddressRange, AddressSearch, FirstFit

if TYPE_CHECKING:
    from pmsim.kernel.profile import KernelProfile


def address_search(
    profile: KernelProfile, cpus: int, ranges: dict[str, AddressRange]
) -> AddressSearch:
    """Return the search of a kernel on a machine of so many CPUs."""
    if profile.area_search == "hint":
        return HintSearch()
    if profile.area_search == "first_fit":
        return FirstFit()
    # Nodes are made on 64-bit machines only.
    return NodePools(cpus if profile.word_bytes == 8 else 1, ranges["vmalloc"])
