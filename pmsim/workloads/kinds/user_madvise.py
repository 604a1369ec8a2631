"""A process that gives memory back and uses it again, over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.workloads.registry import workload
from pmsim.workloads.user_process import UserMapping

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("user_madvise")
class UserMadvise(UserMapping):
    """A thread gives some pages back and keeps their addresses: ``MADV_DONTNEED``, one flush.

    Stands for allocators and garbage collectors that return what they do not need now. The mapping
    and its page tables stay, so that the CPUs of sleeping threads are left alone.
    """

    touch: bool = Field(
        default=False, description="Whether the pages are touched again, a fault for each."
    )

    def change(self, kernel: KernelHandle) -> Steps:
        """Give the pages back, and perhaps take them anew."""
        yield from kernel.madvise_dontneed(self.pages)
        if self.touch:
            yield from self.touch_pages(kernel)
