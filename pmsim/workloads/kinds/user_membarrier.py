"""A process whose threads agree on the order of their accesses, over and over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.steps import Steps
from pmsim.workloads.registry import workload
from pmsim.workloads.user_process import UserProcess

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("user_membarrier")
class UserMembarrier(UserProcess):
    """A thread asks for a memory barrier on the CPUs of all others: ``membarrier``, no flush.

    Stands for user-space RCU, garbage collectors and just-in-time compilers, which let readers do
    without barriers. CPUs that run the process are interrupted as by a flush, and do next to
    nothing: what a shootdown costs without page tables.
    """

    def change(self, kernel: KernelHandle) -> Steps:
        """Ask for one barrier."""
        yield from kernel.membarrier()
