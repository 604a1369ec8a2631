"""A process that maps and unmaps memory, over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.workloads.registry import workload
from pmsim.workloads.user_process import UserMapping

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

PAGES_THAT_FREE_A_TABLE = 256
"""From this size on ``munmap`` was seen to free page tables, on Linux 6.1, though not always: half
of what a table of the lowest level spans."""


@workload("user_munmap")
class UserMunmap(UserMapping):
    """A thread maps some pages, uses them and unmaps them again: one flush.

    Stands for allocators that give memory back and for files mapped for a short time. Where page
    tables are freed with the pages, the CPUs of sleeping threads are interrupted too. Mapping and
    touching the pages, which flush nothing, are left out
    unless asked for.
    """

    frees_tables: bool | None = Field(
        default=None,
        description="Whether page tables go with the pages, because nothing else of the process is"
        " mapped near them; by default from 256 pages on.",
    )

    touch: bool = Field(
        default=False,
        description="Whether the pages are mapped and touched before, a fault for each.",
    )

    def change(self, kernel: KernelHandle) -> Steps:
        """Unmap the pages."""
        if self.touch:
            yield from kernel.mmap(self.pages)
            yield from self.touch_pages(kernel)
        freed = self.pages >= PAGES_THAT_FREE_A_TABLE
        freed = freed if self.frees_tables is None else self.frees_tables
        yield from kernel.munmap(self.pages, frees_tables=freed)
