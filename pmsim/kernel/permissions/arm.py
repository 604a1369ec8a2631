"""Arm: only areas of vmalloc and modules, and a flush whether or not anything changed.

Stands for ``change_memory_common`` of arch/arm64/mm/pageattr.c (Linux 4.16, 6.1 and 6.18) and of
arch/arm/mm/pageattr.c (6.1). Left out: the barriers that each written entry costs on arm64, which
are part of the time for a page; ``set_memory_valid``, which nothing here calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.kernel.addresses.areas import GUARD
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.pagetables.directmap import DirectMap
from pmsim.kernel.pagetables.entries import Change
from pmsim.kernel.pagetables.entry_changes import Span
from pmsim.kernel.permissions.strategy import EINVAL, Status
from pmsim.kernel.tlbflush import Cause
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class Arm64Permissions:
    """arm64: with rodata=full the whole area's aliases first, each page with its own flush.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._linear_alias = context.profile.linear_alias
        self._purges = context.profile.set_memory_purges
        self._tlbflush = context.tlbflush
        self._direct_map = context.part(DirectMap)
        self._vmalloc = context.part(Vmalloc)
        self._purge = context.part(Purge)

    def change(self, task: Task, address: int, pages: Pages, change: Change) -> Status:
        """Change pages of one area; see `Permissions.change`.

        What is not within one area that vmalloc allocated is refused, and so are areas that are
        mapped by large leaves, which must not be split while they are in use (6.18; 6.1 refuses
        them too, but later, in ``apply_to_page_range``).
        """
        area = self._vmalloc.find(address)
        if area is None or area.leaf > 1 or not _holds(area, address, pages):
            return -EINVAL
        if not pages:
            return 0
        if self._linear_alias and not change.only_nx:
            yield from self._change_aliases(task, area, change)
        if self._purges:
            yield from self._purge.unmap_aliases(task)
        yield from self._direct_map.change(task, [Span(address, pages, pages)], change)
        yield from self._tlbflush.flush_pages(task, pages, Cause.ATTRIBUTES, address)
        return 0

    def _change_aliases(self, task: Task, area: VmArea, change: Change) -> Steps:
        """Change every page of an area in the direct map, also those that were not asked for."""
        for span in self._direct_map.aliases(area.runs):
            for page in range(span.pages):
                one = Span(span.address + page * self._page_size, 1, 1)
                yield from self._direct_map.change(task, [one], change)
                yield from self._tlbflush.flush_pages(task, 1, Cause.ATTRIBUTES, one.address)


class Arm32Permissions:
    """arm32: the range alone, wherever it lies in one of the two ranges of areas.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._tlbflush = context.tlbflush
        self._ranges = context.part(Vmalloc).ranges.values()
        self._direct_map = context.part(DirectMap)

    def change(self, task: Task, address: int, pages: Pages, change: Change) -> Status:
        """Change pages; see `Permissions.change`. Nothing else than areas is changed."""
        if not pages:
            return 0
        end = address + pages * self._page_size
        if not any(where.start <= address and end <= where.end for where in self._ranges):
            return -EINVAL
        yield from self._direct_map.change(task, [Span(address, pages, pages)], change)
        yield from self._tlbflush.flush_pages(task, pages, Cause.ATTRIBUTES, address)
        return 0


def _holds(area: VmArea, address: int, pages: Pages) -> bool:
    """Return whether pages lie within an area with frames of its own; the guard is a part of it."""
    page_size = area.range.page_size
    return area.allocated and address + pages * page_size <= area.end + GUARD * page_size
