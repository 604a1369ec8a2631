"""The direct map: large leaves, and their splitting."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.hardware.task import Task
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.entries import PRESENT, RW
from pmsim.kernel.pagetables.entry_changes import ChangePageAttr, Span
from pmsim.units import GIB, MIB, NS, PAGE_SIZE, US
from tests.kernel.booted import Booted, full, ranged, sbi

Calls = Generator[Any, Any, Any]
SPLIT = full("split")
ATTRIBUTES = full("attributes")


def level_of(booted: Booted, physical: int) -> int:
    leaf = booted.kernel.pagetable.walk(booted.kernel.direct_map.start + physical)
    assert leaf is not None
    return leaf.level


def protect_vmalloc(pages: int, times: int = 1) -> Any:
    def program(kernel: KernelHandle) -> Calls:
        for _ in range(times):
            area = yield from kernel.vmalloc(pages * PAGE_SIZE)
            yield from kernel.set_memory_ro(area.address, area.pages)

    return program


@pytest.mark.parametrize(("leaf", "splits"), [("4KiB", 0), ("2MiB", 1), ("1GiB", 2)])
def test_the_first_page_made_read_only_splits_its_leaf_down_to_4_kib(
    leaf: str, splits: int
) -> None:
    booted = Booted(direct_map_leaf=leaf)
    assert booted.run(protect_vmalloc(1, times=3)).flushes == [SPLIT] * splits + [ATTRIBUTES] * 3
    # Frames are given out from 16 MiB on.
    assert level_of(booted, 16 * MIB) == 1
    assert booted.kernel.pagetable.leaves_split == splits


def test_a_split_leaves_the_leaves_around_it_whole() -> None:
    booted = Booted(direct_map_leaf="1GiB").run(protect_vmalloc(1))
    assert [level_of(booted, at) for at in (16 * MIB, 18 * MIB, GIB)] == [1, 2, 3]


def test_aliases_are_changed_page_by_page_so_even_whole_leaves_are_split() -> None:
    # 2 MiB of frames, all of one leaf: those from 16 MiB on.
    booted = Booted(direct_map_leaf="2MiB").run(protect_vmalloc(512))
    assert booted.flushes == [SPLIT, ATTRIBUTES]
    assert booted.kernel.frames.allocate(1) == [(18 * MIB // PAGE_SIZE, 1)]


@pytest.mark.parametrize("p", [1, 3])
def test_pages_each_in_a_leaf_of_its_own_cost_a_split_each(p: int) -> None:
    # One set_memory call: p splits and its own flush (worked example: k + k*p for k areas).
    def program(kernel: KernelHandle) -> Calls:
        frames = kernel.kernel.frames
        # Leave only every 512th frame free, so that each page lies in another 2 MiB.
        taken = frames.allocate(frames.free)
        assert taken is not None
        frames.release([(taken[0][0] + 512 * i, 1) for i in range(p)])
        yield from protect_vmalloc(p)(kernel)

    booted = Booted(direct_map_leaf="2MiB").run(program)
    assert booted.flushes == [SPLIT] * p + [ATTRIBUTES]


def test_making_writable_what_is_writable_splits_nothing() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.set_memory_rw(area.address, 1)

    assert Booted(direct_map_leaf="2MiB").run(program).flushes == []


@pytest.mark.parametrize(
    ("order", "expected"), [(5, [SPLIT, ranged("attributes", 32)]), (9, [ATTRIBUTES])]
)
def test_a_leaf_wholly_in_a_range_of_direct_map_addresses_stays_whole(
    order: int, expected: list[Any]
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(order)
        assert (yield from kernel.set_memory_ro(block.address, block.pages)) == 0

    booted = Booted(direct_map_leaf="2MiB").run(program)
    assert booted.flushes == expected
    assert level_of(booted, 16 * MIB) == (2 if order == 9 else 1)


def test_the_broadcast_of_a_split_is_made_with_cpa_lock_held() -> None:
    booted = Booted(direct_map_leaf="2MiB", costs=KernelCosts(split=10 * US))
    direct = booted.kernel.direct_map

    def second(kernel: KernelHandle) -> Calls:
        # Arrives while CPU 0 splits the leaf that this block lies in as well.
        yield from kernel.task.compute(8 * US)
        assert isinstance(direct.changes, ChangePageAttr)
        owner = direct.changes.cpa_lock.owner
        assert owner is not None
        assert owner.cpu == 0
        block = yield from kernel.alloc_pages(0)
        yield from kernel.set_memory_nx(block.address, 1)

    def first(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(0)
        yield from kernel.set_memory_ro(block.address, 1)

    booted.spawn(first, 0)
    booted.spawn(second, 1)
    booted.run()
    (split,) = (call for call in booted.calls if call["cause"] == 1)
    (waited,) = booted.of_kind("set_memory_nx")
    # It asks after 1 us of fixed work, a look at 4 CPUs' blocks and the purge lock's line. CPU 0
    # changes its page when the split is known, in 30 ns, and the line takes 40 ns.
    asked = waited["start_ps"] + US + (4 * 5 + 40) * NS
    assert waited["lock_wait_ps"] == split["end_ps"] + (30 + 40) * NS - asked > 0


def test_of_two_who_meet_the_same_leaf_one_splits_it() -> None:
    booted = Booted(direct_map_leaf="2MiB")
    for cpu in range(4):
        booted.spawn(protect_vmalloc(1), cpu)
    booted.run()
    assert booted.flushes.count(SPLIT) == 1
    assert booted.flushes.count(ATTRIBUTES) == 4


RUNS = [(5000, 3), (6000, 1)]


def made_invalid_and_default(booted: Booted) -> list[list[int | None]]:
    """Make frames inaccessible and ordinary again; return where some are found after each step."""
    direct, table = booted.kernel.direct_map, booted.kernel.pagetable
    seen: list[list[int | None]] = []

    def look() -> None:
        seen.append([table.translate(direct.address(pfn)) for pfn in (5002, 5003, 6000)])

    def body(task: Task) -> Calls:
        yield from direct.set_invalid_noflush(task, RUNS)
        look()
        yield from direct.set_default_noflush(task, RUNS)
        look()

    booted.machine.spawn(0, body)
    booted.run()
    return seen


MAPPED = [pfn * PAGE_SIZE for pfn in (5002, 5003, 6000)]


@pytest.mark.parametrize(
    "profile", ["linux-6.1-x86_64", "linux-6.1-arm64", "linux-6.18-arm64", "linux-6.1-riscv64"]
)
def test_frames_can_be_made_inaccessible_and_ordinary_again(profile: str) -> None:
    booted = Booted(profile=profile)
    assert made_invalid_and_default(booted) == [[None, 5003 * PAGE_SIZE, None], MAPPED]
    assert booted.flushes == []
    entries = booted.kernel.pagetable.read(booted.kernel.direct_map.address(5000), 3).tolist()
    assert [entry & (PRESENT | RW) for entry in entries] == [PRESENT | RW] * 3


def test_up_to_6_8_risc_v_takes_the_whole_large_leaf_away() -> None:
    booted = Booted(profile="linux-6.1-riscv64", direct_map_leaf="2MiB")
    direct, table = booted.kernel.direct_map, booted.kernel.pagetable

    def body(task: Task) -> Calls:
        yield from direct.set_invalid_noflush(task, [(512 * 9 + 7, 1)])

    booted.machine.spawn(0, body)
    booted.run()
    found = [table.translate(direct.address(512 * 9 + at)) is None for at in (-1, 0, 511, 512)]
    assert found == [False, True, True, False]


def test_since_6_9_risc_v_flushes_everything_for_each_page_of_it() -> None:
    booted = Booted(profile="linux-6.12-riscv64")
    assert made_invalid_and_default(booted) == [[None, 5003 * PAGE_SIZE, None], MAPPED]
    assert booted.flushes == [sbi(full("reset_perms"))] * 2 * 4


@pytest.mark.parametrize(
    ("profile", "rodata"), [("linux-6.1-arm64", "on"), ("linux-6.1-arm32", "full")]
)
def test_without_a_protected_alias_arm_leaves_them_alone(profile: str, rodata: str) -> None:
    booted = Booted(profile=profile, rodata=rodata)
    assert made_invalid_and_default(booted) == [MAPPED, MAPPED]
    assert booted.flushes == []


@pytest.mark.parametrize(
    ("profile", "pages", "expected"),
    [("linux-6.1-x86_64", 3, 1), ("linux-6.1-riscv64", 3, 1), ("linux-6.12-riscv64", 3, 7)],
)
def test_freeing_n_pages_that_reset_their_rights_costs_one_flush_or_2_n_plus_1(
    profile: str, pages: int, expected: int
) -> None:
    booted = Booted(profile=profile)

    def body(task: Task) -> Calls:
        vmalloc = booted.kernel.vmalloc
        area = yield from vmalloc.vmalloc_in(
            task, pages * PAGE_SIZE, "vmalloc", flush_reset_perms=True
        )
        yield from vmalloc.vfree(task, area)

    booted.machine.spawn(0, body)
    booted.run()
    assert [flush.cause for flush in booted.flushes] == ["reset_perms"] * expected
    assert {flush.kind for flush in booted.flushes} == {"full"}


def test_highmem_has_no_place_in_the_direct_map() -> None:
    direct = Booted(profile="linux-4.16-x86_32").kernel.direct_map
    low = (direct.end - direct.start) // PAGE_SIZE
    assert direct.aliases([(low - 2, 5), (low, 1), (7, 1)]) == [
        Span(direct.end - 2 * PAGE_SIZE, 2, 1),
        Span(direct.start + 7 * PAGE_SIZE, 1, 1),
    ]
    assert direct.bounds([(low - 2, 5), (7, 1)]) == (direct.start + 7 * PAGE_SIZE, direct.end)
    assert not direct.contains(direct.end)
    start, end = direct.bounds([(low, 1)])
    assert start > end


def test_an_address_belongs_to_the_direct_map_up_to_the_end_of_memory() -> None:
    direct = Booted(memory="1GiB").kernel.direct_map
    assert direct.contains(direct.start)
    assert direct.contains(direct.start + GIB - 1)
    assert not direct.contains(direct.start + GIB)
    assert not direct.contains(direct.start - 1)
