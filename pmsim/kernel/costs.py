"""CPU time of kernel work, apart from what the hardware does for it.

Each default carries its basis: *quoted* from a published measurement, *derived* from quoted ones by
arithmetic, or an *estimate*, to be read as a prior with a range of a factor of two each way. A
platform file may give its own values under ``costs: kernel:``. What a broadcast costs is not here:
that is the machine's (`pmsim.hardware.costs`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from pmsim.quantities import Time
from pmsim.units import MS, NS, US


class KernelCosts(BaseModel):
    """CPU time of each piece of kernel work, in picoseconds.

    Notes
    -----
    ``vmalloc`` and ``vfree`` together, with the page costs of 4 pages, make the 0.98 us that
    Uladzislau Rezki measured for vmalloc(16 KiB) + vfree on AMD Milan (2025, thread "vmalloc: use
    larger order allocations"); 0.15 us for each further page is an estimate. How the pair divides
    into its two halves, and what part of each is spent under the area lock, are estimates too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    vmalloc: Time = Field(
        default=180 * NS,
        description="vmalloc outside the area lock, without its pages. Derived: see the notes.",
    )
    vmalloc_page: Time = Field(
        default=110 * NS,
        description="vmalloc, each page: allocate it and write its entry. Estimate.",
    )
    vfree: Time = Field(
        default=100 * NS,
        description="vfree outside the area lock, without its pages. Derived: see the notes.",
    )
    vfree_page: Time = Field(
        default=40 * NS,
        description="vfree, each page: clear its entry and free it. Estimate.",
    )
    vmap: Time = Field(
        default=150 * NS,
        description="vmap or vunmap, vm_map_ram or vm_unmap_ram, outside locks, without its pages."
        " Estimate.",
    )
    vmap_page: Time = Field(
        default=30 * NS,
        description="Each page of these: write or clear its entry. Estimate, as set_memory_page.",
    )
    area_lock_hold: Time = Field(
        default=50 * NS,
        description="Each stay under the lock of the address ranges, in vmalloc and in vfree."
        " Estimate.",
    )
    purge_area: Time = Field(
        default=50 * NS,
        description="Purge: return one freed area to the free ranges. Estimate.",
    )
    alias_scan_cpu: Time = Field(
        default=5 * NS,
        description="vm_unmap_aliases: look at one possible CPU's vmap blocks. Estimate.",
    )
    set_memory: Time = Field(
        default=1 * US,
        description="set_memory_*, fixed part. Estimate.",
    )
    set_memory_page: Time = Field(
        default=30 * NS,
        description="set_memory_*, each page's entry, and again for its alias in the direct map."
        " Estimate, 20 to 40 ns; the analogue on arm64 is 20 ns (derived).",
    )
    split: Time = Field(
        default=3 * US,
        description="Split a large leaf of the direct map, without its flush. Estimate, 2 to 4 us.",
    )
    alloc_pages: Time = Field(
        default=150 * NS,
        description="alloc_pages or free_pages, one block of any order. Estimate.",
    )
    page_fault: Time = Field(
        default=1 * US,
        description="A write that faults: exception, and its report. Estimate.",
    )
    vmalloc_fault: Time = Field(
        default=500 * NS,
        description="A fault on a mapping that is new to an address space, or to a CPU: exception,"
        " and one entry copied or one fence. Estimate, half a page_fault.",
    )
    sync_address_space: Time = Field(
        default=50 * NS,
        description="Write a new top-level entry into one more address space: its lock, and a"
        " cache line that is elsewhere. Estimate.",
    )
    copy_entry: Time = Field(
        default=1 * NS,
        description="Copy one of many top-level entries that follow each other. Estimate.",
    )
    pmalloc: Time = Field(
        default=30 * NS,
        description="One object from a pool that need not grow: mutex and arithmetic. Estimate.",
    )
    pool: Time = Field(
        default=200 * NS,
        description="Create or destroy a pool's own object. Estimate.",
    )
    area_lookup: Time = Field(
        default=100 * NS,
        description="Find the area of an address and link it to a pool. Estimate.",
    )
    fill_byte: Time = Field(
        default=100,
        description="memset and memcpy, each byte: 10 GB/s. Estimate.",
    )
    thread_create: Time = Field(
        default=15 * US,
        description="clone of a thread, without its stack: copy_process and the first switch to it."
        " Estimate, 10 to 30 us.",
    )
    thread_exit: Time = Field(
        default=10 * US,
        description="do_exit of a thread, without its stack. Estimate, 5 to 20 us.",
    )
    user_mapping: Time = Field(
        default=500 * NS,
        description="mprotect, munmap or madvise of user memory, fixed part: enter the kernel, find"
        " the mapping. Estimate.",
    )
    user_mapping_page: Time = Field(
        default=20 * NS,
        description="Each page of these: change or clear its entry. Estimate, as set_memory_page.",
    )
    module_load: Time = Field(
        default=1500 * US,
        description="Load a module, up to its place in memory: read, check, lay out, copy; a"
        " duplicate costs it too. Estimate, with module_link 1 to 5 ms.",
    )
    module_link: Time = Field(
        default=500 * US,
        description="Load a module, from there on: resolve its symbols, relocate. Estimate.",
    )
    module_init: Time = Field(
        default=100 * US,
        description="A module's init function. Estimate; it depends on the module.",
    )
    module_unload: Time = Field(
        default=200 * US,
        description="Unload a module: exit function, unlink, sysfs. Estimate.",
    )
    text_poke_site: Time = Field(
        default=350 * NS,
        description="Write to one site of code once, through a mapping made for it and flushed on"
        " this CPU. On x86 each site is written up to three times. Estimate.",
    )
    bpf_load: Time = Field(
        default=100 * US,
        description="Check a BPF program and translate it. Estimate; some microseconds for a socket"
        " filter, milliseconds for a large program.",
    )
    rcu_grace_period: Time = Field(
        default=20 * MS,
        description="synchronize_rcu: time asleep, no CPU time. Estimate, some ticks of 4 ms.",
    )
