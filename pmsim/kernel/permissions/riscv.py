"""RISC-V: one walk under the lock of ``init_mm``, and one flush behind it.

Stands for ``__set_memory`` of arch/riscv/mm/pageattr.c (Linux 6.1 and 6.12). Left out: the alias of
the kernel image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.addresses.search import AddressSpace
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.pagetables.directmap import DirectMap
from pmsim.kernel.pagetables.entries import Change, runs_of
from pmsim.kernel.pagetables.entry_changes import Span, whole_leaves
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.kernel.permissions.strategy import Status
from pmsim.kernel.tlbflush import Cause
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext


class RiscvPermissions:
    """Nothing is purged before, nothing is tested for change, and holes are passed over.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._linear_alias = context.profile.linear_alias
        self._tlbflush = context.tlbflush
        self._pagetable = context.part(kernel_page_table)
        self._direct_map = context.part(DirectMap)
        self._space = context.part(AddressSpace)
        self._vmalloc = context.part(Vmalloc)

    def change(self, task: Task, address: int, pages: Pages, change: Change) -> Status:
        """Change pages; see `Permissions.change`.

        From 6.9 on large leaves of the direct map are split, their aliases change too, and
        everything is flushed, because a leaf that was split may have been larger than the range.
        Other large leaves change with all that they map, those of the direct map too up to 6.8.
        """
        if not pages:
            return 0
        span = Span(address, pages, pages)
        if not (self._linear_alias and self._direct_map.contains(address)):
            span = whole_leaves(self._pagetable, span)
        aliases = self._aliases(task, address, pages) if self._linear_alias else []
        yield from self._direct_map.change(task, [*aliases, span], change)
        if self._linear_alias:
            yield from self._tlbflush.flush_tlb_all(task, Cause.ATTRIBUTES)
        else:
            yield from self._tlbflush.flush_pages(task, pages, Cause.ATTRIBUTES, address)
        return 0

    def _aliases(self, task: Task, address: int, pages: Pages) -> list[Span]:
        """Return where the pages of an area are mapped a second time.

        Raises
        ------
        UndefinedBehaviour
            If no area holds the pages, though they lie where areas do: the kernel follows a pointer
            to the area that it has not tested.
        """
        if not self._space.holds(address):
            return []
        area = self._vmalloc.find(address)
        if area is None or address + pages * self._page_size > area.end:
            message = f"set_memory_* of {pages} pages at {address:#x}, which are no area's"
            raise UndefinedBehaviour(message, task.now, task.place)
        return self._direct_map.aliases(runs_of(self._pagetable.read(address, pages)))
