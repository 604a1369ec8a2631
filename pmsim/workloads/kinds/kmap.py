"""Highmem pages that are mapped for a moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

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


@workload("kmap")
class Kmap(Recurring):
    """Highmem pages are mapped for a moment, one after the other.

    Stands for file systems and drivers of 32-bit kernels with more memory than the kernel can map.
    There are 512 or 1,024 slots; when all have been gone through, everybody flushes. What is read
    or written by ``kmap_local`` or ``kmap_atomic`` flushes nothing elsewhere, and is not meant.
    """

    counted = "maps"

    maps: PositiveCount | None = Field(
        default=None, description="Pages that each CPU maps; none: without end."
    )
    use: Time = Field(default=0, description="What the task computes with each.")

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Map a page at each arrival, use it and unmap it."""
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            slot = yield from kernel.kmap()
            if slot is None:
                cpu.report_failure("kmap", "all slots are in use")
                continue
            yield from cpu.compute(self.use)
            yield from kernel.kunmap(slot)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that is not there, and for a kernel without highmem."""
        yield from super().check(machine)
        kernel = machine.kernel
        if kernel is None or (kernel.word_bytes == 4 and kernel.memory > kernel.lowmem):
            return
        why = "has 64 bits" if kernel.word_bytes == 8 else "maps all of its memory"
        message = f"{kernel.name} {why}: it has no highmem"
        hint = "a kernel of 32 bits with more memory than lowmem: kernel: {memory: 4GiB, ...}"
        yield KeyFault(("kind",), "no-such-call", message, hint)
