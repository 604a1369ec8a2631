"""Kernel threads that map some pages, touch them and unmap them, over and over."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from pmsim.errors import Fault
from pmsim.quantities import Time
from pmsim.steps import Steps
from pmsim.units import NS
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.keys import PositiveCount
from pmsim.workloads.registry import Workload, workload
from pmsim.workloads.task import MachineInfo, TaskSpec
from pmsim.workloads.validation import KeyFault

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle
    from pmsim.kernel.pagetables.page_blocks import PageBlock

Touched = Generator[Any, Any, bool]
"""Takes simulated time; returns whether there was address space for it."""

MAX_ORDER = 6
"""64 pages: the most that one mapping of ``vm_map_ram`` carves from a block."""


@workload("vmap_touch")
class VmapTouch(Workload):
    """Threads map pages, touch each and unmap them, as file systems do with their buffers.

    Thread k runs on CPU k and has pages of its own. Stands for the benchmark in the message of
    commit db64fe02258f (Nick Piggin, 2008); how its threads were placed is not told there.
    """

    revokes = False

    threads: PositiveCount = Field(default=1, description="Threads, one on each CPU from 0 on.")
    iterations: PositiveCount = Field(default=1000, description="Mappings that each thread makes.")
    order: Annotated[int, Field(ge=0, le=MAX_ORDER, strict=True)] = Field(
        default=2, description="Pages of a mapping, as a power of two: 2 for four pages."
    )
    method: Literal["vmap", "vm_map_ram"] = Field(
        default="vmap",
        description="vmap: from the address space that all share. vm_map_ram: from a block of the"
        " CPU's own.",
    )
    touch: Time = Field(
        default=50 * NS, description="Touching one page: a walk of the page table and a cache line."
    )

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return a task for each thread."""
        return [TaskSpec(cpu, self._run, stream=f"cpu{cpu}") for cpu in range(self.threads)]

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs of the threads."""
        return frozenset(range(self.threads))

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault if there are more threads than CPUs."""
        if self.threads > machine.n_cpus:
            message = f"{self.threads} threads need as many CPUs"
            hint = f"the machine has {machine.n_cpus}"
            yield KeyFault(("threads",), "cpu-out-of-range", message, hint)

    def _run(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        block = yield from kernel.alloc_pages(self.order)
        if block is None:
            cpu.report_failure("alloc_pages", f"no {1 << self.order} pages that follow each other")
            return
        touch = _touch_by_vmap if self.method == "vmap" else _touch_by_vm_map_ram
        time = block.pages * self.touch
        for _ in range(self.iterations):
            if not (yield from touch(kernel, cpu, block, time)):
                cpu.report_failure(self.method, "no address space is left")
                break
        yield from kernel.free_pages(block)


def _touch_by_vmap(kernel: KernelHandle, cpu: Cpu, block: PageBlock, time: int) -> Touched:
    """Map a block from the address space that all share, use it and unmap it."""
    area = yield from kernel.vmap(block)
    if area is None:
        return False
    yield from cpu.compute(time)
    yield from kernel.vunmap(area)
    return True


def _touch_by_vm_map_ram(kernel: KernelHandle, cpu: Cpu, block: PageBlock, time: int) -> Touched:
    """Map a block from the CPU's own address space, use it and unmap it."""
    mapping = yield from kernel.vm_map_ram(block)
    if mapping is None:
        return False
    yield from cpu.compute(time)
    yield from kernel.vm_unmap_ram(mapping)
    return True
