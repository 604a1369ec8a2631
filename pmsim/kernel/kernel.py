"""A kernel: its parts put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.kernel.addresses.areas import Areas
from pmsim.kernel.addresses.fresh_mappings import FreshMappings, new_mapping_followers
from pmsim.kernel.addresses.ioremap import Ioremap
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.addresses.ranges import address_ranges
from pmsim.kernel.addresses.search import address_search
from pmsim.kernel.addresses.thread_stacks import ThreadStacks
from pmsim.kernel.addresses.top_level import top_level_followers
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.addresses.vmap_blocks import VmapBlocks
from pmsim.kernel.addresses.writes import WriteFault, Writes
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.ftrace import Ftrace, TextGuard
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.loader import Modules
from pmsim.kernel.modules.memory import module_memory
from pmsim.kernel.operations import OperationLog, Sink
from pmsim.kernel.pagetables.directmap import DirectMap
from pmsim.kernel.pagetables.frames import Frames
from pmsim.kernel.pagetables.page_blocks import PageBlocks
from pmsim.kernel.pagetables.pagetable import PageTable
from pmsim.kernel.permissions.set_memory import SetMemory
from pmsim.kernel.permissions.strategy import Ground
from pmsim.kernel.pmalloc.pmalloc import Pmalloc
from pmsim.kernel.profile import KernelProfile
from pmsim.kernel.text.bpf import Bpf
from pmsim.kernel.text.code_pages import CodePages, code_pages
from pmsim.kernel.text.code_sync import CodeSync
from pmsim.kernel.text.execmem import RoxCache
from pmsim.kernel.text.kprobes import Kprobes
from pmsim.kernel.text.static_keys import StaticKeys
from pmsim.kernel.text.text_poke import TextPoke
from pmsim.kernel.tlbflush import TlbFlush
from pmsim.kernel.user_mm import UserMms
from pmsim.kernel.workqueue import Workqueue
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
    pagetable, direct_map, frames, tlbflush, workqueue, purge, fresh
        What all of it stands on.
    vmalloc, ioremap, vmap_blocks, set_memory, blocks, writes, pmalloc, modules, user
    text_poke, static_keys, bpf, kprobes, ftrace
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
        self.pagetable = table = PageTable(profile.geometry)
        total, lowmem = profile.memory // PAGE_SIZE, profile.direct_map_size // PAGE_SIZE
        self.frames = frames = Frames(total, lowmem)
        self.workqueue = work = Workqueue(machine)
        self.tlbflush = tlb = TlbFlush(machine, profile, log)
        self.direct_map = direct = DirectMap(machine, profile, costs, table, tlb, log)
        ranges = address_ranges(profile.vmalloc_range, profile.modules_range)
        search = address_search(profile, machine.n_cpus, ranges)
        self.purge = purge = Purge(machine, profile, costs, search, tlb, log, work)
        areas = Areas(machine, profile, costs, ranges, search, purge, table, tlb, log)
        self.user = UserMms(machine, profile, costs, log)
        self.fresh = fresh = FreshMappings(
            [
                *top_level_followers(machine, profile, costs, ranges.values(), self.user, log),
                *new_mapping_followers(profile, costs, tlb, log),
            ],
            ranges.values(),
        )
        self.vmalloc = Vmalloc(profile, costs, areas, table, direct, frames, fresh, tlb, log)
        self.ioremap = Ioremap(self.vmalloc, total)
        purge.blocks = self.vmap_blocks = VmapBlocks(profile, costs, areas, table, log)
        self.set_memory = SetMemory(
            Ground(profile, costs, table, direct, purge, self.vmalloc, tlb, log)
        )
        self.blocks = blocks = PageBlocks(costs, frames, direct, log)
        self.thread_stacks = ThreadStacks(profile, costs, self.vmalloc, blocks, work)
        self.writes = Writes(costs, table, log)
        self.pmalloc = Pmalloc(machine, profile, costs, self.vmalloc, self.set_memory, table, log)
        self.code_sync = sync = CodeSync(machine, profile, tlb, log)
        self.text_poke = TextPoke(machine, profile, costs, sync, tlb, log)
        cache = RoxCache(machine, self.vmalloc, self.set_memory, direct, frames, work, log, costs)
        memory = module_memory(profile, self.vmalloc, table, cache)
        self.modules = Modules(
            machine, profile, costs, memory,
            self.vmalloc, self.set_memory, self.text_poke, work, log,
        )  # fmt: skip
        self._add_code(code_pages(profile, self.vmalloc, self.set_memory, table, cache))

    def _add_code(self, pages: CodePages) -> None:
        """Add what writes code: branches that are patched, BPF programs, probes, tracing."""
        machine, profile, costs, log = self.machine, self.profile, self.costs, self.operations
        poke, sync = self.text_poke, self.code_sync
        self.static_keys = StaticKeys(machine, poke, log)
        self.bpf = Bpf(
            machine, profile, costs,
            self.vmalloc, self.set_memory, self.pagetable, poke, sync, self.workqueue, log,
        )  # fmt: skip
        self.kprobes = Kprobes(machine, profile, costs, pages, poke, sync, log)
        guard = TextGuard(self.set_memory, self.modules, self.purge, self.tlbflush, log, costs)
        self.ftrace = Ftrace(machine, profile, costs, guard, pages, poke, sync, log)

    @property
    def faults(self) -> list[WriteFault]:
        """The writes that the page table forbade, in order."""
        return self.writes.faults

    def bind(self, task: Task) -> KernelHandle:
        """Return what a workload gets: every call, made as ``task``."""
        return KernelHandle(self, task)
