"""Changing the permissions of kernel memory: ``set_memory_ro``, ``_rw``, ``_x``, ``_nx``.

Stands for ``change_page_attr_set_clr`` and what it calls in arch/x86/mm/pat/set_memory.c (Linux
6.1). Left out: cache attributes, and with them CLFLUSH; the protection of the kernel's own text;
arrays of pages.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.directmap import DirectMap
from pmsim.kernel.entries import NX, PFN_MASK, RW, Entries, Run
from pmsim.kernel.pagetable import PageTable
from pmsim.kernel.purge import Purge
from pmsim.kernel.tlbflush import Cause, TlbFlush
from pmsim.units import PAGE_SIZE, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.profile import KernelProfile

EFAULT: Final = 14
"""Bad address (include/uapi/asm-generic/errno-base.h); calls return it negated."""

Status = Generator[Any, Any, int]
"""Takes simulated time; returns 0, or a negated error number."""


class _Change(NamedTuple):
    """Bits to set and to clear."""

    set_bits: int
    clear_bits: int

    @property
    def only_nx(self) -> bool:
        return self.set_bits | self.clear_bits == NX


class SetMemory:
    """The calls that change permissions.

    Every one first makes sure that no lazily freed area has stale translations left, which costs a
    broadcast if there is one; then changes entries; then flushes, if an entry changed.

    Parameters
    ----------
    profile, costs
        What this generation does differently, and what work costs.
    pagetable, direct_map
        What is changed.
    purge, tlbflush, operations
        The lazy list, how CPUs are told, where time is charged.
    """

    def __init__(
        self,
        profile: KernelProfile,
        costs: KernelCosts,
        pagetable: PageTable,
        direct_map: DirectMap,
        purge: Purge,
        tlbflush: TlbFlush,
        operations: OperationLog,
    ) -> None:
        self._alias_on_nx = profile.alias_on_nx
        self._ranged = profile.cpa_ranged
        self._costs = costs
        self._pagetable = pagetable
        self._direct_map = direct_map
        self._purge = purge
        self._tlbflush = tlbflush
        self._operations = operations

    def ro(self, task: Task, address: int, pages: Pages) -> Status:
        """Make pages read-only: ``set_memory_ro``.

        Parameters
        ----------
        task
            Who calls.
        address
            Of the first page; rounded down to a page, as the kernel does (and warns).
        pages
            How many; 0 still purges lazily freed areas.

        Returns
        -------
        int
            0; -`EFAULT` if some page is not mapped: those before it have changed then, and
            everything is flushed.

        Raises
        ------
        UndefinedBehaviour
            For a negative number of pages.
        """
        return self._call(task, "set_memory_ro", address, pages, _Change(0, RW))

    def rw(self, task: Task, address: int, pages: Pages) -> Status:
        """Make pages writable: ``set_memory_rw``; see `ro`."""
        return self._call(task, "set_memory_rw", address, pages, _Change(RW, 0))

    def x(self, task: Task, address: int, pages: Pages) -> Status:
        """Make pages executable: ``set_memory_x``; see `ro`."""
        return self._call(task, "set_memory_x", address, pages, _Change(0, NX))

    def nx(self, task: Task, address: int, pages: Pages) -> Status:
        """Make pages not executable: ``set_memory_nx``; see `ro`."""
        return self._call(task, "set_memory_nx", address, pages, _Change(NX, 0))

    def _call(self, task: Task, kind: str, address: int, pages: Pages, change: _Change) -> Status:
        if pages < 0:
            raise UndefinedBehaviour(f"{kind} of {pages} pages", task.now, task.place)
        address = address // PAGE_SIZE * PAGE_SIZE
        operation = self._operations.begin(task, kind, pages)
        yield from self._operations.compute(task, self._costs.set_memory)
        yield from self._purge.unmap_aliases(task)
        entries = self._pagetable.read(address, pages)
        mapped = _mapped_prefix(entries)
        in_direct_map = self._direct_map.contains(address)
        aliased = not in_direct_map and (self._alias_on_nx or not change.only_nx)
        changed = yield from self._direct_map.change_range(task, address, mapped, *change)
        if aliased and not change.only_nx:
            for run in _runs(entries[:mapped]):
                yield from self._direct_map.change_pages(task, run, *change)
        if changed:
            everything = aliased or mapped < pages
            yield from self._flush(task, pages, everything)
        self._operations.end(operation)
        return 0 if mapped == pages else -EFAULT

    def _flush(self, task: Task, pages: Pages, everything: bool) -> Steps:
        """Make a change known (``cpa_flush``, ``cpa_flush_all``)."""
        if everything or not self._ranged or pages > self._tlbflush.ceiling:
            return self._tlbflush.flush_tlb_all(task, Cause.ATTRIBUTES)
        return self._tlbflush.flush_pages(task, pages, Cause.ATTRIBUTES)


def _mapped_prefix(entries: Entries) -> Pages:
    """Return how many pages are mapped before the first hole."""
    holes = np.flatnonzero(entries == 0)
    return int(holes[0]) if holes.size else len(entries)


def _runs(entries: Entries) -> list[Run]:
    """Return the page frames of entries, joined where they follow each other."""
    if not len(entries):
        return []
    frames = ((entries & np.uint64(PFN_MASK)) >> np.uint64(12)).astype(np.int64)
    firsts = np.concatenate(([0], np.flatnonzero(np.diff(frames) != 1) + 1))
    counts = np.diff(np.append(firsts, len(frames)))
    return [(int(frames[at]), int(count)) for at, count in zip(firsts, counts, strict=True)]
