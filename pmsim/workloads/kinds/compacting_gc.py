"""A garbage collector that moves objects while the program runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.workloads.keys import UserPages
from pmsim.workloads.registry import workload
from pmsim.workloads.user_process import UserMapping

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("compacting_gc")
class CompactingGc(UserMapping):
    """A thread compacts a heap by means of page protection.

    Stands for collectors and allocators that compact with the help of page protection, as Ruby's
    automatic compaction and the allocator Mesh do: what is to move is made inaccessible
    (``PROT_NONE``), so that a thread that touches it is caught, all of it by one ``mprotect`` or
    region by region; region by region the objects are copied and the region is opened again, which
    flushes nothing on x86 since 5.19; and one ``madvise`` for all of it. Left out: threads that are
    caught; references that have to be changed elsewhere.
    """

    region: UserPages = Field(
        default=16, description="Pages that are copied and opened again at a time."
    )

    at_once: bool = Field(
        default=True,
        description="Whether all that is to move is made inaccessible by one mprotect; else each"
        " region as it is reached, as Ruby does.",
    )

    def change(self, kernel: KernelHandle) -> Steps:
        """Compact once."""
        if self.at_once:
            yield from kernel.mprotect(self.pages)
        for first in range(0, self.pages, self.region):
            pages = min(self.region, self.pages - first)
            if not self.at_once:
                yield from kernel.mprotect(pages)
            yield from kernel.task.user_compute(pages * kernel.costs.user_page_copy)
            yield from kernel.mprotect(pages, opens=True)
        yield from kernel.madvise_dontneed(self.pages)
