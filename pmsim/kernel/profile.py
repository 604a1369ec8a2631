"""Kernel profiles: one generation of Linux on one architecture is one frozen record.

A profile is data (``pmsim/data/kernels/*.yaml``, read by `pmsim.kernel.profiles`): what generations
do differently is a value of a key here, or names a small strategy class; no code asks for a version
number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.shootdown.ipi import SHORTHAND
from pmsim.hardware.shootdown.protocol import Protocol, Shootdown, with_options
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.hardware.shootdown.tlbi import REPEAT_SYNC, TLBI
from pmsim.kernel.geometry import Geometry
from pmsim.kernel.shootdown import ShootdownKey
from pmsim.quantities import PageCount, PositiveSize, Size, refused
from pmsim.units import KIB, format_size

PAGE_SIZES: Final = (4 * KIB, 16 * KIB, 64 * KIB)
"""Sizes that pages have (arch/arm64/Kconfig, ARM64_4K_PAGES, ARM64_16K_PAGES, ARM64_64K_PAGES)."""

LOWEST_ADDRESS: Final = 0x3F000000
"""No kernel lies lower: modules of a 32-bit Arm one that has 3 GiB of addresses (VMSPLIT_1G)."""

MOST_STAYS: Final = 16
"""No call takes a lock that often."""

MOST_LINES: Final = 1000
"""No area has that many neighbours."""

Arch = Literal["x86_64", "x86_32", "arm64", "arm32", "riscv64"]
"""An architecture, by the name that profiles end in."""

NARROW: Final = ("x86_32", "arm32")
"""Those whose words have 32 bits."""

ModuleTable = Literal[
    "none", "6.1-x86_64", "6.12-x86_64", "6.1-arm64", "6.12-arm64", "6.1-arm32", "6.12-riscv64"
]
"""A measured table of modules, by the kernel that they were built for."""


def _pages_from_number(value: Any) -> Any:
    """Let a bare number stand where only a number of pages can be meant."""
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return f"{value} pages" if is_number else value


def _address_from_text(value: Any) -> Any:
    """Read ``"0xffff..."``; YAML makes a number of it only where it is not quoted."""
    if isinstance(value, str):
        try:
            return int(value, 16)
        except ValueError:
            return value
    return value


ARM64_BITS: Final = 48
"""Bits of an address on arm64 (arch/arm64/Kconfig, ARM64_VA_BITS_48); 52 are left out."""


def _page(size: int) -> int:
    if size not in PAGE_SIZES:
        hint = " or ".join(map(format_size, PAGE_SIZES))
        raise refused("bad-page-size", "no page has this size", hint)
    return size


PageLimit = Annotated[PageCount, BeforeValidator(_pages_from_number)]


def _levels(levels: int, info: ValidationInfo) -> int:
    if info.data.get("arch") != "arm64" or "page_size" not in info.data:
        return levels
    page = info.data["page_size"]
    index_bits = page.bit_length() - 4
    needed = -(-(ARM64_BITS - index_bits - 3) // index_bits)
    if levels != needed:
        message = f"pages of {format_size(page)} have no page table of {levels} levels"
        raise refused("impossible", message, f"{ARM64_BITS} bits take {needed}")
    return levels


def _leaf(size: int, info: ValidationInfo) -> int:
    if not {"arch", "pae", "page_size", "page_table_levels"} <= info.data.keys():
        return size  # another key is at fault
    sizes = _geometry(info.data).leaf_sizes
    if size not in sizes:
        message = "the page table has no leaf of this size"
        raise refused("bad-leaf", message, "it has " + " and ".join(map(format_size, sizes)))
    return size


def _whole_pages(size: int, info: ValidationInfo) -> int:
    page = info.data.get("page_size", PAGE_SIZES[0])
    if size % page:
        message = f"this is no whole number of pages of {format_size(page)}"
        raise refused("bad-range", message, "for example 1GiB")
    return size


LeafSize = Annotated[Size, AfterValidator(_leaf)]
WholePages = Annotated[Size, AfterValidator(_whole_pages)]
RangeSize = Annotated[PositiveSize, AfterValidator(_whole_pages)]
TableLevels = Annotated[Literal[2, 3, 4, 5], AfterValidator(_levels)]
PageSize = Annotated[Size, AfterValidator(_page)]
Address = Annotated[
    int, BeforeValidator(_address_from_text), Field(ge=LOWEST_ADDRESS, lt=1 << 64, strict=True)
]
"""A page's virtual address in the kernel's half of the address space."""


def _geometry(keys: Mapping[str, Any]) -> Geometry:
    """Return the shape of the page table of a profile's keys."""
    shift, levels = keys["page_size"].bit_length() - 1, keys["page_table_levels"]
    if keys["arch"] in NARROW:
        return Geometry(levels, 9 if keys["pae"] or keys["arch"] != "x86_32" else 10, 32)
    index_bits = shift - 3  # a table fills a page with entries of 8 bytes
    address_bits = ARM64_BITS if keys["arch"] == "arm64" else shift + index_bits * levels
    return Geometry(levels, index_bits, address_bits, shift)


