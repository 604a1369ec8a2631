"""Freed address space: kept until all CPUs have forgotten it, then flushed and given back.

Stands for the lazy list of mm/vmalloc.c (Linux 6.1: ``free_vmap_area_noflush``,
``__purge_vmap_area_lazy``, ``_vm_unmap_aliases``, ``drain_vmap_area_work``), and for what there was
before it (2.6.27: ``unmap_vm_area``). What is dirty in the blocks of ``vm_map_ram``
(`pmsim.kernel.vmap_blocks`) is flushed with the list.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from pmsim.hardware.locks import Mutex, Spinlock
from pmsim.kernel.freespace import FreeSpace
from pmsim.kernel.tlbflush import Cause, TlbFlush
from pmsim.kernel.workqueue import Work, Workqueue
from pmsim.units import PAGE_SIZE, Pages

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.profile import KernelProfile

ULONG_MAX: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class AddressRange:
    """A part of the address space in which areas are allocated.

    Attributes
    ----------
    name
        ``vmalloc`` or ``modules``.
    start, end
        First address, and the one after the last.
    space
        What is free of it, in pages counted from address 0.
    """

    name: str
    start: int
    end: int
    space: FreeSpace


class FreedArea(NamedTuple):
    """Address space that was unmapped: first page number, pages with the guard, and its range."""

    page: int
    pages: Pages
    range: AddressRange


class DirtyBlocks(Protocol):
    """Blocks of address space, parts of which were unmapped and not flushed."""

    def dirty_span(self) -> tuple[int, int] | None:
        """Return first address and end of all that is dirty, None if nothing is."""

    def take_fragmented(self) -> list[FreedArea]:
        """Give up the blocks of which nothing is mapped any more."""


class Purge:
    """The lazy list, and everybody who empties it.

    Parameters
    ----------
    machine, profile, costs
        What it runs on, how much may gather, what work costs.
    tlbflush, operations, workqueue
        How CPUs are told, where time is charged, who does the work.

    Attributes
    ----------
    lazy_pages
        Pages of address space, guards included, that were freed and not yet given back
        (``vmap_lazy_nr``): those that a purge is flushing still count.
    lazy_max_pages
        How many may gather before a purge is asked for: 32 MiB for each bit of the number of
        online CPUs (``lazy_max_pages``).
    blocks
        The blocks of ``vm_map_ram``, once there are any.
    """

    def __init__(
        self,
        machine: Machine,
        profile: KernelProfile,
        costs: KernelCosts,
        tlbflush: TlbFlush,
        operations: OperationLog,
        workqueue: Workqueue,
    ) -> None:
        self.lazy_pages = 0
        self.lazy_max_pages = machine.n_cpus.bit_length() * (profile.lazy_max_unit // PAGE_SIZE)
        self.blocks: DirtyBlocks | None = None
        self._lazy: list[FreedArea] = []
        self._purge_lock = Mutex(machine, "vmap_purge_lock")
        self._drain_work = Work(self.drain)
        self._scan = costs.alias_scan_cpu * machine.n_cpus
        self._costs = costs
        self._tlbflush = tlbflush
        self._operations = operations
        self._workqueue = workqueue

    def add(self, task: Task, freed: FreedArea) -> Steps:
        """Put a freed area on the list; ask for a purge when there is too much on it.

        The worker that purges runs before its caller goes on.
        """
        self._lazy.append(freed)
        self.lazy_pages += freed.pages
        if self.lazy_pages > self.lazy_max_pages and self._workqueue.schedule_work(
            task, self._drain_work
        ):
            yield from self._workqueue.give_way(task)

    def drain(self, task: Task) -> Steps:
        """Purge until no more is left than may gather: ``drain_vmap_area_work``.

        What is freed while a purge waits for the other CPUs still counts on top of what is being
        purged, so that it asks for the work again, which then finds less than the limit.
        """
        while True:
            yield from self._operations.lock(task, self._purge_lock)
            yield from self._purge_locked(task, ULONG_MAX, 0, Cause.PURGE)
            self._purge_lock.unlock(task)
            if self.lazy_pages <= self.lazy_max_pages:
                break

    def purge(self, task: Task) -> Steps:
        """Empty the list: ``purge_vmap_area_lazy``, for address space that is needed now."""
        yield from self._operations.lock(task, self._purge_lock)
        self._take_fragmented_blocks()
        yield from self._purge_locked(task, ULONG_MAX, 0, Cause.PURGE)
        self._purge_lock.unlock(task)

    def unmap_aliases(self, task: Task) -> Steps:
        """Leave no stale translation of freed areas: ``vm_unmap_aliases``.

        Nothing on the list and nothing dirty, nothing flushed; but a purge that somebody else is
        running is waited for.
        """
        return self._unmap_aliases(task, ULONG_MAX, 0, Cause.PURGE)

    def flush_with_aliases(self, task: Task, start: int, end: int, cause: Cause) -> Steps:
        """Flush a range and everything on the list in one: ``_vm_unmap_aliases`` with ``flush``.

        The span reaches from the lowest start to the highest end of all of it.
        """
        return self._unmap_aliases(task, start, end, cause)

    def _unmap_aliases(self, task: Task, start: int, end: int, cause: Cause) -> Steps:
        yield from self._operations.compute(task, self._scan)
        dirty = self.blocks.dirty_span() if self.blocks else None
        if dirty is not None:
            start, end = min(start, dirty[0]), max(end, dirty[1])
        yield from self._operations.lock(task, self._purge_lock)
        self._take_fragmented_blocks()
        purged = yield from self._purge_locked(task, start, end, cause)
        if not purged and start < end:
            yield from self._tlbflush.flush_tlb_kernel_range(task, start, end, cause)
        self._purge_lock.unlock(task)

    def _take_fragmented_blocks(self) -> None:
        """Put the blocks of which nothing is mapped on the list (``purge_fragmented_blocks``)."""
        if self.blocks is not None:
            for freed in self.blocks.take_fragmented():
                self._lazy.append(freed)
                self.lazy_pages += freed.pages

    def _purge_locked(
        self, task: Task, start: int, end: int, cause: Cause
    ) -> Generator[Any, Any, bool]:
        """Flush and give back all that is on the list; return False if that is nothing.

        The kernel gives areas back under the area lock, but lets it go as soon as somebody wants
        it; here their cost is paid without the lock.
        """
        if not self._lazy:
            return False
        areas, self._lazy = sorted(self._lazy), []
        pages = sum(area.pages for area in areas)
        operation = self._operations.begin(task, "purge", pages)
        start = min(start, areas[0].page * PAGE_SIZE)
        end = max(end, (areas[-1].page + areas[-1].pages) * PAGE_SIZE)
        yield from self._tlbflush.flush_tlb_kernel_range(task, start, end, cause)
        blocks = _merged(areas)
        yield from self._operations.compute(task, len(blocks) * self._costs.purge_area)
        for block in blocks:
            block.range.space.give(block.page, block.pages)
        self.lazy_pages -= pages
        self._operations.end(operation)
        return True


class Release(Protocol):
    """How the address space of an unmapped area is given up."""

    def release(self, task: Task, freed: FreedArea, area_lock: Spinlock) -> Steps:
        """Give it up; ``area_lock`` is held before, and not after."""


class LazyRelease:
    """Gather, and let a work item flush for all (2.6.28 and later).

    Parameters
    ----------
    purge
        Where it gathers.
    """

    def __init__(self, purge: Purge) -> None:
        self._purge = purge

    def release(self, task: Task, freed: FreedArea, area_lock: Spinlock) -> Steps:
        """Put the area on the lazy list."""
        area_lock.unlock(task)
        return self._purge.add(task, freed)


class EagerRelease:
    """Flush every area by itself, all others waiting for the lock (2.6.27 and before).

    Parameters
    ----------
    tlbflush
        How CPUs are told.
    """

    def __init__(self, tlbflush: TlbFlush) -> None:
        self._tlbflush = tlbflush

    def release(self, task: Task, freed: FreedArea, area_lock: Spinlock) -> Steps:
        """Flush the area, guard included, and give its address space back at once."""
        yield from self._tlbflush.flush_pages(task, freed.pages, Cause.PURGE)
        freed.range.space.give(freed.page, freed.pages)
        area_lock.unlock(task)


def _merged(areas: list[FreedArea]) -> list[FreedArea]:
    """Join areas that follow each other without a gap, as the lazy list does (5.10 and later)."""
    blocks: list[FreedArea] = []
    page, pages, where = areas[0].page, areas[0].pages, areas[0].range
    for area in areas[1:]:
        if area.page == page + pages and area.range is where:
            pages += area.pages
        else:
            blocks.append(FreedArea(page, pages, where))
            page, pages, where = area.page, area.pages, area.range
    blocks.append(FreedArea(page, pages, where))
    return blocks
