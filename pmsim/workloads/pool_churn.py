"""Pools that come and go."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice, repeat
from typing import Any

from pydantic import Field, model_validator

from pmsim.errors import Fault
from pmsim.quantities import Size
from pmsim.workloads.arrival import Arrival
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keyfault import KeyFault, pool_faults
from pmsim.workloads.keys import Count, PoolKeys, PositiveCount, ProtectCadence
from pmsim.workloads.policy_load import create_pool, fill_pool
from pmsim.workloads.registry import CpuWorkload, workload
from pmsim.workloads.task import MachineInfo, Steps


@workload("pool_churn")
class PoolChurn(CpuWorkload):
    """Pools are created, filled, protected and destroyed, one after the other."""

    pools: Count = Field(default=1, description="Pools, one after the other.")
    pool: PoolKeys = Field(default=PoolKeys(), description="How each pool is created.")
    allocations: PositiveCount = Field(default=512, description="Objects allocated in each pool.")
    size: Size = Field(default=512, description="Size of each object.")
    protect: ProtectCadence = Field(
        default="end",
        description="When a pool is protected: end, never, or {every: n} allocations and once more"
        " at the end.",
    )
    destroy: bool = Field(default=True, description="Whether each pool is destroyed at last.")
    arrival: Arrival | None = Field(
        default=None, description="When the pools are begun; none: each right after the other."
    )

    @model_validator(mode="after")
    def _enough_arrivals(self) -> PoolChurn:
        if self.arrival is not None:
            self.arrival.check_count(self.pools, "pools")
        return self

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for the CPU, and for a pool that the kernel does not have."""
        yield from super().check(machine)
        yield from pool_faults(("pool",), self.pool, machine)

    def run(self, kernel: Any, cpu: Cpu) -> Steps:
        """Make one pool after the other, each at its time."""
        instants = repeat(0) if self.arrival is None else self.arrival.instants(cpu.rng("arrival"))
        for instant in islice(instants, self.pools):
            yield from cpu.sleep_until(instant)
            pool = yield from create_pool(kernel, self.pool)
            yield from fill_pool(kernel, cpu, pool, self.allocations, self.size, self.protect)
            if self.destroy:
                yield from kernel.pmalloc_destroy_pool(pool)
