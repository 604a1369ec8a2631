"""vmalloc and vfree."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.entries import PAGE_KERNEL, PRESENT, RW
from pmsim.units import GIB, KIB, MIB, MS, NS, PAGE_SIZE
from tests.kernel.booted import Booted, full, ranged

Calls = Generator[Any, Any, Any]
VMALLOC_START = 0xFFFFC90000000000
MODULES_START = 0xFFFFFFFFC0000000


def test_an_area_has_whole_pages_mapped_and_a_guard_page_behind() -> None:
    def program(kernel: KernelHandle) -> Calls:
        first = yield from kernel.vmalloc("9000B")
        second = yield from kernel.vmalloc(1)
        assert (first.address, first.pages) == (VMALLOC_START, 3)
        assert second.address == first.address + 4 * PAGE_SIZE
        table = kernel.kernel.pagetable
        mapped = [entry != 0 for entry in table.read(first.address, 6).tolist()]
        assert mapped == [True, True, True, False, True, False]
        leaf = table.walk(first.address)
        assert leaf.entry & 0xFFF == PAGE_KERNEL & 0xFFF

    assert Booted().run(program).flushes == []


def test_pages_of_an_area_are_those_of_the_direct_map_under_another_address() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(2 * PAGE_SIZE)
        table, direct = kernel.kernel.pagetable, kernel.kernel.direct_map
        ((pfn, count),) = area.runs
        assert count == 2
        physical = table.translate(area.address + PAGE_SIZE)
        assert physical == table.translate(direct.address(pfn + 1)) == (pfn + 1) * PAGE_SIZE

    Booted().run(program)


def test_modules_have_a_range_of_their_own() -> None:
    def program(kernel: KernelHandle) -> Calls:
        vmalloc = kernel.kernel.vmalloc
        area = yield from vmalloc.vmalloc_in(kernel.task, PAGE_SIZE, "modules")
        assert area.address == MODULES_START
        assert not vmalloc.is_vmalloc_addr(area.address)
        other = yield from kernel.vmalloc(PAGE_SIZE)
        assert other.address == VMALLOC_START
        assert vmalloc.is_vmalloc_addr(other.address)

    Booted().run(program)


@pytest.mark.parametrize("size", [0, 65 * GIB, 2**64 - 1])
def test_no_bytes_and_more_than_all_memory_give_null(size: int) -> None:
    def program(kernel: KernelHandle) -> Calls:
        assert (yield from kernel.vmalloc(size)) is None
        yield from kernel.vfree(None)

    booted = Booted().run(program)
    assert len(booted.operations) == 1
    assert booted.kernel.vmalloc.lazy_pages == 0


def test_a_negative_size_is_an_error_of_the_program() -> None:
    with pytest.raises(ProgramError, match="vmalloc of -1 bytes"):
        Booted().run(lambda kernel: kernel.vmalloc(-1))


def test_vfree_flushes_nothing_and_its_pages_serve_again_at_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        first = yield from kernel.vmalloc(16 * KIB)
        yield from kernel.vfree(first)
        assert kernel.kernel.vmalloc.lazy_pages == 5
        assert kernel.kernel.pagetable.read(first.address, 4).tolist() == [0] * 4
        second = yield from kernel.vmalloc(16 * KIB)
        assert second.runs == first.runs
        assert second.address == first.address + 5 * PAGE_SIZE

    assert Booted().run(program).flushes == []


def test_an_area_is_freed_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree(area)
        yield from kernel.vfree(area)

    with pytest.raises(UndefinedBehaviour, match="for the second time"):
        Booted().run(program)


@pytest.mark.parametrize(
    ("pages", "lazy", "areas"), [(511, 512, 1), (512, 513, 1), (513, 514 + 3, 2), (2047, 2053, 2)]
)
def test_page_pointers_of_more_than_512_pages_are_an_area_of_their_own(
    pages: int, lazy: int, areas: int
) -> None:
    # 2,047 pages free 2,048 and 5: counted on a real 6.1.
    def program(kernel: KernelHandle) -> Calls:
        free = kernel.kernel.frames.free
        area = yield from kernel.vmalloc(pages * PAGE_SIZE)
        assert len(kernel.kernel.vmalloc.areas) == areas
        yield from kernel.vfree(area)
        assert kernel.kernel.vmalloc.lazy_pages == lazy
        assert len(kernel.kernel.vmalloc.areas) == 0
        assert kernel.kernel.frames.free == free

    booted = Booted().run(program)
    assert len(booted.of_kind("vmalloc")) == len(booted.of_kind("vfree")) == areas


def test_page_pointers_may_need_page_pointers_themselves() -> None:
    def program(kernel: KernelHandle) -> Calls:
        # 300,000 pointers need 586 pages, and those 2.
        area = yield from kernel.vmalloc(300_000 * PAGE_SIZE)
        assert area.page_array.pages == 586
        assert area.page_array.page_array.pages == 2

    Booted().run(program)


def test_without_addresses_everything_freed_is_purged_and_asked_for_again() -> None:
    # Room for two areas of 63 pages and their guards; the limit for lazy freeing is far above.
    def program(kernel: KernelHandle) -> Calls:
        for _ in range(5):
            area = yield from kernel.vmalloc(63 * PAGE_SIZE)
            assert area is not None
            yield from kernel.vfree(area)

    booted = Booted(vmalloc_size="512KiB").run(program)
    # The third and the fifth find no room.
    assert booted.flushes == [full("purge", 128)] * 2
    purges = [row["parent"] for row in booted.of_kind("purge")]
    assert purges == [booted.of_kind("vmalloc")[i]["id"] for i in (2, 4)]


def test_where_a_purge_does_not_help_the_caller_gets_null() -> None:
    def program(kernel: KernelHandle) -> Calls:
        held = yield from kernel.vmalloc(63 * PAGE_SIZE)
        lost = yield from kernel.vmalloc(31 * PAGE_SIZE)
        yield from kernel.vfree(lost)
        assert (yield from kernel.vmalloc(100 * PAGE_SIZE)) is None
        assert (yield from kernel.vmalloc(100 * PAGE_SIZE)) is None
        assert (yield from kernel.vmalloc(63 * PAGE_SIZE)) is not None
        assert held is not None

    # There was something to purge only once.
    assert Booted(vmalloc_size="512KiB").run(program).flushes == [ranged("purge", 32)]


def test_without_frames_the_addresses_are_lazily_freed_and_the_caller_gets_null() -> None:
    # 24 MiB, of which the first 16 are not given out.
    def program(kernel: KernelHandle) -> Calls:
        first = yield from kernel.vmalloc(5 * MIB)
        free = kernel.kernel.frames.free
        assert (yield from kernel.vmalloc(5 * MIB)) is None
        assert kernel.kernel.frames.free == free
        # 1,280 pages and their guard, the array of their pointers (3 pages) and its guard.
        assert kernel.kernel.vmalloc.lazy_pages == 1281 + 4
        assert first is not None

    Booted(memory="24MiB").run(program)


def test_without_frames_for_page_pointers_the_caller_gets_null() -> None:
    def program(kernel: KernelHandle) -> Calls:
        rest = kernel.kernel.frames.allocate(kernel.kernel.frames.free - 1)
        assert (yield from kernel.vmalloc(600 * PAGE_SIZE)) is None
        assert kernel.kernel.frames.free == 1
        # The area's addresses, and those of its array of two pages.
        assert kernel.kernel.vmalloc.lazy_pages == 601 + 3
        assert rest is not None

    Booted(memory="24MiB").run(program)


def test_an_area_that_resets_permissions_costs_one_flush_from_the_direct_map_to_itself() -> None:
    booted = Booted()

    def program(kernel: KernelHandle) -> Calls:
        vmalloc, table = kernel.kernel.vmalloc, kernel.kernel.pagetable
        for size in (16 * KIB, 400 * KIB):
            area = yield from vmalloc.vmalloc_in(
                kernel.task, size, "modules", flush_reset_perms=True
            )
            yield from kernel.set_memory_ro(area.address, area.pages)
            alias = kernel.kernel.direct_map.address(area.runs[0][0])
            yield from kernel.vfree(area)
            assert vmalloc.lazy_pages == 0
            entries = table.read(alias, area.pages).tolist()
            assert {entry & (PRESENT | RW) for entry in entries} == {PRESENT | RW}

    booted.run(program)
    attributes, reset = full("attributes"), booted.flushes[1]
    assert (reset.cause, reset.kind) == ("reset_perms", "full")
    low, high = booted.kernel.direct_map.address(4096), MODULES_START
    assert reset.pages == (high - low) // PAGE_SIZE + 5
    assert booted.flushes == [attributes, reset, attributes, full("reset_perms", reset.pages + 96)]


def test_that_flush_takes_along_all_that_was_lazily_freed() -> None:
    def program(kernel: KernelHandle) -> Calls:
        vmalloc = kernel.kernel.vmalloc
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        area = yield from vmalloc.vmalloc_in(
            kernel.task, PAGE_SIZE, "vmalloc", flush_reset_perms=True
        )
        yield from kernel.vfree(area)
        assert vmalloc.lazy_pages == 0

    assert [flush.cause for flush in Booted().run(program).flushes] == ["reset_perms"]


def test_an_area_is_found_by_any_address_of_its_pages() -> None:
    def program(kernel: KernelHandle) -> Calls:
        find = kernel.kernel.vmalloc.find
        areas = []
        for pages in (1, 3, 600):
            areas.append((yield from kernel.vmalloc(pages * PAGE_SIZE)))
        for area in areas:
            end = area.address + area.pages * PAGE_SIZE
            assert find(area.address) is find(end - 1) is area
            assert find(end) is None
        yield from kernel.vfree(areas[1])
        assert find(areas[1].address) is None

    Booted().run(program)


def test_an_area_is_found_right_behind_a_mapping_without_a_guard() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(7)
        mapping = yield from kernel.vm_map_ram(block)
        area = yield from kernel.vmalloc(4 * PAGE_SIZE)
        assert area.address == mapping.address + 128 * PAGE_SIZE
        find = kernel.kernel.vmalloc.find
        assert find(area.address) is find(area.address + 3 * PAGE_SIZE + 9) is area
        assert find(mapping.address + 5) is None

    Booted().run(program)


def test_a_mapping_right_behind_an_areas_guard_is_no_part_of_it() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        mapping = yield from kernel.vm_map_ram((yield from kernel.alloc_pages(7)))
        assert mapping.address == area.address + 2 * PAGE_SIZE
        assert kernel.kernel.vmalloc.find(mapping.address) is None

    Booted().run(program)


def test_allocating_and_freeing_takes_the_time_of_its_pages() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(16 * KIB)
        yield from kernel.vfree(area)

    booted = Booted().run(program)
    (allocation,), (freeing,) = booted.of_kind("vmalloc"), booted.of_kind("vfree")
    # Under locks for 25 ns each: to find a place, to enter the area, to say what it maps; to find
    # it, to find it again, to unlink it, to put it on the list.
    assert allocation["run_ps"] == (180 + 3 * 25 + 4 * 110) * NS
    assert freeing["run_ps"] == (100 + 4 * 25 + 4 * 40) * NS


def test_cpus_that_allocate_at_once_wait_for_the_area_lock() -> None:
    # One lock, taken once.
    booted = Booted(costs=KernelCosts(area_step=0), area_search="list", area_alloc_stays=0)
    for cpu in range(4):
        booted.spawn(lambda kernel: kernel.vmalloc(PAGE_SIZE), cpu)
    booted.run()
    waits = sorted(row["lock_wait_ps"] for row in booted.of_kind("vmalloc"))
    # The first holder works for 25 ns; each other one fetches the lock's line and three of the tree
    # before; and the lock takes 40 ns to the next.
    first, later = (25 + 40) * NS, (4 * 40 + 25 + 40) * NS
    assert waits == [0, first, first + later, first + 2 * later]


def test_from_6_9_on_cpus_whose_nodes_have_areas_of_a_size_seldom_need_the_same_lock() -> None:
    def waiting(profile: str) -> int:
        def churn(kernel: KernelHandle) -> Calls:
            for _ in range(20):
                yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))

        def program(kernel: KernelHandle) -> Calls:
            yield from churn(kernel)
            yield from kernel.task.sleep(MS)
            if kernel.task.cpu == 0:
                yield from kernel.vm_unmap_aliases()
            yield from kernel.task.sleep(MS)
            again.append(kernel.task.now)
            yield from churn(kernel)

        again: list[int] = []
        booted = Booted(profile=profile)
        for cpu in range(4):
            booted.spawn(program, cpu)
        booted.run()
        rows = [row for row in booted.operations if row["start_ps"] >= min(again)]
        assert len(rows) == 4 * 2 * 20
        return sum(row["lock_wait_ps"] for row in rows)

    # What is left is two CPUs whose areas lie in zones of one node.
    assert 0 < 5 * waiting("linux-6.12-x86_64") < waiting("linux-6.6-x86_64")


def test_no_two_live_areas_share_a_page_or_an_address() -> None:
    def program(kernel: KernelHandle) -> Calls:
        areas = []
        for i in range(2000):
            areas.append((yield from kernel.vmalloc((1 + i % 7) * PAGE_SIZE)))
            if i % 3 == 2:
                yield from kernel.vfree(areas.pop(i // 2 % len(areas)))
            if i % 500 == 499:
                yield from kernel.vm_unmap_aliases()
        frames = [pfn + k for area in areas for pfn, count in area.runs for k in range(count)]
        assert len(set(frames)) == len(frames) == sum(area.pages for area in areas)
        spans = sorted((area.address, area.pages) for area in areas)
        for (address, pages), (above, _) in itertools.pairwise(spans):
            assert address + (pages + 1) * PAGE_SIZE <= above

    Booted().run(program)
