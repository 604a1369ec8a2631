"""Blocks of pages of the direct map, as ``alloc_pages`` gives them.

Stands for ``alloc_pages`` and ``__free_pages`` of mm/page_alloc.c (Linux 6.1). Left out: waiting
for memory, which here is free or is not.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.calls import call
from pmsim.kernel.pagetables.directmap import DirectMap
from pmsim.kernel.pagetables.entries import Run
from pmsim.kernel.pagetables.frames import page_frames
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


@dataclass(frozen=True, slots=True)
class PageBlock:
    """Pages that follow each other in physical memory.

    Attributes
    ----------
    address
        First address, in the direct map.
    pages
        How many, a power of two.
    frame
        Number of the first page frame.
    """

    address: int
    pages: Pages
    frame: int

    @property
    def run(self) -> Run:
        """Its page frames."""
        return self.frame, self.pages


class PageBlocks:
    """The calls that allocate and free blocks.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._costs = context.costs
        self._operations = context.operations
        self._touched = context.touched
        self._frames = context.part(page_frames)
        self._direct_map = context.part(DirectMap)

    @call
    def alloc_pages(self, task: Task, order: int) -> Generator[Any, Any, PageBlock | None]:
        """Allocate ``2**order`` pages, aligned to their number: ``alloc_pages``.

        They are mapped already, so no entry changes.

        Returns
        -------
        PageBlock or None
            None if the order is too large or no such block is free.
        """
        operation = self._operations.begin(task, "alloc_pages")
        yield from self._operations.compute(task, self._costs.alloc_pages)
        pfn = self._frames.allocate_block(order)
        block = None
        if pfn is not None:
            operation.pages = 1 << order
            block = PageBlock(self._direct_map.address(pfn), 1 << order, pfn)
            if self._touched.on:
                self._touched.touch(task.cpu, block.address, block.pages)
        self._operations.end(operation)
        return block

    @call
    def free_pages(self, task: Task, block: PageBlock | None) -> Steps:
        """Free a block: ``__free_pages``; nothing is flushed.

        Raises
        ------
        UndefinedBehaviour
            If its pages are free already.
        """
        if block is None:
            return
        operation = self._operations.begin(task, "free_pages", block.pages)
        yield from self._operations.compute(task, self._costs.alloc_pages)
        try:
            self._frames.release([block.run])
        except ValueError:
            message = f"free_pages of {block.pages} pages at {block.address:#x}, which are free"
            raise UndefinedBehaviour(message, task.now, task.place) from None
        self._operations.end(operation)
