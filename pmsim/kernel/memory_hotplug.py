"""Memory that is removed while the kernel runs.

Stands for ``arch_remove_memory`` and ``vmemmap_free`` (x86: arch/x86/mm/init_64.c; arm64:
arch/arm64/mm/mmu.c; RISC-V: arch/riscv/mm/init.c), Linux 4.16 to 6.18. What goes are the mappings
of its descriptors (``struct page``), section by section, and those of itself in the direct map.

Left out: moving what is in the memory before it goes; tables above those of entries; descriptors in
small pages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim.errors import ProgramError
from pmsim.kernel.calls import call
from pmsim.kernel.tlbflush import Cause
from pmsim.units import KIB, MIB, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

SECTION: Final = 128 * MIB
"""Memory whose descriptors come and go together (``SECTION_SIZE_BITS``: 27)."""

SECTION_64K: Final = 512 * MIB
"""The same with pages of 64 KiB (arch/arm64/include/asm/sparsemem.h: 29)."""


class MemoryHotplug:
    """Removing memory.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        profile, geometry = context.profile, context.profile.geometry
        section = SECTION_64K if geometry.page_size == 64 * KIB else SECTION
        self._section = section // geometry.page_size
        self._table = geometry.entries
        # The descriptors of a section: a large leaf of 4 KiB pages, else by pages.
        described = geometry.descriptor_pages(section)
        self._descriptors = described // geometry.descriptor_leaf
        self._way = profile.hot_remove
        self._small_leaves = profile.direct_map_level == 1
        self._costs = context.costs
        self._operations = context.operations
        self._tlbflush = context.tlbflush

    @call
    def arch_remove_memory(self, task: Task, sections: int = 1) -> Steps:
        """Take memory out of the page tables: its descriptors by section, then itself.

        Parameters
        ----------
        task
            Who removes it.
        sections
            How many sections: of 128 MiB, with pages of 64 KiB of 512.

        Raises
        ------
        ProgramError
            If this kernel cannot.
        """
        if self._way == "none":
            raise ProgramError("arch_remove_memory: this kernel cannot", task.now, task.place)
        pages = sections * self._section
        operation = self._operations.begin(task, "arch_remove_memory", pages)
        for _ in range(sections):
            yield from self._remove(task, self._descriptors)
        leaves = pages if self._small_leaves else pages // self._table
        yield from self._remove(task, leaves)
        if self._way == "entry" and self._small_leaves:
            # Each table of entries goes too, with an operation of its own.
            for _ in range(pages // self._table):
                yield from self._tlbflush.flush_pages(task, 1, Cause.HOT_REMOVE)
        if self._way == "all_again":
            yield from self._tlbflush.flush_tlb_all(task, Cause.HOT_REMOVE)
        self._operations.end(operation)

    def _remove(self, task: Task, entries: Pages) -> Steps:
        """Clear entries, and flush all of them at once or each (``remove_pagetable``)."""
        if self._way == "entry":
            for _ in range(entries):
                yield from self._operations.compute(task, self._costs.hot_remove_page)
                yield from self._tlbflush.flush_pages(task, 1, Cause.HOT_REMOVE)
        else:
            yield from self._operations.compute(task, entries * self._costs.hot_remove_page)
            yield from self._tlbflush.flush_tlb_all(task, Cause.HOT_REMOVE)
