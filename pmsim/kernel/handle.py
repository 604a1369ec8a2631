"""The kernel as a workload sees it: every call under the kernel's own name, made by one task.

Sizes are bytes, or text with a unit (``"4KiB"``). Calls are generators, used with ``yield from``;
the few that take no time are plain and say so.

Written by ``make docs`` from the calls that parts define (`pmsim.kernel.calls`): change them there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.kernel.addresses.drain import LazyFree
from pmsim.kernel.addresses.highmem import Highmem
from pmsim.kernel.addresses.ioremap import Ioremap
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.addresses.thread_stacks import ThreadStacks
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.addresses.vmap_blocks import VmapBlocks
from pmsim.kernel.addresses.writes import Writes
from pmsim.kernel.cross_calls import CrossCalls
from pmsim.kernel.flush_requests import FlushRequests
from pmsim.kernel.ftrace import Ftrace
from pmsim.kernel.hugetlb_vmemmap import HugetlbVmemmap
from pmsim.kernel.livepatch import Livepatch
from pmsim.kernel.memory_hotplug import MemoryHotplug
from pmsim.kernel.modules.loader import Modules
from pmsim.kernel.numa_balancing import NumaBalancing
from pmsim.kernel.pagetables.page_blocks import PageBlocks
from pmsim.kernel.permissions.attributes import PageAttributes
from pmsim.kernel.permissions.set_memory import SetMemory
from pmsim.kernel.pmalloc.objects import PmallocObjects
from pmsim.kernel.pmalloc.pmalloc import Pmalloc
from pmsim.kernel.process_calls import ProcessCalls
from pmsim.kernel.reclaim import Reclaim
from pmsim.kernel.text.bpf import Bpf
from pmsim.kernel.text.kprobes import Kprobes
from pmsim.kernel.text.static_keys import StaticKeys
from pmsim.kernel.text.tracepoints import Tracepoints
from pmsim.kernel.user_calls import UserCalls
from pmsim.kernel.user_flush import UserFlushes
from pmsim.kernel.user_mm import UserMms
from pmsim.units import as_size

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from typing import Any, Never

    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.thread_stacks import Stack
    from pmsim.kernel.addresses.vm_area import VmArea
    from pmsim.kernel.addresses.vmalloc import Allocation
    from pmsim.kernel.addresses.vmap_blocks import MaybeMapping, RamMapping
    from pmsim.kernel.addresses.writes import Outcome
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.cross_calls import Barrier
    from pmsim.kernel.ftrace import Tracer
    from pmsim.kernel.kernel import Kernel
    from pmsim.kernel.livepatch import LivePatch
    from pmsim.kernel.modules.module import Module, Refusal
    from pmsim.kernel.modules.segments import ModuleSegments
    from pmsim.kernel.pagetables.page_blocks import PageBlock
    from pmsim.kernel.permissions.attributes import Guest
    from pmsim.kernel.permissions.strategy import Status
    from pmsim.kernel.pmalloc.modes import PoolMode
    from pmsim.kernel.pmalloc.pmalloc import MaybeAddress
    from pmsim.kernel.pmalloc.pools import Allocations, Pool
    from pmsim.kernel.pmalloc.write_rare import Written
    from pmsim.kernel.profile import KernelProfile
    from pmsim.kernel.text.bpf import BpfProgram
    from pmsim.kernel.text.kprobes import Kprobe
    from pmsim.kernel.user_mm import UserMm
    from pmsim.kernel.watermarks import Node
    from pmsim.steps import Steps
    from pmsim.units import CpuId, Pages, Picoseconds

Size = int | str
"""Bytes, or text with a unit."""


class KernelHandle:
    """All calls of a kernel, made as one task.

    Parameters
    ----------
    kernel
        The kernel; its parts offer more than these calls.
    task
        Who calls.
    """

    __slots__ = (
        "_bpf",
        "_cross_calls",
        "_flush_requests",
        "_ftrace",
        "_highmem",
        "_hugetlb_vmemmap",
        "_ioremap",
        "_kprobes",
        "_lazy_free",
        "_livepatch",
        "_memory_hotplug",
        "_modules",
        "_numa_balancing",
        "_page_attributes",
        "_page_blocks",
        "_pmalloc",
        "_pmalloc_objects",
        "_process_calls",
        "_purge",
        "_reclaim",
        "_set_memory",
        "_static_keys",
        "_thread_stacks",
        "_tracepoints",
        "_user_calls",
        "_user_flushes",
        "_user_mms",
        "_vmalloc",
        "_vmap_blocks",
        "_writes",
        "kernel",
        "task",
    )

    def __init__(self, kernel: Kernel, task: Task) -> None:
        self.kernel = kernel
        self.task = task
        part = kernel.context.part
        self._lazy_free = part(LazyFree)
        self._highmem = part(Highmem)
        self._ioremap = part(Ioremap)
        self._purge = part(Purge)
        self._thread_stacks = part(ThreadStacks)
        self._vmalloc = part(Vmalloc)
        self._vmap_blocks = part(VmapBlocks)
        self._writes = part(Writes)
        self._cross_calls = part(CrossCalls)
        self._flush_requests = part(FlushRequests)
        self._ftrace = part(Ftrace)
        self._hugetlb_vmemmap = part(HugetlbVmemmap)
        self._livepatch = part(Livepatch)
        self._memory_hotplug = part(MemoryHotplug)
        self._modules = part(Modules)
        self._numa_balancing = part(NumaBalancing)
        self._page_blocks = part(PageBlocks)
        self._page_attributes = part(PageAttributes)
        self._set_memory = part(SetMemory)
        self._pmalloc_objects = part(PmallocObjects)
        self._pmalloc = part(Pmalloc)
        self._process_calls = part(ProcessCalls)
        self._reclaim = part(Reclaim)
        self._bpf = part(Bpf)
        self._kprobes = part(Kprobes)
        self._static_keys = part(StaticKeys)
        self._tracepoints = part(Tracepoints)
        self._user_calls = part(UserCalls)
        self._user_flushes = part(UserFlushes)
        self._user_mms = part(UserMms)

    @property
    def profile(self) -> KernelProfile:
        """Which kernel it is, key by key."""
        return self.kernel.profile

    @property
    def costs(self) -> KernelCosts:
        """CPU time of the kernel's work."""
        return self.kernel.costs

    # addresses.drain

    def drain_vmap_area(self) -> Steps:
        """Do what is done when there is too much on the list: ``drain_vmap_area_work``."""
        return self._lazy_free.drain_vmap_area(self.task)

    # addresses.highmem

    def kmap(self) -> Generator[Any, Any, int | None]:
        """Map a highmem page: ``kmap``.

        Returns
        -------
        int or None
            Its slot; None if all of them are in use.
        """
        return self._highmem.kmap(self.task)

    def kunmap(self, slot: int) -> Steps:
        """Give a slot back: ``kunmap``; nothing is flushed.

        Raises
        ------
        UndefinedBehaviour
            If nothing is mapped there.
        """
        return self._highmem.kunmap(self.task, slot)

    # addresses.ioremap

    def ioremap(self, size: Size) -> Allocation:
        """Map a device of so many bytes: ``ioremap``.

        Returns
        -------
        VmArea or None
            None for no bytes, and where addresses run out.
        """
        return self._ioremap.ioremap(self.task, size if type(size) is int else as_size(size))

    def iounmap(self, area: VmArea | None) -> Steps:
        """Unmap a device: ``iounmap``; nothing is flushed now.

        Raises
        ------
        UndefinedBehaviour
            If it was unmapped before.
        """
        return self._ioremap.iounmap(self.task, area)

    # addresses.purge

    def vm_unmap_aliases(self) -> Steps:
        """Flush and give back all that was lazily freed: ``vm_unmap_aliases``.

        Nothing on the list and nothing dirty, nothing flushed; but a purge that somebody else is
        running is waited for.
        """
        return self._purge.vm_unmap_aliases(self.task)

    # addresses.thread_stacks

    def alloc_thread_stack(self) -> Generator[Any, Any, Stack | None]:
        """Take a stack for a thread that begins: ``alloc_thread_stack_node``.

        From the CPU's cache, if there is one.

        Returns
        -------
        VmArea, PageBlock or None
            None where addresses or memory run out.
        """
        return self._thread_stacks.alloc_thread_stack(self.task)

    def free_thread_stack(self, stack: Stack) -> Steps:
        """Give the stack of a thread back, as it ends: ``free_thread_stack``."""
        return self._thread_stacks.free_thread_stack(self.task, stack)

    # addresses.vmalloc

    def vmalloc(self, size: Size) -> Allocation:
        """Allocate at least ``size`` bytes in whole pages: ``vmalloc``.

        New mappings need no flush: their addresses were flushed before they became free.

        Returns
        -------
        VmArea or None
            None for size 0, for more than all memory, and where addresses or frames run out.

        Raises
        ------
        ProgramError
            For a negative size.
        """
        return self._vmalloc.vmalloc(self.task, size if type(size) is int else as_size(size))

    def vmalloc_huge(self, size: Size) -> Allocation:
        """Allocate an area that is mapped by large leaves, of 2 MiB as a rule: ``vmalloc_huge``.

        What is smaller than a leaf, or finds no room for leaves, is mapped by pages.

        Parameters
        ----------
        size
            In bytes; rounded up to whole leaves.

        Returns
        -------
        VmArea or None
            None also on a kernel without huge areas.
        """
        return self._vmalloc.vmalloc_huge(self.task, size if type(size) is int else as_size(size))

    def vfree(self, area: VmArea | None) -> Steps:
        """Free an area: ``vfree``. Nothing is flushed now, unless the area wants it.

        The pages may be used again at once, before any CPU forgets the old translations; the
        addresses only after a purge.

        Raises
        ------
        UndefinedBehaviour
            If the area was freed before.
        """
        return self._vmalloc.vfree(self.task, area)

    def vmap(self, block: PageBlock) -> Allocation:
        """Map the pages of a block once more: ``vmap``.

        Returns
        -------
        VmArea or None
            None where addresses run out.
        """
        return self._vmalloc.vmap(self.task, block)

    def vunmap(self, area: VmArea | None) -> Steps:
        """Unmap what `vmap` mapped, and leave its pages to their owner: ``vunmap``.

        Raises
        ------
        UndefinedBehaviour
            If the area was freed before.
        """
        return self._vmalloc.vunmap(self.task, area)

    # addresses.vmap_blocks

    def vm_map_ram(self, block: PageBlock) -> MaybeMapping:
        """Map the pages of a block for a short time: ``vm_map_ram``.

        Returns
        -------
        RamMapping or None
            None if no address space is left.
        """
        return self._vmap_blocks.vm_map_ram(self.task, block)

    def vm_unmap_ram(self, mapping: RamMapping) -> Steps:
        """Unmap: ``vm_unmap_ram``. Nothing is flushed.

        Raises
        ------
        UndefinedBehaviour
            If it was unmapped before.
        """
        return self._vmap_blocks.vm_unmap_ram(self.task, mapping)

    # addresses.writes

    def write(self, address: int | None, size: Size) -> Generator[Any, Any, bool]:
        """Write ``size`` bytes from ``address`` on, up to the first that faults, which is noted.

        Returns
        -------
        bool
            Whether all of them could be written; if not, there is one more fault.
        """
        return self._writes.write(
            self.task, address or 0, size if type(size) is int else as_size(size)
        )

    def overwrite(self, address: int | None, size: Size) -> Generator[Any, Any, Outcome]:
        """Write as an attack does, by whatever translation the CPU has; what comes of it is noted.

        The CPU is taken to have used the page before, and to have kept its translation since it
        last had to drop it.

        Parameters
        ----------
        address, size
            What, within a page.

        Returns
        -------
        Outcome
            What became of it, decided as the write begins.
        """
        return self._writes.overwrite(
            self.task, address or 0, size if type(size) is int else as_size(size)
        )

    # cross_calls

    def membarrier(self, barrier: Barrier = "private") -> Steps:
        """Have all other threads of the caller's process that run execute a barrier.

        Parameters
        ----------
        barrier
            private: a barrier, in an interrupt. sync_core: and a serialising instruction, here too.
            global: nobody is called, the caller waits for a grace period.
        """
        return self._cross_calls.membarrier(self.task, barrier)

    def smp_call_function(
        self, cpus: Sequence[CpuId], work: Picoseconds = 0, *, together: bool = True
    ) -> Steps:
        """Have some CPUs run a function in an interrupt, and wait until they have.

        Parameters
        ----------
        task
            Who calls; its own CPU is left out.
        cpus
            Which.
        work
            What the function takes on each, in picoseconds.
        together
            All in one call (``smp_call_function_many``), or each in one of its own, one after the
            other (``smp_call_function_single``).
        """
        return self._cross_calls.smp_call_function(self.task, cpus, work, together=together)

    # flush_requests

    def flush_tlb_all(self) -> Steps:
        """Drop every translation on every CPU, global ones included: ``flush_tlb_all``."""
        return self._flush_requests.flush_tlb_all(self.task)

    def flush_tlb_kernel_range(self, start: int, end: int) -> Steps:
        """Drop the translations of the bytes from ``start`` up to ``end`` on every CPU.

        Up to a ceiling page by page, above it everything; one shootdown either way.

        Raises
        ------
        ProgramError
            If the range ends before it starts.
        """
        return self._flush_requests.flush_tlb_kernel_range(self.task, start, end)

    # ftrace

    def ftrace_enable(
        self, sites: int, *, trampoline: bool = True
    ) -> Generator[Any, Any, Tracer | None]:
        """Let call sites call a tracer: ``register_ftrace_function``.

        Parameters
        ----------
        sites
            How many.
        trampoline
            Whether the tracer is a new one, which gets a trampoline where kernels have such.

        Returns
        -------
        Tracer or None
            None if there is no room for its trampoline.

        Raises
        ------
        ProgramError
            For a negative number of sites.
        """
        return self._ftrace.ftrace_enable(self.task, sites, trampoline=trampoline)

    def ftrace_disable(self, tracer: Tracer | None) -> Steps:
        """Take a tracer away: ``unregister_ftrace_function``.

        Raises
        ------
        UndefinedBehaviour
            If it was taken away before.
        """
        return self._ftrace.ftrace_disable(self.task, tracer)

    # hugetlb_vmemmap

    def hugetlb_vmemmap_optimize(self, huge_pages: int, size: int = 2097152) -> Steps:
        """Trim the descriptors of huge pages as they are allocated.

        Nothing is done where they fill no more pages than are kept (``vmemmap_can_optimize``).

        Parameters
        ----------
        task
            Who allocates them.
        huge_pages
            How many at a time.
        size
            Bytes of each: one of `HUGE_PAGES`.

        Raises
        ------
        ProgramError
            If this kernel cannot, or has no huge pages of this size.
        """
        return self._hugetlb_vmemmap.hugetlb_vmemmap_optimize(self.task, huge_pages, size)

    def hugetlb_vmemmap_restore(self, huge_pages: int, size: int = 2097152) -> Steps:
        """Give huge pages all of their descriptors back before they are freed.

        See `hugetlb_vmemmap_optimize`.
        """
        return self._hugetlb_vmemmap.hugetlb_vmemmap_restore(self.task, huge_pages, size)

    # livepatch

    def klp_enable_patch(
        self, functions: int, transition: Picoseconds = 0, resched_sites: int = 0
    ) -> Generator[Any, Any, LivePatch | None]:
        """Replace functions, and wait until all tasks use the new ones.

        Parameters
        ----------
        task
            Who patches.
        functions
            How many.
        transition
            How long it takes until every task has switched, in picoseconds.
        resched_sites
            Calls of ``cond_resched`` in the kernel, where those are patched to help.

        Returns
        -------
        LivePatch or None
            None if there is no room for a trampoline.

        Raises
        ------
        ProgramError
            If this kernel cannot.
        """
        return self._livepatch.klp_enable_patch(self.task, functions, transition, resched_sites)

    def klp_disable_patch(
        self, patch: LivePatch | None, transition: Picoseconds = 0, resched_sites: int = 0
    ) -> Steps:
        """Let all tasks use the old functions again, and take the new ones away.

        See `klp_enable_patch`.

        Raises
        ------
        UndefinedBehaviour
            If it was taken away before.
        """
        return self._livepatch.klp_disable_patch(self.task, patch, transition, resched_sites)

    # memory_hotplug

    def arch_remove_memory(self, sections: int = 1) -> Steps:
        """Take memory out of the page tables: its descriptors by section, then itself.

        Parameters
        ----------
        task
            Who removes it.
        sections
            How many sections: of 128 MiB, with pages of 64 KiB of 512.

        Raises
        ------
        ProgramError
            If this kernel cannot.
        """
        return self._memory_hotplug.arch_remove_memory(self.task, sections)

    # modules.loader

    def load_module(
        self, segments: ModuleSegments, name: str | None = None
    ) -> Generator[Any, Any, Module | None]:
        """Load a module: ``finit_module``, from reading the file to a live module.

        Its init areas are freed some time later. The operation that is noted is a ``load_module``,
        or a ``load_duplicate`` if somebody else has loaded the module or is loading it.

        Parameters
        ----------
        segments
            What the module is made of.
        name
            The module's name; of two loads of the same name one is a duplicate. Without a name a
            module is no duplicate of any.

        Returns
        -------
        Module or None
            None if it was not loaded, for which `load_refusal` gives the reason. A duplicate that
            waits for the load that came first, as some kernels do, gets that one's module.
        """
        return self._modules.load_module(self.task, segments, name)

    def load_refusal(self) -> Refusal | None:
        """Return at once why the last load of a task that failed did so; None if none has."""
        return self._modules.load_refusal(self.task)

    def unload_module(self, module: Module | None) -> Generator[Any, Any, bool]:
        """Unload a module: ``delete_module``.

        Returns
        -------
        bool
            False if it is not loaded (any more), as for a name that the kernel does not know.

        Raises
        ------
        UndefinedBehaviour
            For None, which is what a failed load returned: there is no module to speak of.
        """
        return self._modules.unload_module(self.task, module)

    # numa_balancing

    def task_numa_work(self, pages: Pages, *, scanned: Pages = 0, mappings: int = 1) -> Steps:
        """Scan the caller's process: make ``pages`` pages fault at their next use.

        Parameters
        ----------
        task
            Who scans, as it returns to user space.
        pages
            How many entries change; none of them flushes nothing.
        scanned
            How many are looked at, at least those that change.
        mappings
            In how many mappings they lie: a flush for each.

        Raises
        ------
        ProgramError
            If this kernel has no NUMA balancing.
        """
        return self._numa_balancing.task_numa_work(
            self.task, pages, scanned=scanned, mappings=mappings
        )

    def do_numa_page(self, pages: Pages, *, moved: Pages = 0) -> Steps:
        """Use pages that a scan made fault: a fault for each, and no flush.

        Parameters
        ----------
        task
            Who uses them.
        pages
            How many.
        moved
            How many of them move to the node of the caller's CPU, the first ones.
        """
        return self._numa_balancing.do_numa_page(self.task, pages, moved=moved)

    # pagetables.page_blocks

    def alloc_pages(self, order: int) -> Generator[Any, Any, PageBlock | None]:
        """Allocate ``2**order`` pages, aligned to their number: ``alloc_pages``.

        They are mapped already, so no entry changes.

        Returns
        -------
        PageBlock or None
            None if the order is too large or no such block is free.
        """
        return self._page_blocks.alloc_pages(self.task, order)

    def free_pages(self, block: PageBlock | None) -> Steps:
        """Free a block: ``__free_pages``; nothing is flushed.

        Raises
        ------
        UndefinedBehaviour
            If its pages are free already.
        """
        return self._page_blocks.free_pages(self.task, block)

    # permissions.attributes

    def set_memory_uc(self, address: int | None, pages: Pages) -> Status:
        """Make pages uncached: ``set_memory_uc``.

        Parameters
        ----------
        address
            Of the first page.
        pages
            How many.

        Returns
        -------
        int
            0, or -14 (``EFAULT``) if some page is not mapped.

        Raises
        ------
        ProgramError
            On another architecture than x86.
        """
        return self._page_attributes.set_memory_uc(self.task, address or 0, pages)

    def set_memory_wc(self, address: int | None, pages: Pages) -> Status:
        """Make pages write-combining, in two changes: ``set_memory_wc``; see `set_memory_uc`."""
        return self._page_attributes.set_memory_wc(self.task, address or 0, pages)

    def set_memory_wb(self, address: int | None, pages: Pages) -> Status:
        """Make pages cached again: ``set_memory_wb``; see `set_memory_uc`."""
        return self._page_attributes.set_memory_wb(self.task, address or 0, pages)

    def set_memory_decrypted(
        self, address: int | None, pages: Pages, guest: Guest = "sev"
    ) -> Status:
        """Share pages with the hypervisor: ``set_memory_decrypted``; see `set_memory_uc`."""
        return self._page_attributes.set_memory_decrypted(self.task, address or 0, pages, guest)

    def set_memory_encrypted(
        self, address: int | None, pages: Pages, guest: Guest = "sev"
    ) -> Status:
        """Make pages the guest's own again: ``set_memory_encrypted``; see `set_memory_uc`."""
        return self._page_attributes.set_memory_encrypted(self.task, address or 0, pages, guest)

    # permissions.set_memory

    def set_memory_ro(self, address: int | None, pages: Pages) -> Status:
        """Make pages read-only: ``set_memory_ro``.

        Parameters
        ----------
        address
            Of the first page; rounded down to a page, as the kernel does (and warns).
        pages
            How many; on x86, 0 still purges lazily freed areas.

        Returns
        -------
        int
            0. On x86 -14 (``EFAULT``) if some page is not mapped: those before it have changed
            then, and everything is flushed. On Arm -22 (``EINVAL``) for what it does not change.

        Raises
        ------
        UndefinedBehaviour
            For a negative number of pages.
        """
        return self._set_memory.set_memory_ro(self.task, address or 0, pages)

    def set_memory_rw(self, address: int | None, pages: Pages) -> Status:
        """Make pages writable: ``set_memory_rw``; see `set_memory_ro`."""
        return self._set_memory.set_memory_rw(self.task, address or 0, pages)

    def set_memory_x(self, address: int | None, pages: Pages) -> Status:
        """Make pages executable: ``set_memory_x``; see `set_memory_ro`."""
        return self._set_memory.set_memory_x(self.task, address or 0, pages)

    def set_memory_nx(self, address: int | None, pages: Pages) -> Status:
        """Make pages not executable: ``set_memory_nx``; see `set_memory_ro`."""
        return self._set_memory.set_memory_nx(self.task, address or 0, pages)

    def set_memory_rox(self, address: int | None, pages: Pages) -> Status:
        """Make pages read-only and executable: ``set_memory_rox``; see `set_memory_ro`.

        In one change, or by calling `set_memory_ro` and then `set_memory_x`
        (include/linux/set_memory.h, Linux 6.6; what callers of older kernels do themselves).
        """
        return self._set_memory.set_memory_rox(self.task, address or 0, pages)

    # pmalloc.objects

    def is_pmalloc_object(self, address: int | None, size: Size) -> bool:
        """Return at once whether ``size`` bytes from ``address`` are taken for an object of a pool.

        An object that runs over the end of its area is *not* taken for one, so that hardened
        usercopy lets it pass; and the end is computed as an unsigned long, so that a length close
        to the largest one wraps and passes for an object.

        Raises
        ------
        UndefinedBehaviour
            For a vmalloc address where no page is mapped: the kernel reads through its NULL
            ``struct page``.
        """
        return self._pmalloc_objects.is_pmalloc_object(
            self.task, address or 0, size if type(size) is int else as_size(size)
        )

    def usercopy_allowed(self, address: int | None, size: Size, *, to_user: bool) -> bool:
        """Return at once whether hardened usercopy lets a copy pass, as far as pools are concerned.

        Copying *from* user space into a pool is refused, protected or not; copying out is allowed.
        """
        return self._pmalloc_objects.usercopy_allowed(
            self.task, address or 0, size if type(size) is int else as_size(size), to_user=to_user
        )

    # pmalloc.pmalloc

    def pmalloc_create_pool(
        self, refill: Size = 0, align_order: int = -1, mode: PoolMode = "ro"
    ) -> Generator[Any, Any, Pool]:
        """Create a pool: ``pmalloc_create_pool``. No page is allocated, nothing is flushed.

        Parameters
        ----------
        refill
            Bytes by which the pool grows, at least; rounded up to pages, 0 for one page.
        align_order
            Alignment of its objects as a power of two; negative for the architecture's own.
        mode
            What may be done to its protected memory, and when it is protected.

        Raises
        ------
        ProgramError
            If this generation has no pools of the mode.
        UndefinedBehaviour
            For an order of a word's bits or more: the kernel shifts by it without a check.
        """
        return self._pmalloc.pmalloc_create_pool(
            self.task, refill if type(refill) is int else as_size(refill), align_order, mode
        )

    def pmalloc(self, pool: Pool | None, size: Size) -> MaybeAddress:
        """Allocate one object: ``pmalloc``.

        Returns
        -------
        int or None
            Its address; None if the pool had to grow and could not. For size 0 the address is that
            of the object before, or, in a fresh area, that of its guard page.

        Raises
        ------
        UndefinedBehaviour
            If there is no pool, or it was destroyed.
        """
        return self._pmalloc.pmalloc(self.task, pool, size if type(size) is int else as_size(size))

    def pzalloc(self, pool: Pool | None, size: Size) -> MaybeAddress:
        """Allocate one object and fill it with zeros: ``pzalloc``."""
        return self._pmalloc.pzalloc(self.task, pool, size if type(size) is int else as_size(size))

    def pmalloc_array(self, pool: Pool | None, n: int, size: Size) -> MaybeAddress:
        """Allocate an array; NULL for no elements and for a product that no ``size_t`` holds."""
        return self._pmalloc.pmalloc_array(
            self.task, pool, n, size if type(size) is int else as_size(size)
        )

    def pcalloc(self, pool: Pool | None, n: int, size: Size) -> MaybeAddress:
        """Allocate an array filled with zeros; NULL where `pmalloc_array` gives NULL."""
        return self._pmalloc.pcalloc(
            self.task, pool, n, size if type(size) is int else as_size(size)
        )

    def pstrdup(self, pool: Pool | None, string: str | bytes | None) -> MaybeAddress:
        """Copy a string with its final NUL into a pool: ``pstrdup``.

        Text is encoded as UTF-8; what follows a NUL inside is not part of a C string.

        Raises
        ------
        UndefinedBehaviour
            For no string: ``strlen`` reads through the NULL pointer.
        """
        return self._pmalloc.pstrdup(self.task, pool, string)

    def wr_memset(self, address: int | None, size: Size) -> Written:
        """Set bytes of protected memory: ``wr_memset``.

        Returns
        -------
        bool
            Whether all of it was written: only memory of a pool that allows rare writes is.

        Raises
        ------
        ProgramError
            If this generation does not have the call.
        """
        return self._pmalloc.wr_memset(
            self.task, address or 0, size if type(size) is int else as_size(size)
        )

    def wr_memcpy(self, address: int | None, size: Size) -> Written:
        """Copy bytes into protected memory: ``wr_memcpy``; see `wr_memset`.

        On v23 it stands for ``pmalloc_rare_write_array``.
        """
        return self._pmalloc.wr_memcpy(
            self.task, address or 0, size if type(size) is int else as_size(size)
        )

    def wr_ptr(self, address: int | None) -> Written:
        """Set a pointer in protected memory: ``wr_ptr``; see `wr_memset`.

        On v23 it stands for ``pmalloc_rare_write_ptr``.
        """
        return self._pmalloc.wr_ptr(self.task, address or 0)

    def alloc_many(self, pool: Pool | None, n: int, size: Size) -> Generator[Any, Any, Allocations]:
        """Allocate ``n`` objects of one size: what a loop of ``pmalloc`` does, in few events.

        State, statistics, exposure and simulated time are those of ``n`` calls by a loop that stops
        at the first NULL. Two things are coarser. The mutex is released after each area instead of
        each object, so that another user of the pool waits longer for it. And there is one row
        ``alloc_many`` in the table of operations in place of ``n`` rows ``pmalloc``; the rows
        ``vmalloc`` of the areas are its children.

        Returns
        -------
        Allocations
            The addresses; fewer than ``n`` if the pool could not grow.
        """
        return self._pmalloc.alloc_many(
            self.task, pool, n, size if type(size) is int else as_size(size)
        )

    def pmalloc_protect_pool(self, pool: Pool | None) -> Steps:
        """Make all that is allocated read-only: ``pmalloc_protect_pool``.

        One ``set_memory_ro`` for each area not yet protected (prmem: for each area), newest first,
        the pool's mutex held over them all. What the newest area still had to give is given up, but
        by a pool that starts protected.

        Raises
        ------
        UndefinedBehaviour
            If there is no pool, or it was destroyed.
        """
        return self._pmalloc.pmalloc_protect_pool(self.task, pool)

    def pmalloc_destroy_pool(self, pool: Pool | None) -> Steps:
        """Give a pool and all its memory back: ``pmalloc_destroy_pool``.

        The object is freed first; then, without any lock, each area, newest first, is made writable
        again (its pages are read-only in the direct map too) and vfree'd. On v23 only what was
        protected is made writable; where freeing resets the permissions (modern), nothing is.

        Raises
        ------
        UndefinedBehaviour
            If there is no pool, it was destroyed before, or somebody works on it.
        """
        return self._pmalloc.pmalloc_destroy_pool(self.task, pool)

    def pfree(self, pool: Pool | None = None, address: int | None = None) -> Never:
        """Refuse: there is no ``pfree``.

        Raises
        ------
        UndefinedBehaviour
            Always; the message explains why.
        """
        self._pmalloc.pfree(self.task, pool, address)

    # process_calls

    def fork(self, pages: Pages) -> Generator[Any, Any, UserMm]:
        """Copy the address space of the caller's process: one flush, lazy CPUs included.

        Parameters
        ----------
        pages
            How many are there and are private: so many entries are copied.

        Returns
        -------
        UserMm
            That of the child, which no CPU has run: its first thread is who uses it next.
        """
        return self._process_calls.fork(self.task, pages)

    def vfork(self) -> Generator[Any, Any, UserMm]:
        """Run another program in a child that shares the address space until then: no flush.

        Stands for ``vfork`` and ``execve``, as ``posix_spawn`` calls them.

        Returns
        -------
        UserMm
            The address space of the program.
        """
        return self._process_calls.vfork(self.task)

    def wake_up_new_task(
        self, cpu: CpuId, run: Callable[[Task], Steps], working_set: int = 0
    ) -> None:
        """Let a child run on a CPU from now on, and return at once.

        Parameters
        ----------
        task
            Who has forked it.
        cpu
            Where it runs.
        run
            Called with the child's task; returns its steps, of which `use_mm` is the first.
        working_set
            TLB entries that it refills after a full flush.
        """
        return self._process_calls.wake_up_new_task(self.task, cpu, run, working_set)

    def sched_exec(self, cpu: CpuId, run: Callable[[Task], Steps], working_set: int = 0) -> None:
        """Move the caller to another CPU, where it goes on with other steps; return at once.

        It must end now; the CPU that it leaves borrows its address space.

        Parameters
        ----------
        task
            Who is about to run another program.
        cpu
            Where it goes on.
        run
            Called with the task that it is from then on; returns its steps.
        working_set
            As of `wake_up_new_task`.
        """
        return self._process_calls.sched_exec(self.task, cpu, run, working_set)

    def wp_page_copy(self, pages: Pages) -> Steps:
        """Write to ``pages`` pages that another process shares: fault, copy and flush for each."""
        return self._process_calls.wp_page_copy(self.task, pages)

    def execve(self, pages: Pages = 0, *, shared: Pages = 0) -> Steps:
        """Run another program: a new address space; the one before ends if nobody else uses it.

        Parameters
        ----------
        pages
            How many of the one before go if it ends.
        shared
            How many of these are another process's, too, as those of a child that was forked: only
            their entries and counts go, which takes as long as it took to copy them.
        """
        return self._process_calls.execve(self.task, pages, shared=shared)

    def exit_mm(self, pages: Pages = 0, *, shared: Pages = 0) -> Steps:
        """End a thread; with the last one goes the address space: one flush, lazy CPUs included.

        Parameters
        ----------
        task
            Who ends. It may become a thread of another process, as which it stands for another.
        pages
            How many go if it is the last one.
        shared
            How many of these are another process's, too; see `execve`.
        """
        return self._process_calls.exit_mm(self.task, pages, shared=shared)

    # reclaim

    def node(self, name: str, memory: Size, scale: int = 10) -> Node:
        """Return at once the node of a name, at first a new one that has just been balanced.

        Parameters
        ----------
        name
            Its name.
        memory
            How much it has.
        scale
            ``vm.watermark_scale_factor``.
        """
        return self._reclaim.node(name, memory if type(memory) is int else as_size(memory), scale)

    def touch_on(self, node: Node, pages: Pages, *, dirty: Pages = 0) -> Steps:
        """Touch pages that are not there, each of which a node that is short of memory gives.

        Parameters
        ----------
        task
            Who touches.
        node
            Whose pages they are. Below its low mark kswapd is woken; from the least one on, the
            caller takes 32 pages from the node's processes itself before it gets one.
        pages
            How many.
        dirty
            As of `shrink_page_list`.
        """
        return self._reclaim.touch_on(self.task, node, pages, dirty=dirty)

    def kswapd(self, node: Node, *, dirty: Pages = 0) -> Steps:
        """Balance a node each time that its memory gets short, without end.

        Parameters
        ----------
        task
            kswapd, a daemon.
        node
            Its node.
        dirty
            As of `shrink_page_list`.
        """
        return self._reclaim.kswapd(self.task, node, dirty=dirty)

    def shrink_page_list(self, pages: Pages, *, dirty: Pages = 0) -> Steps:
        """Take pages from the caller's process, 32 at a time.

        Parameters
        ----------
        task
            Who finds no free page, and takes some by itself (direct reclaim).
        pages
            How many.
        dirty
            How many of each 32 are written to the swap or a file first, at most all of them.
        """
        return self._reclaim.shrink_page_list(self.task, pages, dirty=dirty)

    # text.bpf

    def bpf_prog_load(
        self, size: Size, *, verified: int = 0, capable: bool = True
    ) -> Generator[Any, Any, BpfProgram | None]:
        """Load a program: check and translate it, and make its code executable.

        Parameters
        ----------
        size
            Bytes of its code. Its instructions before translation are taken to be as many, unless
            their number is given.
        verified
            Instructions of a program that comes by bpf(2), whose verifier allocates two arrays and
            frees them; 0: a classic filter (of a socket, of seccomp), which is checked without.
        capable
            Whether the caller has ``CAP_BPF`` (before 5.8 ``CAP_SYS_ADMIN``), and is not refused
            for the kernel's ``bpf_jit_limit``.

        Returns
        -------
        BpfProgram or None
            None for an empty program, where addresses or memory run out, and beyond the limit;
            `bpf_refusal` gives the reason.

        Raises
        ------
        ProgramError
            For a negative size.
        """
        return self._bpf.bpf_prog_load(
            self.task,
            size if type(size) is int else as_size(size),
            verified=verified,
            capable=capable,
        )

    def bpf_refusal(self) -> str:
        """Return at once why the last load of a task that failed did so; empty if none has."""
        return self._bpf.bpf_refusal(self.task)

    def bpf_prog_free(self, program: BpfProgram | None) -> Steps:
        """Free a program: ``bpf_prog_free`` leaves it to a worker of this CPU.

        The grace period that most callers let pass before is theirs, and not waited for here.

        Raises
        ------
        UndefinedBehaviour
            If it was freed before.
        """
        return self._bpf.bpf_prog_free(self.task, program)

    # text.kprobes

    def register_kprobe(self, *, disabled: bool = False) -> Generator[Any, Any, Kprobe | None]:
        """Set a probe and arm it: ``register_kprobe``.

        Parameters
        ----------
        disabled
            It is not armed before `enable_kprobe` (``KPROBE_FLAG_DISABLED``).

        Returns
        -------
        Kprobe or None
            None if there is no room for another page of slots.
        """
        return self._kprobes.register_kprobe(self.task, disabled=disabled)

    def enable_kprobe(self, probe: Kprobe | None) -> Steps:
        """Arm a probe that is not: ``enable_kprobe``.

        Raises
        ------
        UndefinedBehaviour
            If it is not registered.
        """
        return self._kprobes.enable_kprobe(self.task, probe)

    def disable_kprobe(self, probe: Kprobe | None) -> Steps:
        """Disarm a probe and keep it: ``disable_kprobe``.

        Raises
        ------
        UndefinedBehaviour
            If it is not registered.
        """
        return self._kprobes.disable_kprobe(self.task, probe)

    def unregister_kprobe(self, probe: Kprobe | None) -> Steps:
        """Take a probe away: ``unregister_kprobe``.

        Raises
        ------
        UndefinedBehaviour
            If it is not registered (any more).
        """
        return self._kprobes.unregister_kprobe(self.task, probe)

    # text.static_keys

    def static_key_toggle(self, sites: int) -> Steps:
        """Turn a key on or off: patch each of its sites (``jump_label_update``).

        Parameters
        ----------
        sites
            Branches that depend on the key; for a key without any nothing is sent.

        Raises
        ------
        ProgramError
            For a negative number of sites.
        """
        return self._static_keys.static_key_toggle(self.task, sites)

    # text.tracepoints

    def tracepoint_probe_register(self, sites: int = 1) -> Steps:
        """Give a tracepoint its first probe: let it call that, then turn it on.

        Parameters
        ----------
        sites
            Places in the code where the tracepoint is.

        Raises
        ------
        ProgramError
            For a negative number of sites.
        """
        return self._tracepoints.tracepoint_probe_register(self.task, sites)

    def tracepoint_probe_unregister(self, sites: int = 1) -> Steps:
        """Take a tracepoint's last probe away: turn it off, then let it call none.

        Parameters
        ----------
        sites
            Places in the code where the tracepoint is.

        Raises
        ------
        ProgramError
            For a negative number of sites.
        """
        return self._tracepoints.tracepoint_probe_unregister(self.task, sites)

    # user_calls

    def mmap(self, pages: Pages) -> Steps:
        """Map ``pages`` pages of the caller's process, none of which is there yet: no flush."""
        return self._user_calls.mmap(self.task, pages)

    def touch(self, pages: Pages) -> Steps:
        """Write to ``pages`` pages that are mapped and not there: a fault for each, one by one."""
        return self._user_calls.touch(self.task, pages)

    def read(self, pages: Pages) -> Steps:
        """Read ``pages`` pages that are not there: a fault for each, which maps the page of zeros.

        Nothing is allocated (mm/memory.c, ``do_anonymous_page``): a write faults again, and what
        unmaps them frees nothing.
        """
        return self._user_calls.read(self.task, pages)

    def mprotect(self, pages: Pages, *, opens: bool = False) -> Steps:
        """Change the protection of ``pages`` pages of the caller's process: one flush.

        Parameters
        ----------
        pages
            How many are mapped there.
        opens
            Whether nobody might access them before (``PROT_NONE``): no TLB has translations of
            them, and kernels that look at the entries (``pte_needs_flush``) flush nothing.
        """
        return self._user_calls.mprotect(self.task, pages, opens=opens)

    def munmap(self, pages: Pages, *, frees_tables: bool = False, of_zeros: bool = False) -> Steps:
        """Unmap ``pages`` pages of the caller's process: one flush, or two where tables go too.

        Parameters
        ----------
        pages
            How many are mapped there.
        frees_tables
            Whether page tables go with them, because nothing else is mapped in the ranges that they
            cover. CPUs may walk those while they borrow the address space, so that lazy ones have
            to be told too; they give it up.
        of_zeros
            Whether all of them are the page of zeros, as pages that were only read.
        """
        return self._user_calls.munmap(
            self.task, pages, frees_tables=frees_tables, of_zeros=of_zeros
        )

    def madvise_dontneed(self, pages: Pages) -> Steps:
        """Give the memory of ``pages`` pages back, but not their addresses: one flush."""
        return self._user_calls.madvise_dontneed(self.task, pages)

    # user_flush

    def flush_tlb_multi(self, cpus: Sequence[CpuId], pages: Pages | None) -> Steps:
        """Drop pages of a process on this CPU and on others that are named: ``flush_tlb_multi``.

        For whoever knows which CPUs are told, as a trace does; nothing is known of the process.

        Parameters
        ----------
        task
            Who flushes.
        cpus
            The others.
        pages
            How many; None: all of the process.
        """
        return self._user_flushes.flush_tlb_multi(self.task, cpus, pages)

    # user_mm

    def process(self, name: str) -> UserMm:
        """Return at once the address space of the process of this name, a new one at first."""
        return self._user_mms.process(name)

    def use_mm(self, mm: UserMm) -> Steps:
        """Make ``task``, which runs, a thread of a process, or let one that has slept be seen."""
        return self._user_mms.use_mm(self.task, mm)

    def current_mm(self) -> UserMm:
        """Return at once the address space of the process that the caller is a thread of."""
        return self._user_mms.current_mm(self.task)
