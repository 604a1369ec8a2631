"""Giving up the address space of an area that was unmapped: lazily, or with a flush at once.

Stands for what ``free_vmap_area_noflush`` begins (mm/vmalloc.c, 4.16 to 6.18), and for what there
was before it (2.6.27: ``unmap_vm_area``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from pmsim.kernel.addresses.area_locks import AreaLocks
from pmsim.kernel.addresses.drain import LazyFree
from pmsim.kernel.addresses.search import AddressSpace
from pmsim.kernel.tlbflush import Cause

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.ranges import FreedArea
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class Release(Protocol):
    """How the address space of an unmapped area is given up.

    Attributes
    ----------
    lazy
        Whether its flush is left to others.
    """

    lazy: bool

    def release(self, task: Task, freed: FreedArea, area_lock: int) -> Iterable[Any]:
        """Give it up; the lock of this number is held before, and not after."""


class LazyRelease:
    """Gather, and flush for all at once (2.6.28 and later).

    Parameters
    ----------
    context
        What it stands on.
    """

    lazy = True

    def __init__(self, context: KernelContext) -> None:
        self._locks = context.part(AreaLocks)
        self._lazy_free = context.part(LazyFree)

    def release(self, task: Task, freed: FreedArea, area_lock: int) -> Iterable[Any]:
        """Put the area on the lazy list."""
        self._locks.leave(task, area_lock)
        return self._lazy_free.free(task, freed)


class EagerRelease:
    """Flush every area by itself, all others waiting for the lock (2.6.27 and before).

    Parameters
    ----------
    context
        What it stands on.
    """

    lazy = False

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._tlbflush = context.tlbflush
        self._locks = context.part(AreaLocks)
        self._search = context.part(AddressSpace).search

    def release(self, task: Task, freed: FreedArea, area_lock: int) -> Steps:
        """Flush the area, guard included, and give its address space back at once."""
        yield from self._tlbflush.flush_pages(
            task, freed.pages, Cause.PURGE, freed.page * self._page_size
        )
        for share in self._search.shares([freed]):
            self._search.give(share, full=True)
        self._locks.leave(task, area_lock)


def release(context: KernelContext) -> Release:
    """Return how this kernel gives address space up."""
    return EagerRelease(context) if context.profile.purge_by == "unmap" else LazyRelease(context)
