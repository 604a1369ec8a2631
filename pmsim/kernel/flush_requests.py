"""Flushes that a workload asks for itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.kernel.calls import call
from pmsim.kernel.tlbflush import Cause

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class FlushRequests:
    """The calls that flush and do nothing else.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._operations = context.operations
        self._tlbflush = context.tlbflush

    @call
    def flush_tlb_all(self, task: Task) -> Steps:
        """Drop every translation on every CPU, global ones included: ``flush_tlb_all``."""
        operation = self._operations.begin(task, "flush_tlb_all")
        yield from self._tlbflush.flush_tlb_all(task, Cause.REQUEST)
        self._operations.end(operation)

    @call
    def flush_tlb_kernel_range(self, task: Task, start: int, end: int) -> Steps:
        """Drop the translations of the bytes from ``start`` up to ``end`` on every CPU.

        Up to a ceiling page by page, above it everything; one shootdown either way.

        Raises
        ------
        ProgramError
            If the range ends before it starts.
        """
        pages = -(-(end - start) // self._page_size)
        operation = self._operations.begin(task, "flush_tlb_kernel_range", pages)
        yield from self._tlbflush.flush_tlb_kernel_range(task, start, end, Cause.REQUEST)
        self._operations.end(operation)
