"""Freed address space: kept until all CPUs have forgotten it, then flushed and given back.

Stands for the lazy list of mm/vmalloc.c (``__purge_vmap_area_lazy``, ``_vm_unmap_aliases``, from
4.16 to 6.18). What is put on it, and who purges then, is in `pmsim.kernel.addresses.drain`; where
areas go afterwards, in `pmsim.kernel.addresses.ranges`. What is dirty in the blocks of
``vm_map_ram`` (`pmsim.kernel.addresses.vmap_block_queues`) is flushed with the list.
"""

from __future__ import annotations

from collections.abc import Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from pmsim.hardware.locks import Completion
from pmsim.kernel.addresses.cold_areas import ColdAreas
from pmsim.kernel.addresses.ranges import FreedArea, Share, merged
from pmsim.kernel.addresses.search import AddressSpace
from pmsim.kernel.addresses.vmap_block_queues import VmapBlockQueues
from pmsim.kernel.calls import call
from pmsim.kernel.geometry import ULONG_MAX
from pmsim.kernel.locks import KernelMutex, SharedLines
from pmsim.kernel.tlbflush import Cause
from pmsim.units import CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class Purge:
    """The lazy list, and everybody who empties it.

    Parameters
    ----------
    context
        What it stands on.

    Attributes
    ----------
    lazy_pages
        Pages of address space, guards included, that were freed and not yet given back
        (``vmap_lazy_nr``): those that a purge is flushing still count.
    lazy_max_pages
        How many may gather before a purge is asked for: 32 MiB for each bit of the number of
        online CPUs (``lazy_max_pages``).
    counter
        What `lazy_pages` lies in: every free adds to it.
    purge_lock
        Mutex around every purge, its shootdown included (``vmap_purge_lock``).
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        machine, profile, costs = context.machine, context.profile, context.costs
        self.lazy_pages = 0
        self.lazy_max_pages = machine.n_cpus.bit_length() * (
            profile.lazy_max_unit // self._page_size
        )
        self.counter = SharedLines(machine, 1)
        self.purge_lock = KernelMutex(machine, "vmap_purge_lock", guards=0)
        self._cold = context.part(ColdAreas)
        self._purged = self._cold.purged(0)
        self._lazy: list[FreedArea] = []
        self._merges = profile.lazy_merges
        self._scan_locked = profile.alias_lock == "scan"
        self._scan = costs.alias_scan_cpu * machine.n_cpus
        self._costs = costs
        self._machine = machine
        self._tlbflush = context.tlbflush
        self._operations = context.operations
        self._workqueue = context.workqueue
        self._search = context.part(AddressSpace).search
        self._blocks = context.part(VmapBlockQueues)

    @property
    def due(self) -> bool:
        """Whether more has gathered than may."""
        return self.lazy_pages > self.lazy_max_pages

    def has_room(self, pages: Pages) -> bool:
        """Return whether so many pages more make no purge due."""
        return self.lazy_pages + pages <= self.lazy_max_pages

    def put(self, cpu: CpuId, freed: FreedArea) -> bool:
        """Put an area on the list that a CPU freed; return whether a purge is `due`."""
        self._cold.freed(cpu)
        self._lazy.append(freed)
        self.lazy_pages += freed.pages
        return self.lazy_pages > self.lazy_max_pages

    def purge(self, task: Task) -> Steps:
        """Empty the list and all that is kept aside, for address space that is needed now.

        Stands for ``purge_vmap_area_lazy``, since 6.5 ``reclaim_and_purge_vmap_areas``.
        """
        yield from self._operations.lock(task, self.purge_lock)
        self._take_fragmented_blocks(task, forced=True)
        yield from self.purge_locked(task, full=True)
        self.purge_lock.unlock(task)

    def unmap_aliases(self, task: Task) -> Steps:
        """Do what `vm_unmap_aliases` does, as a part of another operation."""
        return self._unmap_aliases(task, ULONG_MAX, 0, Cause.PURGE)

    @call
    def vm_unmap_aliases(self, task: Task) -> Steps:
        """Flush and give back all that was lazily freed: ``vm_unmap_aliases``.

        Nothing on the list and nothing dirty, nothing flushed; but a purge that somebody else is
        running is waited for.
        """
        operation = self._operations.begin(task, "vm_unmap_aliases")
        yield from self.unmap_aliases(task)
        self._operations.end(operation)

    def flush_with_aliases(self, task: Task, start: int, end: int, cause: Cause) -> Steps:
        """Flush a range and everything on the list in one: ``_vm_unmap_aliases`` with ``flush``.

        The span reaches from the lowest start to the highest end of all of it.
        """
        return self._unmap_aliases(task, start, end, cause)

    def purge_locked(
        self,
        task: Task,
        start: int = ULONG_MAX,
        end: int = 0,
        cause: Cause = Cause.PURGE,
        *,
        full: bool = False,
    ) -> Generator[Any, Any, bool]:
        """Flush and give back all that is on the list: ``__purge_vmap_area_lazy``.

        One flush covers everything from the lowest start to the highest end, used or not. What it
        costs to give areas back is paid without the area lock, which the kernel lets go on demand.

        Parameters
        ----------
        task
            Who purges; it holds `purge_lock`.
        start, end
            Addresses that the flush covers at least.
        cause
            Why.
        full
            Whether nothing may be kept aside afterwards.

        Returns
        -------
        bool
            False if nothing was on the list; nothing is flushed then.
        """
        self._search.before_purge(full=full)
        if not self._lazy:
            return False
        areas, self._lazy = sorted(self._lazy), []
        self._purged = self._cold.purged(self._entries(areas))
        operation = self._operations.begin(task, "purge", sum(area.pages for area in areas))
        changed = operation.pages + max(end - start, 0) // self._page_size
        start = min(start, areas[0].page * self._page_size)
        end = max(end, (areas[-1].page + areas[-1].pages) * self._page_size)
        yield from self._tlbflush.flush_tlb_kernel_range(task, start, end, cause, changed)
        yield from self._give_back(task, self._search.shares(areas), full)
        self._operations.end(operation)
        return True

    def _unmap_aliases(self, task: Task, start: int, end: int, cause: Cause) -> Steps:
        if self._scan_locked:
            yield from self._operations.lock(task, self.purge_lock)
        yield from self._operations.compute(task, self._scan)
        dirty = self._blocks.dirty_span()
        if dirty is not None:
            first, last = dirty
            start, end = min(start, first), max(end, last)
        if not self._scan_locked:
            yield from self._operations.lock(task, self.purge_lock)
        self._take_fragmented_blocks(task, forced=False)
        purged = yield from self.purge_locked(task, start, end, cause)
        if not purged and start < end:
            yield from self._tlbflush.flush_tlb_kernel_range(task, start, end, cause)
        self.purge_lock.unlock(task)

    def _take_fragmented_blocks(self, task: Task, *, forced: bool) -> None:
        """Put the blocks of which nothing is mapped on the list (``purge_fragmented_blocks``)."""
        for freed in self._blocks.take_fragmented(forced=forced):
            self.put(task.cpu, freed)

    def _entries(self, areas: list[FreedArea]) -> int:
        """Return how many areas there are to give back, neighbours joined where they are."""
        return len(merged(areas)) if self._merges else len(areas)

    def _give_back(self, task: Task, shares: list[Share], full: bool) -> Steps:
        """Give freed areas back, node by node.

        For each further limit's worth that has gathered one node is left to a worker of its CPU
        (6.9 and later; before, all areas are one node's).
        """
        limits = self.lazy_pages // max(1, self.lazy_max_pages)
        helped = min(max(limits, 1), len(shares)) - 1
        done = Completion(self._machine, "purge_vmap_node")
        for share in shares[:helped]:
            work = partial(self._help, share=share, full=full, done=done)
            self._workqueue.queue_work_on(share.node, work)
        for share in shares[helped:]:
            yield from self._give_share(task, share, full)
        for _ in range(helped):
            yield from done.wait(task)

    def _help(self, task: Task, share: Share, full: bool, done: Completion) -> Steps:
        yield from self._give_share(task, share, full)
        done.complete()

    def _give_share(self, task: Task, share: Share, full: bool) -> Steps:
        """Give one node's areas back: ``purge_vmap_node``."""
        areas = share.areas
        entries = self._entries(areas)
        work = entries * self._costs.purge_area + self._purged.reached(task.cpu, entries)
        yield from self._operations.compute(task, work)
        self._search.give(share, full=full)
        self.lazy_pages -= sum(area.pages for area in areas)
