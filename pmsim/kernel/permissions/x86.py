"""x86: entries change where they must, and what changed is flushed.

Stands for ``change_page_attr_set_clr`` and what it calls in arch/x86/mm/pageattr.c (Linux 4.16)
and arch/x86/mm/pat/set_memory.c (later).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pmsim.kernel.addresses.highmem import Highmem
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.pagetables.directmap import DirectMap
from pmsim.kernel.pagetables.entries import Change, Entries, runs_of
from pmsim.kernel.pagetables.entry_changes import ChangePageAttr, Span
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.kernel.permissions.strategy import EFAULT, ROX, Status
from pmsim.kernel.tlbflush import Cause
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class X86Permissions:
    """What was lazily freed is flushed, entries are changed, and what changed is flushed.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        profile = context.profile
        self._purges = profile.set_memory_purges
        self._alias_on_nx = profile.alias_on_nx
        self._ranged = profile.cpa_ranged
        self._collapses = profile.cpa_collapse
        self._tlbflush = context.tlbflush
        self._pagetable = context.part(kernel_page_table)
        self._changes = context.part(ChangePageAttr)
        self._direct_map = context.part(DirectMap)
        self._purge = context.part(Purge)
        self._highmem = context.part(Highmem)

    def change(self, task: Task, address: int, pages: Pages, change: Change) -> Status:
        """Change pages, and their aliases in the direct map; see `Permissions.change`.

        A range with a hole is changed up to the hole.
        """
        yield from self.flush_aliases(task)
        return (yield from self.change_entries(task, address, pages, change))

    def flush_aliases(self, task: Task) -> Steps:
        """Flush what was mapped elsewhere before (``kmap_flush_unused``, ``vm_unmap_aliases``)."""
        yield from self._highmem.flush_unused(task)
        if self._purges:
            yield from self._purge.unmap_aliases(task)

    def change_entries(self, task: Task, address: int, pages: Pages, change: Change) -> Status:
        """Change pages and flush what changed (``__change_page_attr_set_clr``, ``cpa_flush``)."""
        entries = self._pagetable.read(address, pages)
        mapped = _mapped_prefix(entries)
        aliases = self._aliases(address, entries[:mapped], change)
        changed = yield from self._changes.change(task, [Span(address, mapped, mapped)], change)
        if change.without_nx != Change(0, 0):
            yield from self._changes.change(task, aliases, change.without_nx)
        if changed:
            yield from self.flush(task, address, pages, everything=bool(aliases) or mapped < pages)
            if self._collapses and change == ROX:
                yield from self._changes.collapse(task, address, pages)
        return 0 if mapped == pages else -EFAULT

    def _aliases(self, address: int, entries: Entries, change: Change) -> list[Span]:
        """Return the aliases that are looked at (``cpa_process_alias``).

        None of what lies in the direct map itself; of the others not if only the right to execute
        changes, up to 6.1. From 6.2 on that is looked at too, though it is never changed there.
        """
        looks = self._alias_on_nx or not change.only_nx
        if not looks or self._direct_map.contains(address):
            return []
        aliases = []
        for first, count, leaf in self._pieces(address, len(entries)):
            aliases += self._direct_map.aliases(runs_of(entries[first : first + count]), leaf)
        return aliases

    def _pieces(self, address: int, pages: Pages) -> list[tuple[Pages, Pages, Pages]]:
        """Return a mapped range in pieces: first page, how many, and how many change at once.

        Pages mapped by a large leaf that changes as one have aliases that change as one.
        """
        large = self._pagetable.geometry.span(2)
        pieces, at = [], 0
        while at < pages:
            leaf = self._pagetable.walk(address + at * self._page_size)
            assert leaf is not None, "the range is mapped"
            skipped = (address // self._page_size + at) % max(leaf.pages, large)
            count = min(pages - at, max(leaf.pages, large) - skipped)
            pieces.append((at, count, leaf.pages if count == leaf.pages else 1))
            at += count
        return pieces

    def flush(self, task: Task, address: int, pages: Pages, everything: bool = False) -> Steps:
        """Make a change known (``cpa_flush``, ``cpa_flush_all``)."""
        if everything or not self._ranged or pages > self._tlbflush.ceiling:
            return self._tlbflush.flush_tlb_all(task, Cause.ATTRIBUTES)
        return self._tlbflush.flush_pages(task, pages, Cause.ATTRIBUTES, address)


def _mapped_prefix(entries: Entries) -> Pages:
    """Return how many pages are mapped before the first hole."""
    holes = np.flatnonzero(entries == 0)
    return int(holes[0]) if holes.size else len(entries)
