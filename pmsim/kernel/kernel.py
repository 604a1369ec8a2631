"""A kernel: its parts put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.directmap import DirectMap
from pmsim.kernel.frames import Frames
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules import Modules
from pmsim.kernel.operations import OperationLog, Sink
from pmsim.kernel.page_blocks import PageBlocks
from pmsim.kernel.pagetable import PageTable
from pmsim.kernel.pmalloc import Pmalloc
from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.purge import Purge
from pmsim.kernel.set_memory import SetMemory
from pmsim.kernel.tlbflush import TlbFlush
from pmsim.kernel.vmalloc import Vmalloc
from pmsim.kernel.vmap_blocks import VmapBlocks
from pmsim.kernel.workqueue import Workqueue
from pmsim.kernel.writes import WriteFault, Writes
from pmsim.units import PAGE_SIZE

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task


class Kernel:
    """One booted kernel on one machine.

    Parameters
    ----------
    machine
        What it runs on.
    profile
        Which generation it is.
    costs
        CPU time of its work; by default that of `KernelCosts`.
    sink
        Receives the rows of the table of operations (`OperationLog`).

    Attributes
    ----------
    operations
        The log of everything the kernel does.
    pagetable, direct_map, frames, tlbflush, workqueue, purge
        What all of it stands on.
    vmalloc, vmap_blocks, set_memory, blocks, writes, pmalloc, modules
        The calls that workloads make, each with the calling task as its first argument.
    """

    def __init__(
        self,
        machine: Machine,
        profile: KernelProfile,
        costs: KernelCosts | None = None,
        sink: Sink | None = None,
    ) -> None:
        self.machine = machine
        self.profile = profile
        self.costs = costs = costs or KernelCosts()
        self.operations = log = OperationLog(sink)
        self.pagetable = table = PageTable(profile.page_table_levels)
        self.frames = frames = Frames(profile.memory // PAGE_SIZE)
        self.workqueue = work = Workqueue(machine)
        self.tlbflush = tlb = TlbFlush(machine, profile.ceiling, log)
        self.direct_map = direct = DirectMap(machine, profile, costs, table, tlb, log)
        self.purge = purge = Purge(machine, profile, costs, tlb, log, work)
        self.vmalloc = Vmalloc(machine, profile, costs, table, direct, frames, purge, tlb, log)
        self.vmap_blocks = VmapBlocks(self.vmalloc, purge, table, log, costs)
        purge.blocks = self.vmap_blocks
        self.set_memory = SetMemory(profile, costs, table, direct, purge, tlb, log)
        self.blocks = PageBlocks(costs, frames, direct, log)
        self.writes = Writes(costs, table, log)
        self.pmalloc = Pmalloc(machine, self.vmalloc, self.set_memory, log, costs)
        self.modules = Modules(machine, self.vmalloc, self.set_memory, tlb, work, log, costs)

    @property
    def faults(self) -> list[WriteFault]:
        """The writes that the page table forbade, in order."""
        return self.writes.faults

    def bind(self, task: Task) -> KernelHandle:
        """Return what a workload gets: every call, made as ``task``."""
        return KernelHandle(self, task)
