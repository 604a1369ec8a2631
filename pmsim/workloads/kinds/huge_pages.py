"""Huge pages whose descriptors are trimmed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pmsim.errors import Fault
from pmsim.kernel.hugetlb_vmemmap import HUGE_PAGES
from pmsim.quantities import Time
from pmsim.steps import Steps
from pmsim.units import GIB, MIB, format_size
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.recurring import Recurring
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle

SIZES = {
    "2MiB": 2 * MIB,
    "32MiB": 32 * MIB,
    "512MiB": 512 * MIB,
    "1GiB": GIB,
    "16GiB": 16 * GIB,
}

MOST_AT_ONCE = 1 << 22
"""Huge pages at a time: 8 TiB of 2 MiB each."""


@workload("huge_pages")
class HugePages(Recurring):
    """Pools of huge pages are filled, and their descriptors trimmed.

    Stands for ``nr_hugepages`` with ``hugetlb_optimize_vmemmap``, as hosts of virtual machines and
    databases use it. Up to 6.6 each huge page is a flush, and one for every 64 of 2 MiB that splits
    a leaf of the array of descriptors; since then a pool is two flushes, and one as it is emptied.
    """

    counted = "fills"

    fills: PositiveCount | None = Field(
        default=None, description="Times that each CPU does so; none: without end."
    )
    pages: Annotated[int, Field(ge=1, le=MOST_AT_ONCE, strict=True)] = Field(
        default=64, description="Huge pages of a pool."
    )
    size: Literal["2MiB", "32MiB", "512MiB", "1GiB", "16GiB"] = Field(
        default="2MiB",
        description="Size of each: 2MiB or 1GiB; with pages of 16 KiB 32MiB too, with pages of 64"
        " KiB 2MiB, of whose descriptors nothing can be trimmed, 512MiB or 16GiB.",
    )
    hold: Time | None = Field(
        default=None, description="How long a pool is kept before it is emptied; none: for good."
    )

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Fill a pool at each arrival, and empty it again."""
        size = SIZES[self.size]
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            yield from kernel.hugetlb_vmemmap_optimize(self.pages, size)
            if self.hold is not None:
                yield from cpu.sleep(self.hold)
                yield from kernel.hugetlb_vmemmap_restore(self.pages, size)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that is not there, and for a kernel that cannot."""
        yield from super().check(machine)
        kernel = machine.kernel
        if kernel is not None and kernel.vmemmap_trim == "none":
            message = f"{kernel.name} does not trim the descriptors of huge pages"
            hint = "x86-64 from 5.15 on does, arm64 in 6.1, RISC-V in 6.12"
            yield KeyFault(("kind",), "no-such-call", message, hint)
        if kernel is not None and SIZES[self.size] not in HUGE_PAGES[kernel.page_size]:
            page = format_size(kernel.page_size)
            message = f"{kernel.name} with pages of {page} has no huge pages of {self.size}"
            hint = " or ".join(map(format_size, HUGE_PAGES[kernel.page_size]))
            yield KeyFault(("size",), "impossible", message, f"it has {hint}")
