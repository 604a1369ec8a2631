"""A just-in-time compiler, whose code is writable or executable."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.errors import Fault
from pmsim.quantities import Time
from pmsim.steps import Steps
from pmsim.units import US
from pmsim.workloads.kinds.user_membarrier import sync_core_fault
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.user_process import UserMapping
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("jit")
class Jit(UserMapping):
    """A thread makes code writable, writes to it, and lets it run.

    Stands for just-in-time compilers that never have memory writable and executable at the same
    time (W^X): two ``mprotect`` for each function, a flush in each for all threads, and, where
    wanted, a barrier after which they see the new code. `pages` is what changes its protection: all
    of the code, or only what is written to.
    """

    compile: Time = Field(default=100 * US, description="What compiling a function takes.")
    sync: bool = Field(
        default=False,
        description="Whether all threads are made to serialise before the code is used: a"
        " membarrier, one more interrupt.",
    )

    def change(self, kernel: KernelHandle) -> Steps:
        """Compile one function."""
        yield from kernel.mprotect(self.pages)
        yield from kernel.task.user_compute(self.compile)
        yield from kernel.mprotect(self.pages)
        if self.sync:
            yield from kernel.membarrier("sync_core")

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that is not there, and for a barrier that is not."""
        yield from super().check(machine)
        if self.sync:
            yield from sync_core_fault(("sync",), machine)
