"""A process whose threads agree on the order of their accesses, over and over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pmsim.errors import Fault
from pmsim.quantities import Time
from pmsim.steps import Steps
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.user_process import UserProcess
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("user_membarrier")
class UserMembarrier(UserProcess):
    """A thread asks for a memory barrier on the CPUs of all others: ``membarrier``, no flush.

    Stands for user-space RCU, garbage collectors and just-in-time compilers, which let readers do
    without barriers. CPUs that run the process are interrupted as by a flush, and do next to
    nothing: what a shootdown costs without page tables.
    """

    revokes = False

    barrier: Literal["private", "sync_core", "global"] = Field(
        default="private",
        description="private: the CPUs that run the process are interrupted. sync_core: and"
        " serialise, to take notice of new code. global: nobody is called, the caller sleeps for a"
        " grace period.",
    )
    compute: Time = Field(default=0, description="What a thread computes before each.")

    def change(self, kernel: KernelHandle) -> Steps:
        """Ask for one barrier."""
        yield from kernel.task.user_compute(self.compute)
        yield from kernel.membarrier(self.barrier)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that is not there, and for a barrier that is not."""
        yield from super().check(machine)
        if self.barrier == "sync_core":
            yield from sync_core_fault(("barrier",), machine)


def sync_core_fault(path: tuple[str, ...], machine: MachineInfo) -> Iterable[KeyFault]:
    """Return a fault if the kernel cannot make other threads serialise."""
    kernel = machine.kernel
    if kernel is not None and not kernel.membarrier_sync_core:
        message = f"{kernel.name} has no membarrier that makes other threads serialise"
        yield KeyFault(path, "no-such-call", message, "on RISC-V 6.12 has it")
