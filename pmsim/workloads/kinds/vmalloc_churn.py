"""vmalloc and vfree, again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from pmsim.steps import Steps
from pmsim.workloads.area_churn import Allocate, AreaChurn, Free
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.registry import workload

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle


@workload("vmalloc_churn")
class VmallocChurn(AreaChurn):
    """Areas are allocated with vmalloc and freed with vfree, over and over.

    Stands for whatever the kernel does with large temporary buffers: reading files of firmware and
    modules, network and graphics drivers' frame buffers, the test module of vmalloc itself
    (lib/test_vmalloc.c). What is freed gathers until a purge flushes it on all CPUs. A request that
    the kernel refuses is a fault in the results; the task gives its oldest area up and goes on.
    Left out: what happens in the memory, and freeing on another CPU than that of the allocation.
    """

    revokes = False
    counted = "allocations"
    call = "vmalloc"

    allocations: PositiveCount | None = Field(
        default=None, description="Areas that each task allocates; none: without end."
    )
    huge: bool = Field(
        default=False,
        description="Whether areas are asked for by vmalloc_huge, to be mapped by leaves of 2 MiB.",
    )

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Allocate and free, if the kernel has such areas."""
        if self.huge and not kernel.profile.huge_vmalloc:
            cpu.report_failure("vmalloc_huge", "this kernel has no areas of large leaves")
            return
        yield from super().run(kernel, cpu)

    def calls(self, kernel: KernelHandle) -> tuple[Allocate, Free]:
        """Return the kernel's calls that allocate and free an area."""
        return (kernel.vmalloc_huge if self.huge else kernel.vmalloc), kernel.vfree
