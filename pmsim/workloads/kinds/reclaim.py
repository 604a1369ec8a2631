"""A process that gets memory by taking it from itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.kernel.reclaim import SWAP_CLUSTER_MAX
from pmsim.steps import Steps
from pmsim.workloads.keys import Count
from pmsim.workloads.registry import workload
from pmsim.workloads.user_process import UserMapping

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("reclaim")
class Reclaim(UserMapping):
    """A thread that touches pages takes as many from its process.

    They are unmapped 32 at a time. Stands for direct reclaim and for processes at the limit of
    their memory cgroup: what is cold is taken away, and the CPUs that run the process must not use
    it any more. Linux flushed each page by itself once (before 4.3; on arm64 up to 6.5), and since
    then once for each batch.
    """

    dirty: Count = Field(
        default=0,
        description=f"How many of each {SWAP_CLUSTER_MAX} pages have to be written first, each"
        " after a flush of its own.",
    )

    def change(self, kernel: KernelHandle) -> Steps:
        """Take pages away, and touch as many others."""
        yield from kernel.shrink_page_list(self.pages, dirty=self.dirty)
        yield from self.touch_pages(kernel)
