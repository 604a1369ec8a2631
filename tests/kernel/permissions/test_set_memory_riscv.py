"""RISC-V: one flush of everything for each call, and how far a change reaches."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.entries import NX, PRESENT, RW
from pmsim.units import MIB, PAGE_SIZE, US
from tests.kernel.booted import Booted, full, sbi

Calls = Generator[Any, Any, Any]
OLD, NEW = "linux-6.1-riscv64", "linux-6.12-riscv64"
BOTH = pytest.mark.parametrize("profile", [OLD, NEW])
EVERYTHING = sbi(full("attributes"))


def bits_of(kernel: KernelHandle, address: int) -> int:
    leaf = kernel.kernel.pagetable.walk(address)
    assert leaf is not None
    return leaf.entry & (PRESENT | RW | NX)


def flush_of(profile: str, pages: int) -> Any:
    return sbi(full("attributes", pages)) if profile == OLD else EVERYTHING


@BOTH
def test_a_call_that_changes_nothing_flushes_and_one_of_no_pages_does_not(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(3 * PAGE_SIZE)
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        for call, pages in (("ro", 3), ("ro", 2), ("nx", 3), ("x", 0)):
            assert (yield from getattr(kernel, f"set_memory_{call}")(area.address, pages)) == 0

    expected = [flush_of(profile, pages) for pages in (3, 2, 3)]
    assert Booted(profile=profile).run(program).flushes == expected


@BOTH
def test_the_alias_changes_since_6_9_whatever_changes(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(3 * PAGE_SIZE)
        yield from kernel.set_memory_ro(area.address, 2)
        yield from kernel.set_memory_x(area.address, 1)
        alias = kernel.kernel.direct_map.address(area.runs[0][0])
        found = [bits_of(kernel, alias + at * PAGE_SIZE) for at in range(3)]
        untouched = PRESENT | RW | NX
        assert found == ([untouched] * 3 if profile == OLD else [PRESENT, PRESENT | NX, untouched])

    Booted(profile=profile).run(program)


def reach(profile: str) -> tuple[list[bool], Booted]:
    """Make one page of the direct map read-only; return which of five others still are writable."""
    found: list[bool] = []

    def program(kernel: KernelHandle) -> Calls:
        direct = kernel.kernel.direct_map
        page = direct.start + 20 * MIB + 7 * PAGE_SIZE
        assert (yield from kernel.set_memory_ro(page, 1)) == 0
        others = (20 * MIB - PAGE_SIZE, 20 * MIB, 22 * MIB - PAGE_SIZE, 22 * MIB)
        found.append(bool(bits_of(kernel, page) & RW))
        found.extend(bool(bits_of(kernel, direct.start + at) & RW) for at in others)

    booted = Booted(profile=profile, direct_map_leaf="2MiB").run(program)
    return found, booted


def test_up_to_6_8_a_large_leaf_changes_with_all_that_it_maps() -> None:
    writable, booted = reach(OLD)
    assert writable == [False, True, False, False, True]
    assert booted.kernel.pagetable.leaves_split == 0
    assert booted.flushes == [sbi(full("attributes", 1))]


def test_since_6_9_it_is_split_and_the_split_tells_nobody() -> None:
    writable, booted = reach(NEW)
    assert writable == [False, True, True, True, True]
    assert booted.kernel.pagetable.leaves_split == 1
    assert booted.flushes == [EVERYTHING]


def test_an_alias_in_a_large_leaf_is_split_without_a_flush_of_its_own() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(3 * PAGE_SIZE)
        yield from kernel.set_memory_ro(area.address, 3)

    booted = Booted(profile=NEW, direct_map_leaf="1GiB").run(program)
    assert booted.flushes == [EVERYTHING]
    assert booted.kernel.pagetable.leaves_split == 2


def test_a_large_leaf_of_an_area_changes_as_a_whole_and_only_aliases_are_split() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc_huge(4 * MIB)
        for first in (3, 4):
            address = area.address + first * PAGE_SIZE
            assert (yield from kernel.set_memory_ro(address, 1)) == 0
        writable = [bits_of(kernel, area.address + at) & RW for at in (0, 2 * MIB)]
        assert writable == [0, RW]
        alias = kernel.kernel.direct_map.address(area.runs[0][0])
        found = [bits_of(kernel, alias + at * PAGE_SIZE) & RW for at in (2, 3, 4, 5)]
        assert found == [RW, 0, 0, RW]

    booted = Booted(profile=NEW, direct_map_leaf="2MiB").run(program)
    assert booted.flushes == [EVERYTHING] * 2
    assert booted.kernel.pagetable.leaves_split == 1


def test_resetting_rights_gives_an_alias_back_as_it_was() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        alias = kernel.kernel.direct_map.address(area.runs[0][0])
        yield from kernel.set_memory_rox(area.address, 1)
        assert bits_of(kernel, alias) == PRESENT
        yield from kernel.kernel.direct_map.set_default_noflush(kernel.task, area.runs)
        assert bits_of(kernel, alias) == PRESENT | RW | NX

    Booted(profile=NEW).run(program)


@pytest.mark.parametrize(("first", "pages"), [(0, 4), (8, 1)])
def test_pages_that_are_no_areas_make_6_12_follow_a_null_pointer(first: int, pages: int) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(2 * PAGE_SIZE)
        yield from kernel.set_memory_ro(area.address + first * PAGE_SIZE, pages)

    with pytest.raises(UndefinedBehaviour, match="which are no area's"):
        Booted(profile=NEW).run(program)
    # 6.1 passes over what is not mapped.
    assert Booted(profile=OLD).run(program).flushes == [flush_of(OLD, pages)]


@BOTH
def test_callers_wait_for_each_others_walks_but_their_flushes_overlap(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(20 * PAGE_SIZE)
        yield from kernel.task.compute(40 * US - kernel.task.now)
        yield from kernel.set_memory_ro(area.address, 20)

    # Telling 39 CPUs takes longer than waking up who waits for the lock.
    booted = Booted(40, profile=profile)
    for cpu in (0, 1):
        booted.spawn(program, cpu)
    booted.run()
    waits = sorted(row["lock_wait_ps"] > 0 for row in booted.of_kind("set_memory_ro"))
    assert waits == [False, True]
    first, second = sorted(booted.calls, key=lambda call: call["start_ps"])
    assert first["start_ps"] < second["start_ps"] < first["end_ps"]
