"""Flushes of kernel addresses, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pmsim import units
from pmsim.quantities import QuantityKey
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import MOST_BYTES, PositiveCount
from pmsim.workloads.recurring import Recurring
from pmsim.workloads.registry import workload

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

MOST_PAGES = MOST_BYTES // units.PAGE_SIZE
FlushedPages = Annotated[
    int | Literal["all"],
    QuantityKey(units.PAGES, words=("all",), bare=True, largest=MOST_PAGES, memory=True),
]
"""Pages of kernel addresses, or every translation that there is."""


@workload("kernel_flush")
class KernelFlush(Recurring):
    """Translations of kernel addresses are dropped on every CPU, and nothing else is done.

    Stands for microbenchmarks of a shootdown, and of the call of other CPUs alone
    (``ipi_benchmark``): of no pages, it is a call whose function does nothing.
    """

    revokes = False
    counted = "flushes"

    flushes: PositiveCount | None = Field(
        default=None, description="Flushes on each CPU; none: without end."
    )
    pages: FlushedPages = Field(
        default=1,
        description="Pages of each: above the kernel's ceiling everything goes. all: everything is"
        " asked for. 0: nothing is dropped, but everybody is told.",
    )

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Flush at each arrival."""
        start = kernel.profile.vmalloc_start
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            if self.pages == "all":
                yield from kernel.flush_tlb_all()
            else:
                end = start + int(self.pages) * kernel.profile.page_size
                yield from kernel.flush_tlb_kernel_range(start, end)
