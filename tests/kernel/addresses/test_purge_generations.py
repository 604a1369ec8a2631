"""Who purges, and what else is flushed with the list, in the generations of the kernel."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.addresses.ranges import FreedArea
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.units import NS, PAGE_SIZE, US
from tests.kernel.booted import Booted, full, ranged

Calls = Generator[Any, Any, Any]
X86_64 = [name for name in profile_names() if name.endswith("x86_64")]
TASK = [name for name in profile_names() if load_profile(name).purge_by == "task"]
WORK_ITEM = [name for name in profile_names() if load_profile(name).purge_by == "work_item"]


def churn(kernel: KernelHandle, times: int) -> Calls:
    for _ in range(times):
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize(("frees", "cpus"), [(96, 4), (97, 4), (500, 4), (500, 8)])
def test_m_frees_of_a_page_are_purged_once_for_each_half_limit_and_one_more(
    profile: str, frees: int, cpus: int
) -> None:
    # Limits of 3 x 64 and 4 x 64 pages; each free adds 2, its guard included.
    booted = Booted(cpus, profile=profile, lazy_max_unit="256KiB")
    booted.run(lambda kernel: churn(kernel, frees))
    limit = cpus.bit_length() * 64
    purges = [row["pages"] for row in booted.of_kind("purge")]
    assert purges == [limit + 2] * (frees // (limit // 2 + 1))
    assert len(booted.flushes) == len(purges)


@pytest.mark.parametrize("profile", TASK)
def test_up_to_5_17_the_freeing_task_purges(profile: str) -> None:
    booted = Booted(4, profile=profile, lazy_max_unit="256KiB")
    booted.run(lambda kernel: churn(kernel, 97))
    (purge,) = booted.of_kind("purge")
    assert purge["workload"] == "program 1"
    assert purge["parent"] == booted.of_kind("vfree")[-1]["id"]


@pytest.mark.parametrize("profile", WORK_ITEM)
def test_from_6_1_on_a_work_item_purges(profile: str) -> None:
    booted = Booted(4, profile=profile, lazy_max_unit="256KiB")
    booted.run(lambda kernel: churn(kernel, 97))
    (purge,) = booted.of_kind("purge")
    assert (purge["workload"], purge["parent"]) == ("kworker/0:0", -1)


@pytest.mark.parametrize("profile", TASK)
def test_who_finds_a_task_purging_does_not_wait_for_it(profile: str) -> None:
    # Three calls of vfree are shorter than a broadcast.
    costs = KernelCosts(vfree=0, vfree_page=0)
    booted = Booted(4, costs, profile=profile, lazy_max_unit="256KiB")
    purge = booted.kernel.purge

    def other(kernel: KernelHandle) -> Calls:
        areas = []
        for _ in range(3):
            areas.append((yield from kernel.vmalloc(PAGE_SIZE)))
        while purge.purge_lock.owner is None:
            yield from kernel.task.compute(50 * NS)
        for area in areas:
            yield from kernel.vfree(area)
        assert purge.purge_lock.owner is not None

    booted.spawn(lambda kernel: churn(kernel, 97), 0)
    booted.spawn(other, 1)
    booted.run()
    # Its areas came too late for this purge, and nobody else is asked for another.
    assert [row["pages"] for row in booted.of_kind("purge")] == [194]
    assert purge.lazy_pages == 6
    # A broadcast takes more than 1 us; for the locks of the areas they wait less.
    assert max(row["lock_wait_ps"] for row in booted.of_kind("vfree")) < 500 * NS


@pytest.mark.parametrize(("passes", "purges"), [("until_below", [2, 398]), ("one", [2])])
def test_a_work_item_purges_until_less_than_the_limit_is_left_or_once(
    passes: str, purges: list[int]
) -> None:
    # A limit of 192 pages. While one area is purged, 199 more are freed.
    booted = Booted(4, purge_passes=passes, lazy_max_unit="256KiB")
    purge = booted.kernel.purge

    def drainer(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(10**9)
        yield from kernel.drain_vmap_area()

    def other(kernel: KernelHandle) -> Calls:
        areas = []
        for _ in range(200):
            areas.append((yield from kernel.vmalloc(PAGE_SIZE)))
        yield from kernel.vfree(areas.pop())
        while purge.purge_lock.owner is None:
            yield from kernel.task.compute(50 * NS)
        # Put there at once: a broadcast is over before 199 calls of vfree are. Nobody is asked.
        for area in areas:
            purge.put(1, FreedArea(area.address // PAGE_SIZE, 2, area.range))

    booted.spawn(drainer, 0)
    booted.spawn(other, 1)
    booted.run()
    assert [row["pages"] for row in booted.of_kind("purge")] == purges


@pytest.mark.parametrize("profile", profile_names())
def test_neighbours_on_the_list_are_freed_as_one_where_the_list_merges_them(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        areas = []
        for _ in range(10):
            areas.append((yield from kernel.vmalloc(PAGE_SIZE)))
        for area in areas:
            yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()

    booted = Booted(profile=profile).run(program)
    (purge,) = booted.of_kind("purge")
    merges = profile in ("linux-5.15-x86_64", "linux-6.6-x86_64")
    merges |= profile.startswith(("linux-6.1-", "linux-6.1.y-"))
    assert purge["run_ps"] == booted.kernel.costs.purge_area * (1 if merges else 10)


def partly_dirty(kernel: KernelHandle) -> Calls:
    """Leave a block of vm_map_ram with a live mapping, and 4 pages of it dirty."""
    block = yield from kernel.alloc_pages(2)
    yield from kernel.vm_map_ram(block)
    yield from kernel.vm_unmap_ram((yield from kernel.vm_map_ram(block)))


@pytest.mark.parametrize("profile", X86_64)
def test_a_dirty_block_costs_every_set_memory_call_a_flush_up_to_6_4_and_one_later(
    profile: str,
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from partly_dirty(kernel)
        for _ in range(3):
            yield from kernel.set_memory_ro(0xFFFFC90000000000, 0)

    once = load_profile(profile).dirty_blocks == "once"
    assert Booted(profile=profile).run(program).flushes == [ranged("purge", 4)] * (1 if once else 3)


def test_a_block_that_was_given_out_wholly_is_flushed_too_since_6_5() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(6)
        mappings = []
        for _ in range(16):
            mappings.append((yield from kernel.vm_map_ram(block)))
        yield from kernel.vm_unmap_ram(mappings[1])
        yield from kernel.vm_unmap_aliases()
        yield from kernel.vm_unmap_ram(mappings[3])
        yield from kernel.vm_unmap_aliases()
        for mapping in [*mappings[4:], mappings[0], mappings[2]]:
            yield from kernel.vm_unmap_ram(mapping)
        assert kernel.kernel.vmalloc.lazy_pages == 1024

    assert Booted(profile="linux-6.1-x86_64").run(program).flushes == []
    assert Booted(profile="linux-6.6-x86_64").run(program).flushes == [full("purge", 64)] * 2


@pytest.mark.parametrize(
    ("profile", "mapped", "given_up"),
    [
        ("linux-6.1-x86_64", 4, True),
        ("linux-6.6-x86_64", 4, False),
        ("linux-6.6-x86_64", 12, False),
        ("linux-6.6-x86_64", 13, True),
    ],
)
def test_a_block_of_which_nothing_is_mapped_is_kept_while_a_quarter_is_left_since_6_5(
    profile: str, mapped: int, given_up: bool
) -> None:
    # Mappings of 64 pages in a block of 1,024: 12 of them leave just a quarter.
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(6)
        first = None
        for _ in range(mapped):
            mapping = yield from kernel.vm_map_ram(block)
            first = first or mapping
            yield from kernel.vm_unmap_ram(mapping)
        yield from kernel.vm_unmap_aliases()
        last = yield from kernel.vm_map_ram(block)
        assert (last.block is not first.block) == given_up

    booted = Booted(profile=profile).run(program)
    assert booted.flushes == [full("purge", 1024 if given_up else 64 * mapped)]


def test_without_addresses_every_unused_block_is_given_up() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(0)
        yield from kernel.vm_unmap_ram((yield from kernel.vm_map_ram(block)))
        assert (yield from kernel.vmalloc(500 * PAGE_SIZE)) is not None

    # One block of 1,024 pages is all there is.
    booted = Booted(profile="linux-6.6-x86_64", vmalloc_size="4MiB").run(program)
    assert booted.flushes == [full("purge", 1024)]


@pytest.mark.parametrize("lock", ["purge", "scan"])
def test_a_purge_under_way_is_waited_for_after_the_scan_and_since_6_5_before_it(lock: str) -> None:
    def first(kernel: KernelHandle) -> Calls:
        yield from churn(kernel, 1)
        yield from kernel.vm_unmap_aliases()

    def second(kernel: KernelHandle) -> Calls:
        yield from kernel.task.compute(US)
        yield from kernel.vm_unmap_aliases()

    booted = Booted(alias_lock=lock)
    booted.spawn(first, 0)
    booted.spawn(second, 1)
    booted.run()
    assert booted.flushes == [ranged("purge", 2)]
    purger, waiter = sorted(booted.of_kind("vm_unmap_aliases"), key=lambda row: row["cpu"])
    # The lock is handed over as the purge ends, to a waiter that spins: the line of that, and then
    # the lock's own to write to.
    scan = 4 * booted.kernel.costs.alias_scan_cpu
    after = (40 + 40) * NS + (scan if lock == "scan" else 0)
    assert waiter["end_ps"] - purger["end_ps"] == after


@pytest.mark.parametrize(
    ("profile", "block", "limit"),
    [("linux-6.1-x86_64", 1024, 64), ("linux-4.16-x86_32", 256, 32), ("linux-6.1-arm32", 256, 32)],
)
def test_blocks_and_what_is_carved_from_them_are_smaller_on_32_bit_machines(
    profile: str, block: int, limit: int
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        pages = yield from kernel.alloc_pages(limit.bit_length() - 1)
        carved = yield from kernel.vm_map_ram(pages)
        assert carved.block.pages == block
        larger = yield from kernel.alloc_pages(limit.bit_length())
        assert (yield from kernel.vm_map_ram(larger)).block is None

    Booted(profile=profile).run(program)


@pytest.mark.parametrize("profile", ["linux-4.16-x86_64", "linux-6.1-x86_64", "linux-6.12-x86_64"])
@pytest.mark.parametrize(("frees", "purges"), [(28_672, 0), (28_673, 1)])
def test_on_64_cpus_28_673_freed_pages_with_their_guards_make_the_first_purge(
    profile: str, frees: int, purges: int
) -> None:
    booted = Booted(64, profile=profile).run(lambda kernel: churn(kernel, frees))
    assert booted.flushes == [full("purge", 2 * 28_673)] * purges


@pytest.mark.parametrize("profile", profile_names())
def test_what_a_kernel_remembers_does_not_grow_with_the_number_of_frees(profile: str) -> None:
    def remembered(frees: int) -> tuple[int, int, int]:
        booted = Booted(4, profile=profile, lazy_max_unit="256KiB")
        booted.run(lambda kernel: churn(kernel, frees))
        kernel = booted.kernel
        free = kernel.vmalloc.ranges["vmalloc"].space.blocks()
        return kernel.pagetable.tables_allocated, len(free), kernel.vmalloc.lazy_pages

    # After a purge and half the way to the next, and after five times as many.
    assert remembered(145) == remembered(145 + 4 * 97)
