"""Protected data that changes now and then."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, cycle, islice
from typing import TYPE_CHECKING

from pydantic import Field, model_validator

from pmsim.errors import Fault
from pmsim.kernel.pmalloc.modes import REWRITABLE
from pmsim.quantities import PositivePages, refused
from pmsim.steps import Steps
from pmsim.units import Bytes
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PoolKeys, PositiveCount, PositiveKernelSize
from pmsim.workloads.kinds.policy_load import create_pool, fill_pool
from pmsim.workloads.registry import CpuWorkload, workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.timed import Timed
from pmsim.workloads.validation import KeyFault, pool_faults

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("rare_writes")
class RareWrites(Timed, CpuWorkload):
    """Objects of a protected pool are rewritten at a rate, by rare writes (``wr_memcpy``).

    Stands for data that is read-only in spirit but not for good: a list of loaded policies, a
    count of references. Each page that a change touches is mapped once more for it and unmapped
    again, so that changes fill the list of freed areas; it is flushed when it is full, or when
    anybody calls ``set_memory_*``. Needs a kernel whose key pmalloc is v23 or prmem. Reading the
    data is left out.
    """

    counted = "changes"

    pool: PoolKeys = Field(default=PoolKeys(mode="wr"), description="How the pool is created.")
    allocations: PositiveCount = Field(default=512, description="Objects in the pool.")
    size: PositiveKernelSize = Field(default=512, description="Size of each.")
    changes: PositiveCount | None = Field(
        default=None, description="How often something changes; none: without end."
    )
    pages: PositivePages = Field(
        default=1,
        description="Pages over which a change is spread: one object in each, page after page"
        " through the pool and over again.",
    )
    bytes: PositiveKernelSize = Field(
        default=8, description="Bytes written in each of these objects; at most its size."
    )

    @model_validator(mode="after")
    def _fits(self) -> RareWrites:
        if self.bytes > self.size:
            message = f"{self.bytes:,} bytes are more than an object has"
            raise refused("too-many-bytes", message, "raise size as well")
        return self

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for the CPU, and for a pool that nothing can change once protected."""
        yield from super().check(machine)
        refused = pool_faults(("pool",), self.pool, machine)
        yield from refused
        if not refused and self.pool.mode not in REWRITABLE:
            message = f"nothing changes a protected pool of mode {self.pool.mode}"
            hint = "mode: wr, auto_wr or start, and pmalloc: prmem (or v23) under kernel"
            yield KeyFault(("pool", "mode"), "not-rewritable", message, hint)

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Fill a pool and protect it, then change it at each arrival."""
        pool = yield from create_pool(kernel, self.pool)
        filled = yield from fill_pool(kernel, cpu, pool, self.allocations, self.size, "end")
        objects = cycle(_one_in_each_page(chain.from_iterable(filled), kernel.profile.page_size))
        if not any(map(len, filled)):
            return  # nothing is there to be changed
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            for address in islice(objects, self.pages):
                if not (yield from kernel.wr_memcpy(address, self.bytes)):
                    cpu.report_failure("wr_memcpy", f"{address:#x} could not be mapped for writing")


def _one_in_each_page(addresses: Iterable[int], page_size: Bytes) -> list[int]:
    """Return an object of each page, in order of the pages."""
    return list({address // page_size: address for address in addresses}.values())
