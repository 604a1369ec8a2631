"""A process that gets memory by taking it from itself, or from what kswapd has freed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from pmsim import units
from pmsim.errors import Fault
from pmsim.kernel.reclaim import SWAP_CLUSTER_MAX
from pmsim.quantities import Keys, QuantityKey
from pmsim.steps import Steps
from pmsim.workloads.keys import Count, CpuNumber
from pmsim.workloads.registry import workload
from pmsim.workloads.task import MachineInfo, TaskSpec
from pmsim.workloads.user_process import UserMapping
from pmsim.workloads.validation import KeyFault, cpu_faults

if TYPE_CHECKING:
    from pmsim.kernel.handle import KernelHandle
    from pmsim.kernel.watermarks import Node
    from pmsim.workloads.cpu import Cpu

NodeMemory = Annotated[
    int, QuantityKey(units.SIZE, smallest=16 * units.MIB, largest=64 * units.TIB)
]
"""Memory of a node."""


class Kswapd(Keys):
    """A node that is short of memory, and its kswapd."""

    cpu: CpuNumber = Field(description="CPU that kswapd runs on.")
    memory: NodeMemory = Field(
        description="Memory of the node, of which its watermarks follow; all processes of the"
        " workload are on it, and it has just been balanced."
    )
    watermark_scale_factor: Annotated[int, Field(ge=1, le=3000, strict=True)] = Field(
        default=10,
        description="vm.watermark_scale_factor: distance of the watermarks in ten-thousandths of"
        " memory; the larger, the sooner kswapd begins.",
    )


@workload("reclaim")
class Reclaim(UserMapping):
    """A thread that touches pages takes as many from its process, or kswapd does.

    They are unmapped 32 at a time. Stands for direct reclaim and for processes at the limit of
    their memory cgroup: what is cold is taken away, and the CPUs that run the process must not use
    it any more. With ``kswapd`` Linux decides who does: kswapd, from the low watermark on up to the
    high one, and threads themselves from the least one on, where it does not keep up. Linux flushed
    each page by itself once (before 4.3; on arm64 up to 6.5), and since then once for each batch.
    """

    dirty: Count = Field(
        default=0,
        description=f"How many of each {SWAP_CLUSTER_MAX} pages have to be written first, each"
        " after a flush of its own.",
    )
    kswapd: Kswapd | None = Field(
        default=None,
        description="Who takes pages away in the background; none: a thread takes as many as it is"
        " about to touch, at each change.",
    )

    def tasks(self, machine: MachineInfo) -> list[TaskSpec]:
        """Return the threads, and kswapd."""
        threads = super().tasks(machine)
        if self.kswapd is None:
            return threads
        return [*threads, TaskSpec(self.kswapd.cpu, self._kswapd, role="daemon", stream="kswapd")]

    def claims(self, machine: MachineInfo) -> frozenset[int]:
        """Return the CPUs that are named."""
        own = super().claims(machine)
        return own if self.kswapd is None else own | {self.kswapd.cpu}

    def check(self, machine: MachineInfo) -> Iterable[KeyFault | Fault]:
        """Return a fault for each CPU that the machine does not have."""
        yield from super().check(machine)
        if self.kswapd is not None:
            yield from cpu_faults(("kswapd", "cpu"), self.kswapd.cpu, machine)

    def change(self, kernel: KernelHandle) -> Steps:
        """Take pages away, and touch as many others; or touch them, of memory that is short."""
        if self.kswapd is None:
            yield from kernel.shrink_page_list(self.pages, dirty=self.dirty)
            yield from self.touch_pages(kernel)
            return
        yield from kernel.touch_on(self._node(kernel, self.kswapd), self.pages, dirty=self.dirty)
        yield from kernel.task.user_compute(0)

    def _kswapd(self, kernel: KernelHandle, cpu: Cpu) -> Steps:
        assert self.kswapd is not None
        yield from kernel.kswapd(self._node(kernel, self.kswapd), dirty=self.dirty)

    def _node(self, kernel: KernelHandle, keys: Kswapd) -> Node:
        return kernel.node(self.name, keys.memory, keys.watermark_scale_factor)
