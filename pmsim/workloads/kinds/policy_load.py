"""Loading a security policy into a pool of protectable memory."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pmsim.errors import Fault
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import Count, Every, KernelSize, PoolKeys, ProtectCadence
from pmsim.workloads.registry import CpuWorkload, workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.validation import KeyFault, pool_faults

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle
    from pmsim.kernel.pmalloc.pools import Allocations, Pool


@workload("policy_load")
class PolicyLoad(CpuWorkload):
    """A security policy is loaded into one pool and protected; the pool stays.

    Stands for SELinux or a similar module that allocates its rules one by one with ``pmalloc`` and
    makes them read-only with ``pmalloc_protect_pool``. Parsing the policy between the allocations
    is left out.
    """

    pool: PoolKeys = Field(default=PoolKeys(), description="How the pool is created.")
    allocations: Count = Field(description="Objects allocated.")
    size: KernelSize = Field(description="Size of each.")
    protect: ProtectCadence = Field(
        default="end",
        description="When the pool is protected: end, never, or {every: n} allocations and once"
        " more at the end.",
    )

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for the CPU, and for a pool that the kernel does not have."""
        yield from super().check(machine)
        yield from pool_faults(("pool",), self.pool, machine)

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Create the pool, fill it, protect it."""
        pool = yield from create_pool(kernel, self.pool)
        yield from fill_pool(kernel, cpu, pool, self.allocations, self.size, self.protect)


def create_pool(kernel: KernelHandle, keys: PoolKeys) -> Generator[Any, Any, Pool]:
    """Create a pool as the keys say, and return it."""
    return (yield from kernel.pmalloc_create_pool(keys.refill, keys.align_order, keys.mode))


def fill_pool(
    kernel: KernelHandle,
    cpu: Cpu,
    pool: Pool,
    allocations: int,
    size: int,
    protect: ProtectCadence,
) -> Generator[Any, Any, list[Allocations]]:
    """Allocate objects in a pool, protecting it on the way or at the end.

    An allocation that fails is reported and ends the filling, as a policy that does not fit is not
    loaded; what is there is protected all the same. In a pool that starts protected each object is
    filled by a rare write; plain stores elsewhere are left out. Returns the addresses, one
    `Allocations` after the other.
    """
    at_once = protect.every if isinstance(protect, Every) else allocations
    done = 0
    filled = []
    while done < allocations:
        wanted = min(at_once, allocations - done)
        objects = yield from kernel.alloc_many(pool, wanted, size)
        done += len(objects)
        filled.append(objects)
        for address in objects if pool.starts_protected else ():
            yield from kernel.wr_memcpy(address, size)
        if len(objects) < wanted:
            cpu.report_failure("pmalloc", f"pool full after {done:,} of {allocations:,} objects")
            break
        if isinstance(protect, Every):
            yield from kernel.pmalloc_protect_pool(pool)
    if protect != "never":
        # Where the cadence has just protected everything, this finds nothing to do.
        yield from kernel.pmalloc_protect_pool(pool)
    return filled
