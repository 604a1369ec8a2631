"""Lazily freed address space: who flushes it, when, and over what span."""

from __future__ import annotations

import itertools
from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.profiles import profile_names
from pmsim.kernel.tlbflush import Cause
from pmsim.units import MIB, NS, PAGE_SIZE, US
from tests.kernel.booted import Booted, full, ranged

Calls = Generator[Any, Any, Any]


def churn(kernel: KernelHandle, times: int, pages: int = 1) -> Calls:
    """Allocate and free an area, again and again."""
    for _ in range(times):
        area = yield from kernel.vmalloc(pages * PAGE_SIZE)
        yield from kernel.vfree(area)


@pytest.mark.parametrize(
    ("cpus", "pages"),
    [
        (1, 8192),
        (2, 16384),
        (3, 16384),
        (4, 24576),
        (8, 32768),
        (16, 40960),
        (63, 49152),
        (64, 57344),
        (255, 65536),
        (256, 73728),
    ],
)
def test_32_mib_may_gather_for_each_bit_of_the_number_of_cpus(cpus: int, pages: int) -> None:
    assert Booted(cpus).kernel.purge.lazy_max_pages == pages


@pytest.mark.parametrize("profile", profile_names())
def test_the_formula_is_that_of_every_kernel(profile: str) -> None:
    assert Booted(8, profile=profile).kernel.purge.lazy_max_pages == 32768


