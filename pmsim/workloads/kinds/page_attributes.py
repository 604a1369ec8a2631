"""Memory whose attributes are changed and changed back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from pmsim.errors import Fault
from pmsim.quantities import Time
from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.recurring import Recurring
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle
    from pmsim.kernel.pagetables.page_blocks import PageBlock
    from pmsim.kernel.profile import KernelProfile

MAX_ORDER = 10
"""The largest block that can be had at once (mm/page_alloc.c): 1,024 pages."""


@workload("page_attributes")
class PageAttributes(Recurring):
    """Pages are made uncached, write-combining or shared, and back.

    Stands for graphics drivers, whose buffers bypass the caches, and for encrypted guests (SEV,
    TDX), which share with the hypervisor what devices read and write. Each block is allocated,
    changed, used, changed back and freed. On x86 only.
    """

    counted = "changes"

    changes: PositiveCount | None = Field(
        default=None, description="Times that each CPU does so; none: without end."
    )
    attribute: Literal["uc", "wc", "decrypted"] = Field(
        default="wc",
        description="uc: uncached. wc: write-combining, two changes. decrypted: shared with the"
        " hypervisor.",
    )
    guest: Literal["sev", "tdx"] = Field(
        default="sev",
        description="decrypted only: whose guest it is; Intel's makes one flush less on the way"
        " back.",
    )
    blocks: PositiveCount = Field(default=1, description="Blocks, one after the other, each time.")
    order: Annotated[int, Field(ge=0, le=MAX_ORDER, strict=True)] = Field(
        default=0, description="Pages of a block, as a power of two: 0 for a single page."
    )
    use: Time = Field(default=0, description="What the task computes with all of them.")

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Change blocks at each arrival, use them and change them back."""
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            changed = []
            for _ in range(self.blocks):
                block = yield from kernel.alloc_pages(self.order)
                if block is None:
                    cpu.report_failure("alloc_pages", f"no {1 << self.order} pages in a row")
                    break
                yield from self._change(kernel, block)
                changed.append(block)
            yield from cpu.compute(self.use)
            for block in changed:
                yield from self._change_back(kernel, block)
                yield from kernel.free_pages(block)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that is not there, and for what the kernel cannot."""
        yield from super().check(machine)
        message = None if machine.kernel is None else self._refusal(machine.kernel)
        if message is not None:
            yield KeyFault(("attribute",), "no-such-call", message, "kernels of x86-64 have most")

    def _refusal(self, kernel: KernelProfile) -> str | None:
        """Return what a kernel cannot do of it."""
        if kernel.set_memory != "x86":
            return f"{kernel.name} cannot change how memory is cached or encrypted: x86 can"
        if self.attribute != "decrypted" or self.guest in kernel.memory_encryption:
            return None
        return f"{kernel.name} cannot be an encrypted guest of that kind ({self.guest})"

    def _change(self, kernel: KernelHandle, block: PageBlock) -> Steps:
        if self.attribute == "uc":
            yield from kernel.set_memory_uc(block.address, block.pages)
        elif self.attribute == "wc":
            yield from kernel.set_memory_wc(block.address, block.pages)
        else:
            yield from kernel.set_memory_decrypted(block.address, block.pages, self.guest)

    def _change_back(self, kernel: KernelHandle, block: PageBlock) -> Steps:
        if self.attribute == "decrypted":
            yield from kernel.set_memory_encrypted(block.address, block.pages, self.guest)
        else:
            yield from kernel.set_memory_wb(block.address, block.pages)
