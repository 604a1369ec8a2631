"""A process that write-protects its own memory and makes it writable again, over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.workloads.registry import workload
from pmsim.workloads.user_process import UserMapping

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("user_mprotect")
class UserMprotect(UserMapping):
    """A thread makes some pages read-only and writable again: two ``mprotect``, a flush in each.

    Stands for garbage collectors with write barriers, sandboxes and just-in-time compilers: user
    space's own shootdowns, which go only to the CPUs that run the process. They are the noise among
    which the kernel's stand.
    """

    touch: bool = Field(
        default=False,
        description="Whether the thread uses the pages after each change, and so has what was"
        " dropped of them in its TLB again.",
    )

    def change(self, kernel: KernelHandle) -> Steps:
        """Make the pages read-only, and writable again."""
        for _ in range(2):
            yield from kernel.mprotect(self.pages)
            if self.touch:
                walk = kernel.task.machine.costs.tlb.walk
                yield from kernel.task.user_compute(self.pages * walk)
