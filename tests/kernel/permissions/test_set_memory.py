"""set_memory_ro, _rw, _x and _nx: what changes, and what is flushed."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pagetables.entries import NX, PRESENT, RW
from pmsim.kernel.permissions.strategy import EFAULT
from pmsim.units import NS, PAGE_SIZE, US
from tests.kernel.booted import Booted, Flush, full, ranged

Calls = Generator[Any, Any, Any]
FULL = full("attributes")
CALLS = ["set_memory_ro", "set_memory_rw", "set_memory_x", "set_memory_nx"]


def bits_of(kernel: KernelHandle, address: int) -> int:
    leaf = kernel.kernel.pagetable.walk(address)
    assert leaf is not None
    return leaf.entry & (PRESENT | RW | NX)


def on_vmalloc(pages: int, *calls: str) -> Any:
    """Make some calls, one after the other, on the same fresh area."""

    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(pages * PAGE_SIZE)
        for call in calls:
            assert (yield from getattr(kernel, call)(area.address, area.pages)) == 0

    return program


@pytest.mark.parametrize("pages", [1, 33, 34, 512])
def test_read_only_on_vmalloc_memory_is_one_full_flush_for_any_number_of_pages(pages: int) -> None:
    # Rule 2 of the counts on a real 6.1: the ceiling never applies.
    booted = Booted().run(on_vmalloc(pages, "set_memory_ro", "set_memory_ro", "set_memory_rw"))
    assert booted.flushes == [FULL, FULL]
    assert [row["crosscalls"] for row in booted.operations if "set" in row["kind"]] == [1, 0, 1]


@pytest.mark.parametrize(
    ("pages", "flush"), [(1, ranged("attributes", 1)), (33, ranged("attributes", 33)), (34, FULL)]
)
def test_executable_on_vmalloc_memory_is_flushed_by_page_up_to_the_ceiling(
    pages: int, flush: Flush
) -> None:
    # Fresh memory is not executable, so the first call changes nothing.
    program = on_vmalloc(pages, "set_memory_nx", "set_memory_x", "set_memory_x", "set_memory_nx")
    assert Booted().run(program).flushes == [flush, flush]


@pytest.mark.parametrize("call", ["set_memory_ro", "set_memory_x"])
@pytest.mark.parametrize(
    ("order", "flush"), [(0, ranged("attributes", 1)), (5, ranged("attributes", 32)), (6, FULL)]
)
def test_on_the_direct_map_the_ceiling_applies_to_every_call(
    call: str, order: int, flush: Flush
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(order)
        for _ in range(2):
            assert (yield from getattr(kernel, call)(block.address, block.pages)) == 0

    assert Booted().run(program).flushes == [flush]


def test_from_6_2_on_the_alias_makes_executable_a_full_flush_without_changing_itself() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.set_memory_x(area.address, 1)
        alias = kernel.kernel.direct_map.address(area.runs[0][0])
        assert bits_of(kernel, alias) & NX

    assert Booted(alias_on_nx=True).run(program).flushes == [FULL]


def test_up_to_4_17_every_change_was_a_full_flush() -> None:
    def program(kernel: KernelHandle) -> Calls:
        block = yield from kernel.alloc_pages(0)
        yield from kernel.set_memory_ro(block.address, 1)

    assert Booted(cpa_ranged=False).run(program).flushes == [FULL]


def test_read_only_holds_for_the_alias_in_the_direct_map_executable_does_not() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(3 * PAGE_SIZE)
        aliases = [
            kernel.kernel.direct_map.address(pfn + i)
            for pfn, count in area.runs
            for i in range(count)
        ]
        yield from kernel.set_memory_ro(area.address, 2)
        yield from kernel.set_memory_x(area.address, 2)
        found = [bits_of(kernel, area.address + i * PAGE_SIZE) for i in range(3)]
        assert found == [PRESENT, PRESENT, PRESENT | RW | NX]
        assert [bits_of(kernel, alias) for alias in aliases] == [
            PRESENT | NX,
            PRESENT | NX,
            PRESENT | RW | NX,
        ]
        yield from kernel.set_memory_rw(area.address, 2)
        assert {bits_of(kernel, alias) for alias in aliases} == {PRESENT | RW | NX}

    Booted().run(program)


def test_frames_apart_have_their_aliases_changed_apart() -> None:
    def program(kernel: KernelHandle) -> Calls:
        holes = []
        for _ in range(5):
            holes.append((yield from kernel.vmalloc(PAGE_SIZE)))
        for area in holes[::2]:
            yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()
        area = yield from kernel.vmalloc(3 * PAGE_SIZE)
        assert len(area.runs) == 3
        yield from kernel.set_memory_ro(area.address, 3)
        direct = kernel.kernel.direct_map
        for pfn, _ in area.runs:
            assert bits_of(kernel, direct.address(pfn)) == PRESENT | NX
        for kept in holes[1::2]:
            assert bits_of(kernel, direct.address(kept.runs[0][0])) == PRESENT | RW | NX

    Booted().run(program)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("pages", [0, 1])
def test_every_call_first_purges_what_was_lazily_freed(call: str, pages: int) -> None:
    def program(kernel: KernelHandle) -> Calls:
        kept = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree((yield from kernel.vmalloc(2 * PAGE_SIZE)))
        assert (yield from getattr(kernel, call)(kept.address, pages)) == 0

    own = {"set_memory_ro": [FULL], "set_memory_x": [ranged("attributes", 1)]}
    booted = Booted().run(program)
    assert booted.flushes == [ranged("purge", 3)] + (own.get(call, []) if pages else [])
    assert [row["crosscalls"] for row in booted.of_kind(call)] == [len(booted.flushes)]


@pytest.mark.parametrize("call", CALLS)
def test_where_nothing_is_mapped_the_call_fails_and_flushes_nothing(call: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        for address in (None, 0xFFFFC90000000000, 0x1000):
            assert (yield from getattr(kernel, call)(address, 3)) == -EFAULT

    assert Booted().run(program).flushes == []


def test_a_call_that_meets_a_hole_has_changed_what_lies_before_and_flushes_everything() -> None:
    def program(kernel: KernelHandle) -> Calls:
        first = yield from kernel.vmalloc(2 * PAGE_SIZE)
        second = yield from kernel.vmalloc(2 * PAGE_SIZE)
        assert (yield from kernel.set_memory_x(first.address, 5)) == -EFAULT
        assert bits_of(kernel, first.address + PAGE_SIZE) == PRESENT | RW
        assert bits_of(kernel, second.address) == PRESENT | RW | NX

    assert Booted().run(program).flushes == [FULL]


def test_an_address_inside_a_page_means_the_page() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(2 * PAGE_SIZE)
        assert (yield from kernel.set_memory_ro(area.address + 100, 1)) == 0
        assert bits_of(kernel, area.address) == PRESENT | NX
        assert bits_of(kernel, area.address + PAGE_SIZE) == PRESENT | RW | NX

    Booted().run(program)


def test_a_negative_number_of_pages_is_undefined() -> None:
    with pytest.raises(UndefinedBehaviour, match="-1 pages"):
        Booted().run(lambda kernel: kernel.set_memory_ro(0, -1))


def test_the_cost_is_a_fixed_part_and_each_page_and_its_alias() -> None:
    booted = Booted().run(on_vmalloc(100, "set_memory_ro", "set_memory_x"))
    # 4 CPUs' blocks are looked at, 5 ns each.
    fixed = US + 4 * 5 * NS
    assert booted.of_kind("set_memory_ro")[0]["run_ps"] == fixed + 2 * 100 * 30 * NS
    assert booted.of_kind("set_memory_x")[0]["run_ps"] == fixed + 100 * 30 * NS


def test_two_flushes_of_different_areas_overlap() -> None:
    # No lock is held over the final flush (golden count 8: with nothing lazy, both overlap).
    booted = Booted()
    for cpu in (0, 1):
        booted.spawn(on_vmalloc(1, "set_memory_ro"), cpu)
    booted.run()
    first, second = booted.calls
    assert first["start_ps"] < second["end_ps"]
    assert second["start_ps"] < first["end_ps"]


def test_a_second_caller_waits_for_the_purge_of_the_first_and_pays_its_own_flush_only() -> None:
    # Golden count 8, with something lazy.
    def body(kernel: KernelHandle) -> Calls:
        kept = yield from kernel.vmalloc(PAGE_SIZE)
        if kernel.task.cpu == 0:
            yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        else:
            yield from kernel.task.compute(US)
        yield from kernel.set_memory_ro(kept.address, 1)

    booted = Booted()
    booted.spawn(body, 0)
    booted.spawn(body, 1)
    booted.run()
    assert sorted(booted.flushes) == [FULL, FULL, ranged("purge", 2)]
    second = max(booted.of_kind("set_memory_ro"), key=lambda row: row["cpu"])
    assert (second["crosscalls"], second["lock_wait_ps"] > 0) == (1, True)


def test_a_cpu_with_interrupts_off_holds_every_flush_up() -> None:
    # Golden count 9.
    def deaf(kernel: KernelHandle) -> Calls:
        yield from kernel.task.irqs_off(500 * US)

    booted = Booted()
    booted.spawn(on_vmalloc(1, "set_memory_ro"), 0)
    booted.spawn(deaf, 3)
    booted.run()
    (call,) = booted.calls
    assert call["end_ps"] > 500 * US
    assert call["slowest_cpu"] == 3
