"""Pools that come and go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.errors import Fault
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import Count, KernelSize, PoolKeys, PositiveCount, ProtectCadence
from pmsim.workloads.kinds.policy_load import create_pool, fill_pool
from pmsim.workloads.registry import CpuWorkload, workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.timed import Timed
from pmsim.workloads.validation import KeyFault, pool_faults

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("pool_churn")
class PoolChurn(Timed, CpuWorkload):
    """Pools are created, filled, protected and destroyed, one after the other."""

    counted = "pools"

    pools: Count = Field(default=1, description="Pools, one after the other.")
    pool: PoolKeys = Field(default=PoolKeys(), description="How each pool is created.")
    allocations: PositiveCount = Field(default=512, description="Objects allocated in each pool.")
    size: KernelSize = Field(default=512, description="Size of each object.")
    protect: ProtectCadence = Field(
        default="end",
        description="When a pool is protected: end, never, or {every: n} allocations and once more"
        " at the end.",
    )
    destroy: bool = Field(default=True, description="Whether each pool is destroyed at last.")

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for the CPU, and for a pool that the kernel does not have."""
        yield from super().check(machine)
        yield from pool_faults(("pool",), self.pool, machine)

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Make one pool after the other, each at its time."""
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            pool = yield from create_pool(kernel, self.pool)
            yield from fill_pool(kernel, cpu, pool, self.allocations, self.size, self.protect)
            if self.destroy:
                yield from kernel.pmalloc_destroy_pool(pool)
