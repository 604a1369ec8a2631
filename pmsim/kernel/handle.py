"""The kernel as a workload sees it: every call under the kernel's own name, made by one task.

Sizes are bytes, or text with a unit (``"4KiB"``). Calls are generators, used with ``yield from``;
the few that take no time are plain and say so.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Never

from pmsim.kernel.operations import Steps
from pmsim.kernel.tlbflush import Cause
from pmsim.units import PAGE_SIZE, Bytes, Pages, as_size

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.thread_stacks import Stack
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.addresses.vmap_blocks import RamMapping
    from pmsim.kernel.ftrace import Tracer
    from pmsim.kernel.kernel import Kernel
    from pmsim.kernel.modules.module import Module, Refusal
    from pmsim.kernel.modules.segments import ModuleSegments
    from pmsim.kernel.pagetables.page_blocks import PageBlock
    from pmsim.kernel.pmalloc.modes import PoolMode
    from pmsim.kernel.pmalloc.pools import Allocations, Pool
    from pmsim.kernel.text.bpf import BpfProgram
    from pmsim.kernel.text.kprobes import Kprobe
    from pmsim.kernel.user_mm import UserMm

Size = int | str
"""Bytes, or text with a unit."""

MaybeAddress = Generator[Any, Any, int | None]
"""Takes simulated time; returns an address, or None for NULL."""
Truth = Generator[Any, Any, bool]
"""Takes simulated time; returns whether it was done."""
Status = Generator[Any, Any, int]
"""Takes simulated time; returns 0 or a negated error number."""


class KernelHandle:
    """All calls of a kernel, made as one task.

    Parameters
    ----------
    kernel
        The kernel; its parts offer more than these calls.
    task
        Who calls.
    """

    __slots__ = ("kernel", "task")

    def __init__(self, kernel: Kernel, task: Task) -> None:
        self.kernel = kernel
        self.task = task

    # Pools

    def pmalloc_create_pool(
        self, refill: Size = 0, align_order: int = -1, mode: PoolMode = "ro"
    ) -> Generator[Any, Any, Pool]:
        """Create a pool; see `Pmalloc.create_pool`."""
        return self.kernel.pmalloc.create_pool(self.task, _bytes(refill), align_order, mode)

    def pmalloc(self, pool: Pool | None, size: Size) -> MaybeAddress:
        """Allocate one object; see `Pmalloc.pmalloc`."""
        return self.kernel.pmalloc.pmalloc(self.task, pool, _bytes(size))

    def pzalloc(self, pool: Pool | None, size: Size) -> MaybeAddress:
        """Allocate one object filled with zeros; see `Pmalloc.pzalloc`."""
        return self.kernel.pmalloc.pzalloc(self.task, pool, _bytes(size))

    def pmalloc_array(self, pool: Pool | None, n: int, size: Size) -> MaybeAddress:
        """Allocate an array; see `Pmalloc.pmalloc_array`."""
        return self.kernel.pmalloc.pmalloc_array(self.task, pool, n, _bytes(size))

    def pcalloc(self, pool: Pool | None, n: int, size: Size) -> MaybeAddress:
        """Allocate an array filled with zeros; see `Pmalloc.pcalloc`."""
        return self.kernel.pmalloc.pcalloc(self.task, pool, n, _bytes(size))

    def pstrdup(self, pool: Pool | None, string: str | bytes | None) -> MaybeAddress:
        """Copy a string into a pool; see `Pmalloc.pstrdup`."""
        return self.kernel.pmalloc.pstrdup(self.task, pool, string)

    def alloc_many(self, pool: Pool | None, n: int, size: Size) -> Generator[Any, Any, Allocations]:
        """Allocate many objects of one size in few events; see `Pmalloc.alloc_many`."""
        return self.kernel.pmalloc.alloc_many(self.task, pool, n, _bytes(size))

    def wr_memset(self, address: int | None, size: Size) -> Truth:
        """Set bytes of protected memory; see `Pmalloc.rare_write`."""
        return self.kernel.pmalloc.rare_write(self.task, "wr_memset", address or 0, _bytes(size))

    def wr_memcpy(self, address: int | None, size: Size) -> Truth:
        """Copy bytes into protected memory; see `Pmalloc.rare_write`."""
        return self.kernel.pmalloc.rare_write(self.task, "wr_memcpy", address or 0, _bytes(size))

    def wr_ptr(self, address: int | None) -> Truth:
        """Set a pointer in protected memory; see `Pmalloc.rare_write`."""
        size = self.kernel.profile.word_bytes
        return self.kernel.pmalloc.rare_write(self.task, "wr_ptr", address or 0, size)

    def pmalloc_protect_pool(self, pool: Pool | None) -> Steps:
        """Make what a pool has allocated read-only; see `Pmalloc.protect_pool`."""
        return self.kernel.pmalloc.protect_pool(self.task, pool)

    def pmalloc_destroy_pool(self, pool: Pool | None) -> Steps:
        """Give a pool and its memory back; see `Pmalloc.destroy_pool`."""
        return self.kernel.pmalloc.destroy_pool(self.task, pool)

    def pfree(self, pool: Pool | None = None, address: int | None = None) -> Never:
        """Raise `UndefinedBehaviour`: there is no ``pfree``, and the message says why."""
        self.kernel.pmalloc.pfree(self.task, pool, address)

    def is_pmalloc_object(self, address: int | None, size: Size) -> bool:
        """Return at once whether bytes are part of a pool; see `PmallocObjects`."""
        objects = self.kernel.pmalloc.objects
        return objects.is_pmalloc_object(self.task, address or 0, _bytes(size))

    # Virtually contiguous memory

    def vmalloc(self, size: Size) -> Generator[Any, Any, VmArea | None]:
        """Allocate an area; see `Vmalloc.vmalloc`."""
        return self.kernel.vmalloc.vmalloc(self.task, _bytes(size))

    def vfree(self, area: VmArea | None) -> Steps:
        """Free an area; see `Vmalloc.vfree`."""
        return self.kernel.vmalloc.vfree(self.task, area)

    def vmalloc_huge(self, size: Size) -> Generator[Any, Any, VmArea | None]:
        """Allocate an area of huge leaves; see `Vmalloc.vmalloc_huge`."""
        return self.kernel.vmalloc.vmalloc_huge(self.task, _bytes(size))

    def ioremap(self, size: Size) -> Generator[Any, Any, VmArea | None]:
        """Map a device; see `Ioremap.ioremap`."""
        return self.kernel.ioremap.ioremap(self.task, _bytes(size))

    def iounmap(self, area: VmArea | None) -> Steps:
        """Unmap a device; see `Ioremap.iounmap`."""
        return self.kernel.ioremap.iounmap(self.task, area)

    def vmap(self, block: PageBlock) -> Generator[Any, Any, VmArea | None]:
        """Map the pages of a block once more; see `Vmalloc.vmap`."""
        return self.kernel.vmalloc.vmap(self.task, [self.kernel.blocks.run_of(block)])

    def vunmap(self, area: VmArea | None) -> Steps:
        """Unmap what `vmap` mapped; see `Vmalloc.vunmap`."""
        return self.kernel.vmalloc.vunmap(self.task, area)

    def alloc_thread_stack(self) -> Generator[Any, Any, Stack | None]:
        """Take a kernel stack for a thread that begins; see `ThreadStacks.alloc`."""
        return self.kernel.thread_stacks.alloc(self.task)

    def free_thread_stack(self, stack: Stack) -> Steps:
        """Give the kernel stack of a thread back that ends; see `ThreadStacks.free`."""
        return self.kernel.thread_stacks.free(self.task, stack)

    def vm_map_ram(self, block: PageBlock) -> Generator[Any, Any, RamMapping | None]:
        """Map the pages of a block for a short time; see `VmapBlocks.vm_map_ram`."""
        run = self.kernel.blocks.run_of(block)
        return self.kernel.vmap_blocks.vm_map_ram(self.task, [run])

    def vm_unmap_ram(self, mapping: RamMapping) -> Steps:
        """Unmap what `vm_map_ram` mapped; see `VmapBlocks.vm_unmap_ram`."""
        return self.kernel.vmap_blocks.vm_unmap_ram(self.task, mapping)

    def vm_unmap_aliases(self) -> Steps:
        """Flush and give back all that was lazily freed; see `Purge.unmap_aliases`."""
        return self._noted("vm_unmap_aliases", self.kernel.purge.unmap_aliases(self.task))

    def drain_vmap_area(self) -> Steps:
        """Do what the work item does that purges lazily freed areas; see `LazyFree.drain`."""
        return self._noted("drain_vmap_area", self.kernel.lazy_free.drain(self.task))

    # Permissions

    def set_memory_ro(self, address: int | None, pages: Pages) -> Status:
        """Make pages read-only; see `SetMemory.ro`."""
        return self.kernel.set_memory.ro(self.task, address or 0, pages)

    def set_memory_rw(self, address: int | None, pages: Pages) -> Status:
        """Make pages writable; see `SetMemory.rw`."""
        return self.kernel.set_memory.rw(self.task, address or 0, pages)

    def set_memory_x(self, address: int | None, pages: Pages) -> Status:
        """Make pages executable; see `SetMemory.x`."""
        return self.kernel.set_memory.x(self.task, address or 0, pages)

    def set_memory_nx(self, address: int | None, pages: Pages) -> Status:
        """Make pages not executable; see `SetMemory.nx`."""
        return self.kernel.set_memory.nx(self.task, address or 0, pages)

    def set_memory_rox(self, address: int | None, pages: Pages) -> Status:
        """Make pages read-only and executable; see `SetMemory.rox`."""
        return self.kernel.set_memory.rox(self.task, address or 0, pages)

    # The direct map

    def alloc_pages(self, order: int) -> Generator[Any, Any, PageBlock | None]:
        """Allocate ``2**order`` pages of the direct map; see `PageBlocks.alloc_pages`."""
        return self.kernel.blocks.alloc_pages(self.task, order)

    def free_pages(self, block: PageBlock | None) -> Steps:
        """Free pages of the direct map; see `PageBlocks.free_pages`."""
        return self.kernel.blocks.free_pages(self.task, block)

    # Flushes

    def flush_tlb_kernel_range(self, start: int, end: int) -> Steps:
        """Flush a range of kernel addresses on all CPUs; see `TlbFlush.flush_tlb_kernel_range`."""
        flush = self.kernel.tlbflush.flush_tlb_kernel_range(self.task, start, end, Cause.REQUEST)
        return self._noted("flush_tlb_kernel_range", flush, -(-(end - start) // PAGE_SIZE))

    def flush_tlb_all(self) -> Steps:
        """Flush everything on all CPUs; see `TlbFlush.flush_tlb_all`."""
        flush = self.kernel.tlbflush.flush_tlb_all(self.task, Cause.REQUEST)
        return self._noted("flush_tlb_all", flush)

    # Modules

    def load_module(
        self, segments: ModuleSegments, name: str | None = None
    ) -> Generator[Any, Any, Module | None]:
        """Load a module; see `Modules.load_module`."""
        return self.kernel.modules.load_module(self.task, segments, name)

    def load_refusal(self) -> Refusal | None:
        """Return at once why the last `load_module` of this task that failed did so."""
        return self.kernel.modules.refusal(self.task)

    def unload_module(self, module: Module | None) -> Generator[Any, Any, bool]:
        """Unload a module; see `Modules.unload_module`."""
        return self.kernel.modules.unload_module(self.task, module)

    # User space

    def process(self, name: str) -> UserMm:
        """Return at once the address space of a process; see `UserMms.process`."""
        return self.kernel.user.process(name)

    def use_mm(self, mm: UserMm) -> Steps:
        """Become a thread of a process; see `UserMms.use_mm`."""
        return self.kernel.user.use_mm(self.task, mm)

    def mprotect(self, pages: Pages) -> Steps:
        """Change the protection of user memory; see `UserMms.mprotect`."""
        return self.kernel.user.mprotect(self.task, pages)

    def munmap(self, pages: Pages, *, frees_tables: bool = False) -> Steps:
        """Unmap user memory; see `UserMms.munmap`."""
        return self.kernel.user.munmap(self.task, pages, frees_tables=frees_tables)

    def madvise_dontneed(self, pages: Pages) -> Steps:
        """Give user memory back; see `UserMms.madvise_dontneed`."""
        return self.kernel.user.madvise_dontneed(self.task, pages)

    # Code

    def static_key_toggle(self, sites: int) -> Steps:
        """Turn a static key on or off; see `StaticKeys.toggle`."""
        return self.kernel.static_keys.toggle(self.task, sites)

    def bpf_prog_load(self, size: Size) -> Generator[Any, Any, BpfProgram | None]:
        """Load a BPF program; see `Bpf.load`."""
        return self.kernel.bpf.load(self.task, _bytes(size))

    def bpf_prog_free(self, program: BpfProgram | None) -> Steps:
        """Let a worker free a BPF program; see `Bpf.free`."""
        return self.kernel.bpf.free(self.task, program)

    def register_kprobe(self) -> Generator[Any, Any, Kprobe | None]:
        """Set a probe; see `Kprobes.register`."""
        return self.kernel.kprobes.register(self.task)

    def unregister_kprobe(self, probe: Kprobe | None) -> Steps:
        """Take a probe away; see `Kprobes.unregister`."""
        return self.kernel.kprobes.unregister(self.task, probe)

    def ftrace_enable(
        self, sites: int, *, trampoline: bool = True
    ) -> Generator[Any, Any, Tracer | None]:
        """Let call sites call a tracer; see `Ftrace.enable`."""
        return self.kernel.ftrace.enable(self.task, sites, trampoline=trampoline)

    def ftrace_disable(self, tracer: Tracer | None) -> Steps:
        """Take a tracer away; see `Ftrace.disable`."""
        return self.kernel.ftrace.disable(self.task, tracer)

    # Memory

    def write(self, address: int | None, size: Size) -> Generator[Any, Any, bool]:
        """Write to memory; where that is forbidden, a fault is noted; see `Writes.write`."""
        if self.kernel.fresh.touches:
            yield from self.kernel.fresh.touched(self.task, address or 0, 1)
        return (yield from self.kernel.writes.write(self.task, address or 0, _bytes(size)))

    def _noted(self, kind: str, steps: Steps, pages: Pages = 0) -> Steps:
        """Make an operation of a call that notes none itself, because others make it too."""
        operation = self.kernel.operations.begin(self.task, kind, pages)
        yield from steps
        self.kernel.operations.end(operation)


def _bytes(size: Size) -> Bytes:
    """Read a size; whole numbers, which are the most, go the short way."""
    return size if type(size) is int else as_size(size)
