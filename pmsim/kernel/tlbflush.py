"""Flushing the kernel's translations on every CPU.

Stands for ``flush_tlb_all`` and ``flush_tlb_kernel_range`` (arch/x86/mm/tlb.c, Linux 6.1) and for
``text_poke_sync`` (arch/x86/kernel/alternative.c). All of them go to all online CPUs: idle,
isolated and lazy ones too, whatever address space they run. Left out: single-CPU optimisations for
a target that polls while idle, and paravirtual flushes, which exist for user mappings only.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from pmsim.errors import ProgramError
from pmsim.hardware.tlb import flush, full_flush, sync_core
from pmsim.units import PAGE_SIZE, Pages

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.operations import OperationLog, Steps


class Cause(IntEnum):
    """Why a cross-call is made; the lower-case name stands in the tables."""

    ATTRIBUTES = 0
    """The flush of a ``set_memory_*`` call."""
    SPLIT = 1
    """A large leaf of the direct map was split."""
    PURGE = 2
    """Lazily freed areas, whoever purges them."""
    RESET_PERMS = 3
    """An area with ``VM_FLUSH_RESET_PERMS`` is freed."""
    TEXT_POKE = 4
    """Code was patched; CPUs serialise, no translation is dropped."""
    USER = 5
    """User-space mappings changed."""
    TRACE = 6
    """A row of a trace workload."""
    REQUEST = 7
    """A workload asked for the flush itself."""


class TlbFlush:
    """The kernel's ways to flush all CPUs.

    Parameters
    ----------
    machine
        Whose CPUs are flushed.
    ceiling
        Pages above which a ranged flush becomes a full one (``tlb_single_page_flush_ceiling``).
    operations
        Where each cross-call is charged.
    """

    def __init__(self, machine: Machine, ceiling: Pages, operations: OperationLog) -> None:
        self.ceiling = ceiling
        self._tlb = machine.costs.tlb
        self._full = full_flush(self._tlb)
        self._sync_core = sync_core(self._tlb)
        self._operations = operations

    def flush_tlb_all(self, task: Task, cause: Cause) -> Steps:
        """Drop every translation on every CPU, global ones included."""
        return self._operations.cross_call(task, self._full, cause)

    def flush_tlb_kernel_range(self, task: Task, start: int, end: int, cause: Cause) -> Steps:
        """Drop the translations of the bytes from ``start`` up to ``end`` on every CPU.

        Up to the ceiling page by page, above it everything; one broadcast either way.

        Raises
        ------
        ProgramError
            If the range ends before it starts.
        """
        if end < start:
            raise ProgramError(
                f"flush_tlb_kernel_range ends at {end:#x}, before it starts at {start:#x}",
                task.now,
                task.name,
            )
        return self.flush_pages(task, -(-(end - start) // PAGE_SIZE), cause)

    def flush_pages(self, task: Task, pages: Pages, cause: Cause) -> Steps:
        """Drop the translations of ``pages`` consecutive pages, wherever they lie."""
        function = flush(self._tlb, pages, self.ceiling)
        return self._operations.cross_call(task, function, cause, pages)

    def text_poke_sync(self, task: Task) -> Steps:
        """Make every CPU execute a serialising instruction; no translation is dropped."""
        return self._operations.cross_call(task, self._sync_core, Cause.TEXT_POKE)