class MissingCostsError(ValueError):
    """A kernel tells other CPUs in a way for which a machine gives no costs.

    Attributes
    ----------
    kernel, protocol
        Which kernel, and which way.
    """

    def __init__(self, kernel: str, protocol: Protocol) -> None:
        super().__init__(f"{kernel} needs a machine with costs for {protocol.name}")
        self.kernel = kernel
        self.protocol = protocol


class KernelProfile(BaseModel):
    """One generation of the kernel on one architecture.

    Every key may be overridden in a scenario, as far as its profile allows. Sizes are in bytes,
    addresses are those of first bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="The name scenarios use.")
    arch: Arch = Field(description="The architecture.")

    # How CPUs are told

    crosscall_order: Literal["concurrent", "serial"] = Field(
        description="Whether the initiator of an IPI call runs the function while the others do,"
        " or after all of them."
    )
    ipi_shorthand: bool = Field(
        strict=True,
        description="Whether an IPI call of all other CPUs is sent by one write, where the"
        " interrupt controller can (`costs.ipi.shorthand` of the machine).",
    )
    invalidate_by: Literal["ipi", "tlbi", "sbi", "tlbi_or_ipi"] = Field(
        description="How other CPUs drop translations: interrupts (ipi), TLB broadcasts"
        " (tlbi), those where the machine has them, interrupts elsewhere (tlbi_or_ipi), or a call"
        " of the firmware (sbi)."
    )
    shootdown: ShootdownKey = Field(
        description="A shootdown protocol to use in its place, with options: a name, or for"
        " example {ipi: {ack: entry}}; native: what `invalidate_by` says."
    )
    unsafe: bool = Field(
        strict=True,
        description="Whether a protocol is run that promises less than what the kernel's operations"
        " need, such as deferral of every flush.",
    )
    ceiling: PageLimit = Field(
        description="Pages above which a ranged flush of the TLB becomes a full one."
    )
    tlbi_range: bool = Field(
        description="Whether one operation of a TLB broadcast may name a range, where the CPUs can."
    )
    repeat_tlbi: Literal["none", "per_sync", "per_operation"] = Field(
        description="What of a TLB broadcast is repeated on CPUs with an erratum that wants it"
        " (`costs.tlbi.erratum_4118414` of the machine): nothing, each barrier once with one more"
        " operation, or each operation."
    )
    user_ceiling: PageLimit = Field(
        description="The same for a flush of user space. Operations on ranges have a limit of their"
        " own."
    )
    user_tables: Literal["with_pages", "by_table", "by_section", "whole"] = Field(
        description="What page tables cost that go with unmapped pages: nothing, as one flush drops"
        " both (with_pages); or a second flush, of an operation for each table (by_table), for each"
        " page around its sections (by_section) or of the whole address space (whole)."
    )
    user_tlbi_range: bool = Field(
        description="Whether one may name a range of user space, which came earlier."
    )
    user_flush: Literal["lazy_interrupted", "lazy_skipped", "ever_run"] = Field(
        description="Whether a CPU that only borrows an address space is interrupted by its flushes"
        " (and then leaves it), or is left alone unless page tables are freed; or whether every CPU"
        " is told that ever ran it."
    )
    vma_locks: Literal["none", "faults", "faults_and_madvise"] = Field(
        description="Who takes the lock of a mapping alone, and leaves that of the address space:"
        " nobody, faults, or madvise too."
    )
    vma_lock: Literal["semaphore", "count"] = Field(
        description="What the lock of a mapping is, where there is one: a semaphore, or a count of"
        " those who hold it."
    )
    mprotect_opens_quietly: bool = Field(
        description="Whether mprotect flushes nothing where the pages could not be accessed before"
        " (PROT_NONE)."
    )
    parallel_zaps: Literal["range", "everything"] = Field(
        description="What munmap and madvise flush while another CPU does the same in the address"
        " space: their range, or all of it."
    )
    zap_drains_lru: bool = Field(
        description="Whether munmap and madvise first empty the CPU's batch of pages that are to"
        " come to the lists of the LRU, under the lock of all CPUs."
    )
    lru_batch: int = Field(
        ge=1,
        strict=True,
        description="Pages that wait at a CPU to come to the lists of the LRU together, and that"
        " are taken off them together.",
    )
    guest_spinlocks: Literal["paravirtual", "queued"] = Field(
        description="What spinlocks do in a guest some of whose virtual CPUs are frozen: those that"
        " run take them before those that do not (paravirtual), or all in the order of asking."
    )
    user_flush_local: bool = Field(
        description="Whether a process that no other CPU runs is flushed by its own CPU, where"
        " others are flushed by broadcast: a proposal for arm64 (Arcangeli 2020, Roberts 2025)."
    )
    munmap_downgrades: bool = Field(
        description="Whether munmap holds mmap_lock only to read while it flushes and frees pages."
    )
    membarrier_serializes: bool = Field(
        description="Whether expedited membarriers wait for each other, whatever process they are"
        " of."
    )
    membarrier_sync_core: bool = Field(
        description="Whether membarrier can make the other threads serialise too."
    )
    numa_balancing: bool = Field(
        description="Whether the kernel can move pages to the nodes that use them."
    )
    reclaim_flush: Literal["page", "batch", "operations"] = Field(
        description="What reclaim flushes as it unmaps pages: each by itself (page), all of a"
        " process's address space once for some pages (batch), or each by an operation, and waits"
        " for some of them together (operations)."
    )
    asids: int = Field(
        ge=1,
        strict=True,
        description="Address spaces whose translations a CPU keeps apart at the same time.",
    )

    # Where things lie

    pae: bool = Field(description="Whether entries of the page table have 64 bits (x86-32: PAE).")
    page_size: PageSize = Field(
        description="Size of a page: 4KiB; on arm64 16KiB or 64KiB too, as the kernel was built."
        " Limits in pages, stacks and addresses follow where they are not given."
    )
    page_table_levels: TableLevels = Field(description="Levels of the page table.")
    direct_map_leaf: LeafSize = Field(
        description="Size of the direct map's leaves at the start: that of a page (nothing left to"
        " split), or 2MiB or 1GiB (pages of 4 KiB), 32MiB (16 KiB), 512MiB (64 KiB)."
    )
    memory: PositiveSize = Field(description="Physical memory, a multiple of the leaf size.")
    lowmem: PositiveSize = Field(
        description="How much of the memory the direct map holds at most; the rest is highmem."
    )
    page_offset: Address = Field(description="Where the direct map starts.")
    vmalloc_start: Address = Field(description="Where the vmalloc range starts.")
    vmalloc_size: RangeSize = Field(description="Size of the vmalloc range.")
    modules_start: Address = Field(description="Where the range for modules starts.")
    modules_size: RangeSize = Field(description="Size of the range for modules.")
    modules_fallback: Literal["none", "vmalloc"] = Field(
        description="Where modules go when their range is full: nowhere, or to the vmalloc range."
    )
    top_level_copies: Literal["none", "fault", "walk", "switch"] = Field(
        description="How an address space learns of a new top-level entry of the kernel's page"
        " table: it shares it (none), by a fault at the first touch (fault), because the kernel"
        " walks all of them (walk), or when it is switched to (switch)."
    )
    top_level_span: PositiveSize = Field(description="What one top-level entry covers.")

    # Areas

    area_search: Literal["list", "hint", "first_fit", "per_node"] = Field(
        description="How a free range is found, and under which locks: the lowest one in a list"
        " (list: 2.6.27 and before) or from where the last one was (hint), under one lock; the"
        " lowest one in a tree of free ranges, which has a lock of its own (first_fit); or recently"
        " freed ones of the node first, which has its own locks (per_node)."
    )
    area_alloc_stays: int = Field(
        ge=0,
        le=MOST_STAYS,
        strict=True,
        description="How often the lock of the areas in use is taken as an area is made, once its"
        " place is found.",
    )
    area_free_stays: int = Field(
        ge=1,
        le=MOST_STAYS,
        strict=True,
        description="How often the same lock is taken as an area is freed.",
    )
    lazy_max_unit: Size = Field(
        description="Lazily freed address space that is tolerated, times the number of bits of the"
        " number of CPUs (lazy_max_pages)."
    )
    lazy_merges: bool = Field(
        description="Whether neighbours on the lazy list are joined, and freed as one."
    )
    purged_lines: int = Field(
        ge=0,
        le=MOST_LINES,
        strict=True,
        description="Cache lines that a purge touches for each area that it gives back: its own,"
        " and those of its neighbours in trees and lists.",
    )
    purge_by: Literal["work_item", "task", "unmap"] = Field(
        description="Who flushes freed areas once there are too many: a work item, or the task that"
        " freed the last one (task); or every unmap its own, under the area lock (unmap: 2.6.27 and"
        " before)."
    )
    purge_passes: Literal["until_below", "one"] = Field(
        description="Whether a purge goes on until less than the limit is left, or purges once."
    )
    dirty_blocks: Literal["every_call", "once"] = Field(
        description="Whether the dirty part of a block of vm_map_ram is flushed by every call that"
        " flushes aliases while the block lives, or once."
    )
    alias_lock: Literal["purge", "scan"] = Field(
        description="What the purge lock is held for in vm_unmap_aliases: the purge, or the scan of"
        " the blocks too."
    )
    vmap_block_pages: PageLimit = Field(description="Pages of a block of vm_map_ram.")
    vmap_block_limit: PageLimit = Field(
        description="The largest mapping that is carved from a block."
    )
    reset_perms: bool = Field(
        description="Whether VM_FLUSH_RESET_PERMS exists: freeing executable memory flushes it and"
        " its direct map in one."
    )
    huge_vmalloc: bool = Field(
        description="Whether an area may be mapped by large leaves: 2 MiB with pages of 4 KiB,"
        " 32 with 16, 512 with 64."
    )
    pte_barriers: Literal["none", "per_entry", "per_table"] = Field(
        description="Whether a barrier follows valid entries of the kernel's page table, so that"
        " walks see them: behind each, or behind all that are written to a table together."
    )
    new_mapping: Literal["nothing", "fault", "flush"] = Field(
        description="What a new mapping costs other CPUs: nothing, a fault at the first touch, or a"
        " flush of all."
    )
    thread_stack: WholePages = Field(
        description="Size of a kernel stack in the vmalloc range; 0B: stacks lie elsewhere."
    )
    thread_align: RangeSize = Field(
        description="Of what the address of such a stack is a multiple."
    )
    stack_free: Literal["work_item", "rcu"] = Field(
        description="How such a stack is freed: by a work item soon, or after an RCU grace period."
    )

    # Permissions

    set_memory: Literal["x86", "arm64", "arm32", "riscv"] = Field(
        description="Whose way of changing permissions it is."
    )
    set_memory_purges: bool = Field(
        description="Whether set_memory_* first flush what was lazily freed (vm_unmap_aliases)."
    )
    nx: bool = Field(
        description="Whether pages can be not executable; if not, set_memory_x and _nx do nothing."
    )
    rodata: Literal["full", "on"] = Field(
        description="Boot parameter of arm64: whether the direct map's alias of read-only memory is"
        " protected too (full)."
    )
    linear_alias: bool = Field(
        description="Whether a change of permission is made to the direct map's alias too."
    )
    alias_on_nx: bool = Field(
        description="Whether set_memory_x and _nx look at the direct map's alias too, which makes"
        " their flush a full one."
    )
    cpa_ranged: bool = Field(
        description="Whether set_memory_* may flush a range, where no alias is involved."
    )
    cpa_collapse: bool = Field(
        description="Whether set_memory_rox joins pages to a large leaf again."
    )
    rox_at_once: bool = Field(
        description="Whether set_memory_rox is one change, or set_memory_ro and then set_memory_x."
    )
    memory_encryption: Literal["none", "sev", "sev_tdx"] = Field(
        description="Whose encrypted guests the kernel can be: AMD's, or Intel's too."
    )
    split_under: Literal["cpa_lock", "cpa_and_pgd_lock"] = Field(
        description="Which locks are held over the flush for the split of a large leaf."
    )
    direct_map_flushes: bool = Field(
        description="Whether set_direct_map_*_noflush flush in spite of their name."
    )

    vmemmap_trim: Literal["none", "page", "batch"] = Field(
        description="Whether descriptors of huge pages can be trimmed (hugetlb_optimize_vmemmap),"
        " each with a flush, or many with two."
    )
    vmemmap_kept: int = Field(
        ge=1, le=2, strict=True, description="Pages of descriptors that a trimmed huge page keeps."
    )
    hot_remove: Literal["none", "all", "all_again", "entry"] = Field(
        description="What removing memory flushes: everything for each section and for the direct"
        " map (all), and once more (all_again), or each entry by itself (entry)."
    )

    # Code

    module_loader: Literal[
        "two_areas_rwx",
        "two_areas",
        "seven_areas",
        "seven_areas_rox",
        "seven_areas_rox_once",
        "rox_cache",
    ] = Field(description="Into which areas a module is loaded, and how they are protected.")
    module_table: ModuleTable = Field(
        description="The kernel whose measured modules a workload can name: a module has another"
        " size on each architecture, and in each version (none: segments have to be given)."
    )
    idempotent_loads: bool = Field(
        description="Whether a load of a module that is being loaded waits for that load."
    )
    static_calls: bool = Field(
        description="Whether modules have static-call sites that are patched as they come in."
    )
    text_poke: Literal[
        "per_site",
        "batch",
        "insn_kick",
        "insn",
        "insn_kick_once",
        "fence",
        "fence_once",
        "stop_machine",
    ] = Field(
        description="How sites of code are patched: behind breakpoints, one by one (per_site) or in"
        " batches (batch); by single writes, after each of which or once at the end the others take"
        " an empty call (insn_kick, insn_kick_once), nobody does (insn), or every hart executes"
        " fence.i (fence, fence_once); or while all CPUs are stopped (stop_machine)."
    )
    text_poke_flushes: int = Field(
        ge=0,
        strict=True,
        description="Flushes of a page that all CPUs are told of for each site that is written, to"
        " take away the mapping through which it was.",
    )
    ftrace_module_flushes: int = Field(
        ge=0,
        strict=True,
        description="The same for each function of a module that ftrace makes ready as it loads.",
    )
    text_poke_batch: int = Field(ge=1, strict=True, description="Sites of one batch.")
    icache_sync: bool = Field(
        description="Whether new code is announced to all other CPUs by a call before it is run:"
        " an empty one, or fence.i."
    )
    bpf_images: Literal["interpreted", "per_program_ro", "per_program_ro_x", "pack", "pack_rox"] = (
        Field(
            description="Where the code of BPF programs is and which calls make it executable:"
            " pages of their own (per_program_*) or chunks of a pack; interpreted: there is no JIT."
        )
    )
    bpf_boot_program: bool = Field(
        description="Whether a BPF program is there from boot, so that a pack exists and never"
        " becomes empty."
    )
    bpf_jit_limit: Size = Field(
        description="Bytes of code of BPF programs from which on callers without CAP_BPF are"
        " refused (net.core.bpf_jit_limit); 0B: none."
    )
    bpf_insn_aux: PositiveSize = Field(
        description="What the verifier of bpf(2) allocates for each instruction, and frees again."
    )
    code_range: Literal["modules", "vmalloc"] = Field(
        description="Where images of BPF programs and instruction slots of kprobes lie."
    )
    code_pages: Literal["born", "ro", "ro_x", "rox", "rox_cache"] = Field(
        description="How other pages for code (instruction slots of kprobes, trampolines of ftrace)"
        " become executable: mapped so (born), by the calls named, or taken from a cache of"
        " executable pages (rox_cache)."
    )
    kprobe_arming: Literal["none", "sync", "stop_machine"] = Field(
        description="What arming or disarming a kprobe does to other CPUs: nothing, one call after"
        " which they serialise, or it stops them."
    )
    kprobe_jumps: Literal["none", "patched", "synced"] = Field(
        description="Whether the breakpoint of a kprobe becomes a jump some ticks later, and how"
        " that goes again: as other code is patched, or by two writes, after each of which all CPUs"
        " serialise."
    )
    ftrace: Literal["one_batch", "text_poke", "insn", "stop_machine"] = Field(
        description="How the sites of ftrace are patched: behind breakpoints all at once"
        " (one_batch) or through text_poke, by single writes, or while all CPUs are stopped."
    )
    ftrace_trampolines: bool = Field(description="Whether a tracer gets a trampoline of its own.")
    ftrace_entry_sites: int = Field(
        ge=0,
        strict=True,
        description="Calls in the common entry of ftrace, patched where another function is to be"
        " called from there; 0: left out.",
    )
    ftrace_entry_again: bool = Field(
        description="Whether those calls are patched also where they call the list of all tracers"
        " already, as they do while sites change."
    )
    ftrace_opens_text: bool = Field(
        description="Whether switching tracing makes the kernel's and all modules' code writable."
    )

    livepatch: bool = Field(description="Whether functions can be patched while they run.")
    klp_resched: Literal["none", "static_call", "static_key"] = Field(
        description="Whether tasks that compute in the kernel are made to switch to patched code"
        " too: not (none), by every call of cond_resched, which are patched (static_call), or by a"
        " branch in the scheduler (static_key)."
    )

    # Pools

    pmalloc: Literal["v21", "v23", "prmem", "modern"] = Field(
        description="Which pmalloc stands in the kernel: v21; v23 or prmem, which followed it; or"
        " modern, v21 brought to a kernel that has VM_FLUSH_RESET_PERMS."
    )
    kmalloc_minalign: PositiveSize = Field(
        description="Alignment of what kmalloc returns, and of a pool that asks for none."
    )

    @model_validator(mode="after")
    def _holds_whole_leaves(self) -> KernelProfile:
        if self.direct_map_size % self.direct_map_leaf:
            key = "memory" if self.memory <= self.lowmem else "lowmem"
            raise refused(
                f"bad-{key}",
                f"{key} is no multiple of direct_map_leaf",
                "round it to whole leaves, for example 64GiB",
            )
        return self

    @model_validator(mode="after")
    def _ranges_end_in_the_address_space(self) -> KernelProfile:
        ranges = {
            "page_offset": (self.page_offset, self.direct_map_size),
            "vmalloc_start": self.vmalloc_range,
            "modules_start": self.modules_range,
        }
        for key, (start, size) in ranges.items():
            if start % self.page_size:
                raise refused("bad-range", f"{key} is not at the start of a page")
            if start + size > 1 << 8 * self.word_bytes:
                message = f"what begins at {key} ends beyond the address space"
                raise refused("bad-range", message, f"{format_size(size)} have to fit behind it")
        return self

    @model_validator(mode="after")
    def _has_what_pmalloc_needs(self) -> KernelProfile:
        if self.pmalloc == "modern" and not self.reset_perms:
            raise refused(
                "impossible",
                "pmalloc modern needs reset_perms: its areas are freed with VM_FLUSH_RESET_PERMS",
                "leave reset_perms true, or take v21, v23 or prmem",
            )
        return self

    def shootdown_on(self, costs: MachineCosts) -> Shootdown:
        """Return how this kernel has other CPUs told on a machine of these costs.

        Raises
        ------
        MissingCostsError
            If the machine gives no costs for it.
        """
        if isinstance(self.shootdown, Shootdown):
            wanted = [self.shootdown]
        else:
            wanted = [Shootdown(PROTOCOLS[name]) for name in self.invalidate_by.split("_or_")]
        for one in wanted:
            if one.protocol.costs_on(costs) is not None:
                return self._with_errata(self._without_shorthand(one, costs), costs)
        raise MissingCostsError(self.name, wanted[-1].protocol)

    def _with_errata(self, shootdown: Shootdown, costs: MachineCosts) -> Shootdown:
        """Have a kernel repeat broadcasts on a machine that needs it, if it knows of that."""
        needed = costs.tlbi is not None and costs.tlbi.erratum_4118414
        if shootdown.protocol is not TLBI or not needed:
            return shootdown
        if shootdown.value(REPEAT_SYNC.name) != "native":
            return shootdown
        repeats = {**dict(shootdown.chosen), REPEAT_SYNC.name: self.repeat_tlbi}
        return with_options(TLBI, repeats)

    def _without_shorthand(self, shootdown: Shootdown, costs: MachineCosts) -> Shootdown:
        """Have a kernel leave alone what the machine's interrupt controller could do."""
        may = self.ipi_shorthand or not costs.ipi.shorthand
        if may or shootdown.value(SHORTHAND.name) != "native":
            return shootdown
        return with_options(shootdown.protocol, {**dict(shootdown.chosen), SHORTHAND.name: "false"})

    @property
    def word_bytes(self) -> int:
        """Bytes of a pointer."""
        return 4 if self.arch in NARROW else 8

    @property
    def geometry(self) -> Geometry:
        """Shape of the page table."""
        return _geometry(vars(self))

    @property
    def direct_map_level(self) -> int:
        """Level of the page table at which the direct map's leaves stand at the start."""
        return self.geometry.leaf_sizes.index(self.direct_map_leaf) + 1

    @property
    def direct_map_start(self) -> int:
        """Where the direct map starts."""
        return self.page_offset

    @property
    def direct_map_size(self) -> int:
        """Bytes of memory that the direct map holds; what lies above is highmem."""
        return min(self.memory, self.lowmem)

    @property
    def vmalloc_range(self) -> tuple[int, int]:
        """First address and size in bytes of the vmalloc range."""
        return self.vmalloc_start, self.vmalloc_size

    @property
    def modules_range(self) -> tuple[int, int]:
        """First address and size in bytes of the range for modules."""
        return self.modules_start, self.modules_size
