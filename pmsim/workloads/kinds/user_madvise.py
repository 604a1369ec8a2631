"""A process that gives memory back and uses it again, over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount
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

    read: bool = Field(
        default=False,
        description="Whether the pages are read behind that, a fault for each, which maps the page"
        " of zeros; so what is touched next are others.",
    )
    remap_after: PositiveCount | None = Field(
        default=None,
        description="Changes after which the thread unmaps what it went through, and maps as much"
        " anew; threads begin at random places; none: never.",
    )

    def change(self, kernel: KernelHandle) -> Steps:
        """Give the pages back, and perhaps read them, and take them anew."""
        yield from kernel.madvise_dontneed(self.pages)
        if self.read:
            yield from kernel.read(self.pages)
        if self.touch:
            yield from self.touch_pages(kernel)

    def nth_change(self, kernel: KernelHandle, number: int) -> Steps:
        """Map anew if it is time to."""
        if self.remap_after is not None and (number + 1) % self.remap_after == 0:
            passed = self.remap_after * self.pages
            yield from kernel.munmap(passed, of_zeros=True)
            yield from kernel.mmap(passed)
        yield from self.change(kernel)

    def first_change(self, cpu: Cpu) -> int:
        """Return a number by which threads do not all map anew at the same time."""
        if self.remap_after is None:
            return 0
        return int(cpu.rng("mapping").integers(self.remap_after))
