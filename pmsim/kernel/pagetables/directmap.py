"""The direct map: physical memory at one place, in leaves that split when they must.

Stands for the kernel's linear mapping at ``page_offset``. On 32-bit machines only the lower part
of memory is in it; pages above (highmem) have no alias. How its entries are changed is the
architecture's (`pmsim.kernel.pagetables.entry_changes`). Left out: the alias of the kernel image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from pmsim.kernel.geometry import ULONG_MAX
from pmsim.kernel.pagetables.entries import NX, PAGE_KERNEL, PRESENT, RW, Change, Run
from pmsim.kernel.pagetables.entry_changes import (
    Changed,
    Span,
    entry_changes,
    whole_leaves,
)
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.kernel.tlbflush import Cause

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class DirectMap:
    """The direct map of a kernel.

    Parameters
    ----------
    context
        What it stands on.

    Attributes
    ----------
    start, end
        Its first address, and the one after its last.
    changes
        How its entries, and all others, are changed.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        profile = context.profile
        self.start = profile.direct_map_start
        self.end = self.start + profile.direct_map_size
        self.changes = context.part(entry_changes)
        self._frames = profile.direct_map_size // self._page_size
        self._fixed = profile.set_memory in ("arm64", "arm32") and not profile.linear_alias
        self._whole = profile.set_memory == "riscv" and not profile.linear_alias
        self._flushes = profile.direct_map_flushes
        self._tlbflush = context.tlbflush
        self._pagetable = context.part(kernel_page_table)
        level = profile.direct_map_level
        self._pagetable.map_linear(self.start, self._frames, 0, level, PAGE_KERNEL)

    def contains(self, address: int) -> bool:
        """Return whether an address lies in the direct map."""
        return self.start <= address < self.end

    def address(self, pfn: int) -> int:
        """Return where a page frame is mapped."""
        return self.start + pfn * self._page_size

    def aliases(self, runs: Iterable[Run], at_once: int = 1) -> list[Span]:
        """Return where frames are mapped, without those of highmem, which are not."""
        lower = ((pfn, min(count, self._frames - pfn)) for pfn, count in runs)
        return [Span(self.address(pfn), count, at_once) for pfn, count in lower if count > 0]

    def bounds(self, runs: Iterable[Run]) -> tuple[int, int]:
        """Return the first address and the end of what frames span.

        Where all of them are highmem, the first address is the highest there is, and the end is 0.
        """
        spans = self.aliases(runs)
        start = min((one.address for one in spans), default=ULONG_MAX)
        return start, max((one.address + one.pages * self._page_size for one in spans), default=0)

    def change(self, task: Task, spans: Sequence[Span], change: Change) -> Changed:
        """Change the entries of some spans, here or elsewhere; see `EntryChanges.change`."""
        return self.changes.change(task, spans, change)

    def set_invalid_noflush(self, task: Task, runs: Iterable[Run]) -> Steps:
        """Make frames inaccessible: ``set_direct_map_invalid_noflush`` for each page."""
        return self._set(task, runs, Change(0, PRESENT | RW))

    def set_default_noflush(self, task: Task, runs: Iterable[Run]) -> Steps:
        """Make frames accessible and writable: ``set_direct_map_default_noflush``."""
        return self._set(task, runs, Change(PRESENT | RW | NX, 0))

    def _set(self, task: Task, runs: Iterable[Run], change: Change) -> Steps:
        """Change frames page by page, or not at all where the architecture does not.

        arm64 does not without rodata=full (``can_set_direct_map``), and arm32 never (no
        ``ARCH_HAS_SET_DIRECT_MAP``). RISC-V changes whole leaves up to 6.8, and from 6.9 on takes
        the way of ``set_memory_*`` for each page, which flushes (arch/riscv/mm/pageattr.c).
        """
        if self._fixed:
            return
        for span in self.aliases(runs):
            if self._flushes:
                yield from self._set_and_flush(task, span, change)
            else:
                span = whole_leaves(self._pagetable, span) if self._whole else span
                yield from self.change(task, [span], change)

    def _set_and_flush(self, task: Task, span: Span, change: Change) -> Steps:
        for page in range(span.pages):
            one = Span(span.address + page * self._page_size, 1, 1)
            yield from self.change(task, [one], change)
            yield from self._tlbflush.flush_tlb_all(task, Cause.RESET_PERMS)