def test_one_page_areas_are_purged_when_their_sum_first_exceeds_the_limit() -> None:
    # A limit of 3 x 64 pages on 4 CPUs; each area frees 2 pages, its guard included, so that every
    # 97th free (192 / 2 + 1) makes a purge, and it purges 194 pages.
    booted = Booted(4, lazy_max_unit="256KiB")
    booted.run(lambda kernel: churn(kernel, 1000))
    assert booted.flushes == [full("purge", 194)] * (1000 // 97)
    assert booted.kernel.vmalloc.lazy_pages == 2 * (1000 % 97)
    assert {row["workload"] for row in booted.of_kind("purge")} == {"kworker/0:0"}


@pytest.mark.parametrize(
    ("pages", "lazy_at_purge"), [(1, 16386), (7, 16392), (63, 16448), (511, 16896)]
)
def test_a_purge_finds_what_linux_6_1_found_on_two_cpus(pages: int, lazy_at_purge: int) -> None:
    # lazy_purge.csv, 2 CPUs, churn of areas of so many pages: the commonest value at the purge.
    booted = Booted(2)
    booted.run(lambda kernel: churn(kernel, 16384 // (pages + 1) + 1, pages))
    (purge,) = booted.of_kind("purge")
    assert purge["pages"] == lazy_at_purge


def test_exactly_the_limit_is_not_too_much() -> None:
    booted = Booted(1, lazy_max_unit="64KiB")
    booted.run(lambda kernel: churn(kernel, 8))
    assert (booted.flushes, booted.kernel.vmalloc.lazy_pages) == ([], 16)


@pytest.mark.parametrize(
    ("pages", "expected"), [(32, ranged("purge", 33)), (33, full("purge", 34))]
)
def test_an_area_of_32_pages_is_flushed_page_by_page_and_one_of_33_fully(
    pages: int, expected: Any
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from churn(kernel, 1, pages)
        yield from kernel.vm_unmap_aliases()

    assert Booted().run(program).flushes == [expected]


def test_two_freed_pages_far_apart_are_one_flush_over_all_between() -> None:
    # 1 MiB apart: 256 pages to the second, its page and its guard.
    def program(kernel: KernelHandle) -> Calls:
        first = yield from kernel.vmalloc(PAGE_SIZE)
        between = yield from kernel.vmalloc(MIB - 3 * PAGE_SIZE)
        second = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree(second)
        yield from kernel.vfree(first)
        assert second.address - first.address == MIB
        yield from kernel.vm_unmap_aliases()
        assert len(kernel.kernel.vmalloc.areas) == 1
        assert between is not None

    booted = Booted().run(program)
    assert booted.flushes == [full("purge", 258)]
    assert [row["pages"] for row in booted.of_kind("purge")] == [4]


def test_a_span_reaches_from_the_vmalloc_range_to_the_modules() -> None:
    def program(kernel: KernelHandle) -> Calls:
        vmalloc = kernel.kernel.vmalloc
        areas = []
        for where in ("vmalloc", "modules"):
            areas.append((yield from vmalloc.vmalloc_in(kernel.task, PAGE_SIZE, where)))
        for area in areas:
            yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()

    span = (0xFFFFFFFFC0000000 - 0xFFFFC90000000000) // PAGE_SIZE + 2
    assert Booted().run(program).flushes == [full("purge", span)]


def test_with_nothing_freed_nothing_is_flushed() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.vm_unmap_aliases()
        yield from kernel.drain_vmap_area()

    booted = Booted().run(program)
    assert booted.flushes == []
    assert [row["kind"] for row in booted.operations] == ["vm_unmap_aliases", "drain_vmap_area"]


def test_a_purge_is_counted_for_the_call_that_ran_it() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from churn(kernel, 1)
        yield from kernel.drain_vmap_area()

    booted = Booted().run(program)
    (purge,), (drain,) = booted.of_kind("purge"), booted.of_kind("drain_vmap_area")
    assert purge["parent"] == drain["id"]
    assert drain["crosscalls"] == 1
    assert booted.calls[0]["operation"] == purge["id"]


def test_addresses_come_back_only_after_the_flush() -> None:
    def program(kernel: KernelHandle) -> Calls:
        first = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree(first)
        second = yield from kernel.vmalloc(PAGE_SIZE)
        assert second.address == first.address + 2 * PAGE_SIZE
        yield from kernel.vm_unmap_aliases()
        third = yield from kernel.vmalloc(PAGE_SIZE)
        assert third.address == first.address

    Booted().run(program)


def test_who_finds_a_purge_under_way_waits_for_it_and_flushes_nothing() -> None:
    def first(kernel: KernelHandle) -> Calls:
        yield from churn(kernel, 1)
        yield from kernel.vm_unmap_aliases()

    def second(kernel: KernelHandle) -> Calls:
        # The flush of the first begins at about 0.7 us and takes more than 1 us.
        yield from kernel.task.compute(US)
        yield from kernel.vm_unmap_aliases()

    booted = Booted()
    booted.spawn(first, 0)
    booted.spawn(second, 1)
    booted.run()
    assert booted.flushes == [ranged("purge", 2)]
    waiter = max(booted.of_kind("vm_unmap_aliases"), key=lambda row: row["cpu"])
    assert waiter["lock_wait_ps"] > 0
    assert waiter["end_ps"] > booted.calls[0]["end_ps"]


def test_what_is_freed_during_a_purge_asks_for_the_work_again() -> None:
    booted = Booted(4, lazy_max_unit="256KiB")
    purge = booted.kernel.purge

    def first(kernel: KernelHandle) -> Calls:
        yield from churn(kernel, 97)

    def second(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        # The switch to the worker takes 1 us, then it waits for 1.3 us; its 194 pages count still
        # when the next area, whose locks and lists were the other CPU's, is freed.
        while purge.lazy_pages < 194:
            yield from kernel.task.compute(50 * NS)
        yield from kernel.task.compute(600 * NS)
        assert purge.lazy_pages == 194
        yield from kernel.vfree(area)
        assert purge.lazy_pages == 196

    booted.spawn(first, 0)
    booted.spawn(second, 1)
    booted.run()
    # The second purge finds far less than the limit.
    assert [row["pages"] for row in booted.of_kind("purge")] == [194, 2]


def test_a_range_is_flushed_with_the_list_and_without_one_too() -> None:
    booted = Booted()
    start = booted.kernel.direct_map.start

    def program(kernel: KernelHandle) -> Calls:
        flush = kernel.kernel.purge.flush_with_aliases
        cause = Cause.RESET_PERMS
        yield from flush(kernel.task, start, start + 5 * PAGE_SIZE, cause)
        yield from churn(kernel, 1)
        yield from flush(kernel.task, start, start + 5 * PAGE_SIZE, cause)

    span = (0xFFFFC90000000000 - start) // PAGE_SIZE + 2
    expected = [ranged("reset_perms", 5), full("reset_perms", span)]
    assert booted.run(program).flushes == expected


def test_neighbours_are_given_back_as_one_area() -> None:
    def program(kernel: KernelHandle) -> Calls:
        areas = []
        for _ in range(10):
            areas.append((yield from kernel.vmalloc(PAGE_SIZE)))
        for area in areas[::-1]:
            yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()

    booted = Booted().run(program)
    (purge,) = booted.of_kind("purge")
    assert (purge["pages"], purge["run_ps"]) == (20, booted.kernel.costs.purge_area)


def test_eager_unmapping_flushes_each_area_by_itself_and_gathers_nothing() -> None:
    booted = Booted(purge_by="unmap", ceiling=0)
    booted.run(lambda kernel: churn(kernel, 3, pages=4))
    assert booted.flushes == [full("purge", 5)] * 3
    assert booted.kernel.vmalloc.lazy_pages == 0


def test_eager_unmappings_wait_for_each_other_with_the_area_lock_held() -> None:
    booted = Booted(purge_by="unmap")
    for cpu in range(3):
        booted.spawn(lambda kernel: churn(kernel, 5), cpu)
    booted.run()
    calls = sorted(booted.calls, key=lambda call: call["start_ps"])
    assert len(calls) == 15
    for earlier, later in itertools.pairwise(calls):
        assert later["start_ps"] >= earlier["end_ps"]
