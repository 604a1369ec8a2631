"""Which areas belong to a pool (``VM_PMALLOC``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.pmalloc.pools import Pool


class Flagged(NamedTuple):
    """A vmalloc area that belongs to a pool."""

    mapped: VmArea
    pool: Pool


class FlaggedAreas:
    """The areas of all pools of a kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    by_start
        The areas by their first address.
    """

    def __init__(self, context: KernelContext) -> None:
        self.by_start: dict[int, Flagged] = {}
