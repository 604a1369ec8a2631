"""Memory that is taken away while the kernel runs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

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

MOST_SECTIONS = 1 << 16
"""Sections of a block: 8 TiB, more than any device has."""


@workload("memory_unplug")
class MemoryUnplug(Recurring):
    """Blocks of memory are taken out of the page tables for good.

    Stands for virtual machines that give memory back (virtio-mem, DIMMs that are unplugged) and for
    persistent memory. x86 flushes everything for each section of 128 MiB and once more; arm64
    flushes each entry of the direct map, 32,768 of a section where it has pages of 4 KiB. Left out:
    moving away what is in use.
    """

    counted = "unplugs"

    unplugs: PositiveCount | None = Field(
        default=None, description="Blocks that each CPU takes away; none: without end."
    )
    sections: Annotated[int, Field(ge=1, le=MOST_SECTIONS, strict=True)] = Field(
        default=1,
        description="Sections in a block: of 128 MiB, with pages of 64 KiB of 512.",
    )
    offline: Time = Field(
        default=0, description="What the task computes before, to move away what is in the block."
    )

    def run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        """Take a block away at each arrival."""
        for instant in self.arrivals(cpu):
            yield from cpu.sleep_until(instant)
            yield from cpu.compute(self.offline)
            yield from kernel.arch_remove_memory(self.sections)

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that is not there, and for a kernel that cannot."""
        yield from super().check(machine)
        kernel = machine.kernel
        if kernel is not None and kernel.hot_remove == "none":
            message = f"{kernel.name} cannot remove memory while it runs"
            hint = "x86-64 can, arm64 in 6.1 and RISC-V in 6.12"
            yield KeyFault(("kind",), "no-such-call", message, hint)
