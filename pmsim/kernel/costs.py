"""CPU time of the kernel's own work, for a machine that gives none.

Each constant is *derived* from a measurement, and says from which, or an *estimate*; both have the
range that their basis gives (`pmsim.constants.FACTORS`), unless another one stands here. A platform
file may give its own values under ``costs: kernel:``. What a shootdown costs is not here: that is
the machine's (`pmsim.hardware.costs`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Final

from pmsim.constants import Basis, Constant, Ends, Group
from pmsim.units import MS, NS, PAGE_SIZE, US, Bytes, S

LONGEST_WORK: Final = 1000 * S
"""The longest that one piece of kernel work may take."""


def work(
    text: str, note: str = "", basis: Basis = "estimate", between: Ends | None = None
) -> Constant:
    """Return how the CPU time of one piece of work is declared; see `Constant`."""
    return Constant(text=text, note=note, basis=basis, most=LONGEST_WORK, range=between)


BY_BYTE: Final = ("user_page_zero", "user_page_copy", "clflush_page")
"""Costs of a page that go with its bytes; what is given is that of 4 KiB."""


@dataclass(frozen=True, slots=True)
class KernelCosts(Group):
    """CPU time of each piece of kernel work, in picoseconds.

    Notes
    -----
    ``vmalloc`` and ``vfree`` together, with the page costs of 4 pages, make the 0.98 µs that
    Uladzislau Rezki measured for vmalloc(16 KiB) + vfree on AMD Milan (2025, thread "vmalloc: use
    larger order allocations"); 0.15 µs for each further page is an estimate. How the pair divides
    into its two halves, and what part of each is spent under the area lock, are estimates too.
    """

    vmalloc: Annotated[
        int,
        work(
            "vmalloc outside the area lock, without its pages.",
            ": see the notes",
            basis="derived",
        ),
    ] = 180 * NS
    vmalloc_page: Annotated[int, work("vmalloc, each page: allocate it and write its entry.")] = (
        110 * NS
    )
    vfree: Annotated[
        int,
        work(
            "vfree outside the area lock, without its pages.",
            ": see the notes",
            basis="derived",
        ),
    ] = 100 * NS
    vfree_page: Annotated[int, work("vfree, each page: clear its entry and free it.")] = 40 * NS
    vmap: Annotated[
        int, work("vmap or vunmap, vm_map_ram or vm_unmap_ram, outside locks, without its pages.")
    ] = 150 * NS
    vmap_page: Annotated[
        int, work("Each page of these: write or clear its entry.", ", as set_memory_page")
    ] = 30 * NS
    pte_barrier: Annotated[
        int,
        work(
            "Barrier behind entries of the kernel's page table, where the kernel needs one (arm64):"
            " behind each, or behind all of a table.",
        ),
    ] = 0
    area_lock_hold: Annotated[
        int,
        work(
            "Each stay under a lock of the areas, with what it guards in this CPU's caches: 4 stays"
            " in a vmalloc and a vfree of 6.12, 7 of 6.1.",
        ),
    ] = 25 * NS
    area_step: Annotated[
        int,
        work(
            "Search for a place up to 5.1: look at one area, and go on to the next in the list.",
            ", 2 to 20 ns: one hit in the second or third cache",
        ),
    ] = 5 * NS
    purge_area: Annotated[
        int,
        work("Purge: return one freed area to the free ranges, with all of it in the caches."),
    ] = 50 * NS
    alias_scan_cpu: Annotated[
        int, work("vm_unmap_aliases: look at one possible CPU's vmap blocks.")
    ] = 5 * NS
    set_memory: Annotated[int, work("set_memory_*, fixed part.")] = 1 * US
    set_memory_page: Annotated[
        int,
        work(
            "set_memory_*, each page's entry, and again for its alias in the direct map.",
            "; the analogue on arm64 is 20 ns (derived)",
            between=(20 * NS, 40 * NS),
        ),
    ] = 30 * NS
    split: Annotated[
        int,
        work("Split a large leaf of the direct map, without its flush.", between=(2 * US, 4 * US)),
    ] = 3 * US
    alloc_pages: Annotated[int, work("alloc_pages or free_pages, one block of any order.")] = (
        150 * NS
    )
    page_fault: Annotated[int, work("A write that faults: exception, and its report.")] = 1 * US
    vmalloc_fault: Annotated[
        int,
        work(
            "A fault on a mapping that is new to an address space, or to a CPU: exception,"
            " and one entry copied or one fence.",
            ", half a page_fault",
        ),
    ] = 500 * NS
    sync_address_space: Annotated[
        int,
        work(
            "Write a new top-level entry into one more address space: its lock, and a cache"
            " line that is elsewhere.",
        ),
    ] = 50 * NS
    copy_entry: Annotated[
        int, work("Copy one of many top-level entries that follow each other.")
    ] = 1 * NS
    pmalloc: Annotated[
        int, work("One object from a pool that need not grow: mutex and arithmetic.")
    ] = 30 * NS
    pool: Annotated[int, work("Create or destroy a pool's own object.")] = 200 * NS
    area_lookup: Annotated[int, work("Find the area of an address and link it to a pool.")] = (
        100 * NS
    )
    fill_byte: Annotated[int, work("memset and memcpy, each byte: 10 GB/s.")] = 100
    thread_create: Annotated[
        int,
        work(
            "clone of a thread, without its stack: copy_process and the first switch to it.",
            between=(10 * US, 30 * US),
        ),
    ] = 15 * US
    thread_exit: Annotated[
        int, work("do_exit of a thread, without its stack.", between=(5 * US, 20 * US))
    ] = 10 * US
    user_mmap: Annotated[
        int, work("mmap of user memory: enter the kernel, make a mapping.", ", 0.5 to 3 µs")
    ] = 1 * US
    user_mprotect: Annotated[
        int,
        work(
            "mprotect of user memory, fixed part: enter the kernel, split mappings and merge them.",
            ": 0.5 µs where no mapping is split (1,500 cycles with one page, Amit 2022), 2.0 on a"
            " Phytium FTC862, 3.1 for a part of a mapping in a guest of Linux 6.18 on Milan",
            between=(500 * NS, 3100 * NS),
        ),
    ] = 1500 * NS
    user_munmap: Annotated[
        int,
        work(
            "munmap of user memory, fixed part: enter the kernel, take the mapping away.",
            ": about twice madvise in a guest on Milan, 4.5 µs on a Phytium FTC862",
            between=(500 * NS, 4800 * NS),
        ),
    ] = 1500 * NS
    user_madvise: Annotated[
        int,
        work(
            "madvise(MADV_DONTNEED), fixed part: enter the kernel, find the mapping.",
            ": 0.1 to 0.2 µs in a loop on Haswell (Amit 2019), 1.3 in a guest on Milan, 1.5 on a"
            " Phytium FTC862",
            between=(120 * NS, 1500 * NS),
        ),
    ] = 600 * NS
    user_membarrier: Annotated[
        int,
        work(
            "membarrier (private expedited) of a process with several threads, fixed part: enter"
            " the kernel, look at what each CPU runs.",
            ": 0.4 µs on two CPUs of a guest on Milan",
            between=(150 * NS, 1 * US),
        ),
    ] = 400 * NS
    user_mapping_page: Annotated[
        int,
        work(
            "Each page of these: change or clear its entry.",
            ", as set_memory_page; 17 ns on Milan (1 to 1,000 pages of mprotect in 6.16; see"
            " user_mprotect_batch), 18 on a Phytium FTC862",
        ),
    ] = 20 * NS
    user_mprotect_batch: Annotated[
        int,
        work(
            "mprotect, each page: look for others of its folio to change with it (6.17 and later,"
            " `mprotect_batches`).",
            ": 42.4 ns a page in 6.17-rc1 less 17.1 in 6.16, on Milan (Luke Yang, mail of"
            " 2026-02-13 on cac1db8c3aad: 1,713 and 18,804 ns for 1 and 1,000 pages, 1,775 and"
            " 44,116 with batches)",
            basis="derived",
            between=(12 * NS, 50 * NS),
        ),
    ] = 25 * NS
    user_page_free: Annotated[
        int,
        work(
            "Each page that munmap or madvise frees: its reverse mapping, its counts, the page"
            " allocator.",
            ": 160 to 165 ns on a Phytium FTC862 with the entry and the list, 0.25 to 1 MiB",
            between=(80 * NS, 230 * NS),
        ),
    ] = 120 * NS
    lru_page: Annotated[
        int,
        work("Put a page on the list of pages in use, or take it off, under their lock."),
    ] = 20 * NS
    user_fault: Annotated[
        int,
        work(
            "First touch of a page of user memory: exception, a page, its entry; without zeroing.",
            ": 0.2 µs in a loop on Haswell (Amit 2019), 2.5 in a guest on Milan, with zeroing",
            between=(200 * NS, 2500 * NS),
        ),
    ] = 500 * NS
    user_read_fault: Annotated[
        int,
        work(
            "First read of a page of user memory: exception, and an entry for the page of zeros.",
            ", three fifths of a first touch, which also allocates, counts and lists a page",
            between=(100 * NS, 1500 * NS),
        ),
    ] = 300 * NS
    user_page_zero: Annotated[
        int, work("Fill a page with zeros.", ", in the caches 60 ns, in memory 400")
    ] = 150 * NS
    user_page_copy: Annotated[
        int, work("Copy a page to another, in memory.", ", 0.1 µs in the caches, 0.5 between nodes")
    ] = 250 * NS
    clflush_page: Annotated[
        int,
        work(
            "Write a page back and drop it from all caches: 64 CLFLUSHOPT.",
            ", 5 to 40 ns a line",
            between=(300 * NS, 2500 * NS),
        ),
    ] = 640 * NS
    vmemmap_page: Annotated[
        int,
        work(
            "Trim or restore the descriptors of a huge page, each of its pages: free or allocate"
            " it, write its entry.",
        ),
    ] = 200 * NS
    hot_remove_page: Annotated[
        int,
        work("Remove memory, each entry of its mappings, without its flush."),
    ] = 20 * NS
    kmap: Annotated[
        int, work("kmap or kunmap of a highmem page: its lock, its slot, its entry.")
    ] = 80 * NS
    user_page_migrate: Annotated[
        int,
        work(
            "Move a page to another node, without copying it: take it off its list, a new page,"
            " its reverse mapping, its entry.",
            between=(700 * NS, 4 * US),
        ),
    ] = 1500 * NS
    user_page_reclaim: Annotated[
        int,
        work(
            "Take a page from a process, without its flush: look at its references, find and clear"
            " its entry, free it or give it to the swap cache.",
            between=(300 * NS, 2 * US),
        ),
    ] = 600 * NS
    user_fork: Annotated[
        int,
        work(
            "fork of a process, without its pages: copy_process, its mappings and their tables.",
            between=(30 * US, 200 * US),
        ),
    ] = 60 * US
    user_fork_page: Annotated[
        int,
        work(
            "fork, each page that is mapped: copy its entry, write-protect it, count it.",
            ": 34 to 50 ns for some GB on servers of 2010 (redis.io, latency, from memory)",
            between=(10 * NS, 60 * NS),
        ),
    ] = 35 * NS
    user_exec: Annotated[
        int,
        work(
            "execve, without the pages of the program before: read the file, make mappings.",
            between=(150 * US, 1 * MS),
        ),
    ] = 300 * US
    module_load: Annotated[
        int,
        work(
            "Load a module, up to its place in memory: read, check, lay out, copy; a"
            " duplicate costs it too.",
            ", with module_link 1 to 5 ms",
        ),
    ] = 1500 * US
    module_link: Annotated[
        int, work("Load a module, from there on: resolve its symbols, relocate.")
    ] = 500 * US
    module_init: Annotated[
        int,
        work("A module's init function.", "; it depends on the module", between=(10 * US, 1 * MS)),
    ] = 100 * US
    module_unload: Annotated[int, work("Unload a module: exit function, unlink, sysfs.")] = 200 * US
    text_poke_site: Annotated[
        int,
        work(
            "Write to one site of code once, through a mapping made for it and flushed on"
            " this CPU. On x86 each site is written up to three times.",
        ),
    ] = 350 * NS
    bpf_load: Annotated[
        int,
        work(
            "Check a BPF program and translate it.",
            "; a socket filter takes the least, a large program the most",
            between=(5 * US, 5 * MS),
        ),
    ] = 100 * US
    rcu_grace_period: Annotated[
        int, work("synchronize_rcu: time asleep, no CPU time.", ", some ticks of 4 ms")
    ] = 20 * MS

    def of_pages(self, page_size: Bytes) -> KernelCosts:
        """Return them for pages of another size than 4 KiB: what goes with bytes, goes with it."""
        times = page_size // PAGE_SIZE
        if times == 1:
            return self
        return replace(self, **{name: getattr(self, name) * times for name in BY_BYTE})
