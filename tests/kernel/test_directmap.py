"""The direct map: large leaves, and their splitting."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.hardware.task import Task
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.entries import PRESENT, RW
from pmsim.kernel.handle import KernelHandle
from pmsim.units import GIB, MIB, NS, PAGE_SIZE, US
from tests.kernel.booted import Booted, full, ranged

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
    # 2 MiB of frames from an aligned one on, and one more page.
    booted = Booted(direct_map_leaf="2MiB").run(protect_vmalloc(513))
    assert booted.flushes == [SPLIT, SPLIT, ATTRIBUTES]


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
        owner = direct.cpa_lock.owner
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
    # It asks after 1 us of fixed work and a look at 4 CPUs' blocks, and gets the line 40 ns after.
    asked = waited["start_ps"] + US + 4 * 5 * NS
    assert waited["lock_wait_ps"] == split["end_ps"] + 40 * NS - asked > 0


def test_of_two_who_meet_the_same_leaf_one_splits_it() -> None:
    booted = Booted(direct_map_leaf="2MiB")
    for cpu in range(4):
        booted.spawn(protect_vmalloc(1), cpu)
    booted.run()
    assert booted.flushes.count(SPLIT) == 1
    assert booted.flushes.count(ATTRIBUTES) == 4


def test_frames_can_be_made_inaccessible_and_ordinary_again() -> None:
    booted = Booted()
    direct, table = booted.kernel.direct_map, booted.kernel.pagetable
    seen = []

    def body(task: Task) -> Calls:
        runs = [(5000, 3), (6000, 1)]
        yield from direct.set_invalid_noflush(task, runs)
        seen.append([table.translate(direct.address(pfn)) for pfn in (5002, 5003, 6000)])
        yield from direct.set_default_noflush(task, runs)
        entries = table.read(direct.address(5000), 3).tolist()
        seen.append([entry & (PRESENT | RW) for entry in entries])

    booted.machine.spawn(0, body)
    assert booted.run().flushes == []
    assert seen == [[None, 5003 * PAGE_SIZE, None], [PRESENT | RW] * 3]


def test_an_address_belongs_to_the_direct_map_up_to_the_end_of_memory() -> None:
    direct = Booted(memory="1GiB").kernel.direct_map
    assert direct.contains(direct.start)
    assert direct.contains(direct.start + GIB - 1)
    assert not direct.contains(direct.start + GIB)
    assert not direct.contains(direct.start - 1)
