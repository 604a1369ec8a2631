"""A kernel: its parts put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pmsim.kernel.addresses.highmem import Highmem
from pmsim.kernel.addresses.ioremap import Ioremap
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.addresses.vmap_blocks import VmapBlocks
from pmsim.kernel.addresses.writes import WriteFault, Writes
from pmsim.kernel.context import KernelContext
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.dropped import NOWHERE
from pmsim.kernel.ftrace import Ftrace
from pmsim.kernel.modules.loader import Modules
from pmsim.kernel.operation_rows import Sink
from pmsim.kernel.operations import OperationLog
from pmsim.kernel.pagetables.directmap import DirectMap
from pmsim.kernel.pagetables.frames import page_frames
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.kernel.pagetables.page_blocks import PageBlocks
from pmsim.kernel.permissions.set_memory import SetMemory
from pmsim.kernel.pmalloc.pmalloc import Pmalloc
from pmsim.kernel.safety.safety import Safety
from pmsim.kernel.text.bpf import Bpf
from pmsim.kernel.text.code_sync import CodeSync
from pmsim.kernel.text.kprobes import Kprobes
from pmsim.kernel.text.static_keys import StaticKeys
from pmsim.kernel.text.text_poke import TextPoke
from pmsim.kernel.text.tracepoints import Tracepoints
from pmsim.kernel.tlbflush import TlbFlush
from pmsim.kernel.touched import Touched
from pmsim.kernel.user_mm import UserMms
from pmsim.kernel.workqueue import Workqueue

if TYPE_CHECKING:
    from collections.abc import Collection

    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.profile import KernelProfile
    from pmsim.units import CpuId


class AddressLevels(NamedTuple):
    """How a kernel's address ranges stand, in pages.

    Attributes
    ----------
    lazy_pages
        Freed and not yet purged, of both ranges.
    vmalloc_pages, modules_pages
        Taken of each, guards and what is freed lazily included.
    vmalloc_hole_pages, modules_hole_pages
        The largest hole of each.
    """

    lazy_pages: int = 0
    vmalloc_pages: int = 0
    vmalloc_hole_pages: int = 0
    modules_pages: int = 0
    modules_hole_pages: int = 0


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
    context
        What its parts stand on.
    operations
        The log of everything the kernel does.
    safety
        What it relied on, compared with what TLBs could hold.
    pagetable, direct_map, frames, tlbflush, workqueue, purge
        What all of it stands on.
    vmalloc, ioremap, highmem, vmap_blocks, set_memory, blocks, writes, pmalloc, modules, user
    text_poke, static_keys, tracepoints, bpf, kprobes, ftrace
        The calls that workloads make, each with the calling task as its first argument.
    """

    def __init__(
        self,
        machine: Machine,
        profile: KernelProfile,
        costs: KernelCosts | None = None,
        sink: Sink | None = None,
    ) -> None:
        operations = OperationLog(sink)
        machine.contention.doing = operations.doing
        touched = Touched(machine, profile)
        tlbflush = TlbFlush(machine, profile, operations, touched)
        costs = (costs or KernelCosts()).of_pages(profile.page_size)
        self.workqueue = Workqueue(machine)
        self.safety = Safety(machine, profile.geometry, operations)
        touched.taken_away = self.safety.stale.newest
        self.context = context = KernelContext(
            machine, profile, costs, operations, tlbflush, self.workqueue, self.safety, touched
        )
        self.machine, self.profile, self.costs = machine, profile, costs
        self.operations, self.tlbflush = operations, tlbflush
        self.pagetable = context.part(kernel_page_table)
        self.frames = context.part(page_frames)
        self.direct_map = context.part(DirectMap)
        self.blocks = context.part(PageBlocks)
        self.user = context.part(UserMms)
        if touched.on and machine.by_code is not None:
            machine.who_holds = self._who_holds
        self.purge = context.part(Purge)
        self.writes = context.part(Writes)
        self.vmalloc = context.part(Vmalloc)
        self.vmap_blocks = context.part(VmapBlocks)
        self.ioremap = context.part(Ioremap)
        self.highmem = context.part(Highmem)
        self.set_memory = context.part(SetMemory)
        self.pmalloc = context.part(Pmalloc)
        self.code_sync = context.part(CodeSync)
        self.text_poke = context.part(TextPoke)
        self.static_keys = context.part(StaticKeys)
        self.tracepoints = context.part(Tracepoints)
        self.bpf = context.part(Bpf)
        self.kprobes = context.part(Kprobes)
        self.modules = context.part(Modules)
        self.ftrace = context.part(Ftrace)

    def _who_holds(self, task: Task) -> Collection[CpuId] | None:
        """Return who holds what a task is about to have dropped; None: all may."""
        what = self.safety.about(task)
        if what is None or what is NOWHERE:
            return None
        if what.process is not None:
            return self.user.cpus_of(what.process)
        return self.context.touched.take(task.cpu, what, changed_only=what.is_everything)

    @property
    def levels(self) -> AddressLevels:
        """How its address ranges stand."""
        held = {
            name: (where.space.end - where.space.start - where.space.free, where.space.largest)
            for name, where in self.vmalloc.ranges.items()
        }
        return AddressLevels(self.purge.lazy_pages, *held["vmalloc"], *held["modules"])

    @property
    def faults(self) -> list[WriteFault]:
        """The writes that the page table forbade, in order."""
        return self.writes.faults
