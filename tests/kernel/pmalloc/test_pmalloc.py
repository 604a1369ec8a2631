"""pmalloc v21 on a simulated 6.1: what calls return, do to memory, and broadcast."""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.units import KIB, PAGE_SIZE, US
from tests.kernel.booted import Booted, Ear, full, ranged
from tests.kernel.pool_programs import Calls, filled, offsets

# Worked examples: 4 KiB pages, alignment 8, refill of one page


def test_objects_come_from_the_end_of_an_area_and_its_rest_is_lost_when_the_next_is_too_large() -> (
    None
):
    def program(kernel: KernelHandle, say: Ear) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(0, 3)
        for size in (100, 100, 4000):
            say((yield from kernel.pmalloc(pool, size)))
        assert pool.statistics.wasted == 3888

    # 4096 - 100 = 3996 -> 3992; 3992 - 100 = 3892 -> 3888; 3888 < 4000, so a new area: 96.
    assert offsets(Booted(), program) == [(0, 3992), (0, 3888), (1, 96)]


def test_an_object_larger_than_the_refill_gets_an_area_of_its_own_size() -> None:
    def program(kernel: KernelHandle, say: Ear) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(0, 3)
        say((yield from kernel.pmalloc(pool, 3 * PAGE_SIZE - 1)))
        assert pool.statistics.pages == 3

    assert offsets(Booted(), program) == [(0, 0)]


def test_aligned_to_a_page_every_object_takes_a_page() -> None:
    def program(kernel: KernelHandle, say: Ear) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(0, 12)
        for _ in range(3):
            say((yield from kernel.pmalloc(pool, 1)))

    assert offsets(Booted(), program) == [(0, 0), (1, 0), (2, 0)]


def test_after_a_protection_the_rest_of_the_newest_area_is_given_up() -> None:
    def program(kernel: KernelHandle, say: Ear) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(16 * KIB, 3)
        say((yield from kernel.pmalloc(pool, 1)))
        yield from kernel.pmalloc_protect_pool(pool)
        say((yield from kernel.pmalloc(pool, 1)))
        assert pool.statistics.relinquished == 16376
        assert pool.statistics.pages == 8

    assert offsets(Booted(), program) == [(0, 16376), (1, 16376)]


def test_a_destroyed_area_leaves_its_pages_and_its_guard_to_be_purged() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(16 * KIB, 3)
        yield from kernel.pmalloc(pool, 1)
        yield from kernel.pmalloc_protect_pool(pool)
        yield from kernel.pmalloc_destroy_pool(pool)

    assert Booted().run(program).kernel.vmalloc.lazy_pages == 4 + 1


def test_the_default_alignment_is_that_of_kmalloc_on_x86_64() -> None:
    def program(kernel: KernelHandle, say: Ear) -> Calls:
        pool = yield from kernel.pmalloc_create_pool("4KiB")
        say((yield from kernel.pmalloc(pool, 1)))

    assert offsets(Booted(), program) == [(0, 4088)]


# Broadcasts


def test_creating_a_pool_and_allocating_from_it_broadcasts_nothing() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from filled(kernel, 10)

    assert Booted().run(program).flushes == []


def test_protecting_k_areas_is_k_full_flushes_and_protecting_again_is_none() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled(kernel, 10)
        yield from kernel.pmalloc_protect_pool(pool)
        yield from kernel.pmalloc_protect_pool(pool)
        assert pool.statistics.protects == 2

    assert Booted().run(program).flushes == [full("attributes")] * 10


@pytest.mark.parametrize(("pages", "purge"), [(32, ranged("purge", 33)), (33, full("purge", 34))])
def test_destroying_k_areas_is_k_full_flushes_with_k_minus_1_purges_between(
    pages: int, purge: Any
) -> None:
    booted = Booted()

    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled(kernel, 3, pages)
        yield from kernel.pmalloc_protect_pool(pool)
        booted.calls.clear()
        yield from kernel.pmalloc_destroy_pool(pool)

    booted.run(program)
    attributes = full("attributes")
    assert booted.flushes[-5:] == [attributes, purge, attributes, purge, attributes]


def test_areas_are_protected_and_destroyed_newest_first() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        for pages in (1, 2, 3):
            yield from kernel.pmalloc(pool, pages * PAGE_SIZE)
        yield from kernel.pmalloc_protect_pool(pool)
        yield from kernel.pmalloc_destroy_pool(pool)

    booted = Booted().run(program)
    for call in ("set_memory_ro", "set_memory_rw", "vfree"):
        assert [row["pages"] for row in booted.of_kind(call)] == [3, 2, 1]


def test_protecting_an_empty_pool_does_nothing() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        yield from kernel.pmalloc_protect_pool(pool)
        assert pool.statistics.protects == 1

    assert Booted().run(program).flushes == []


# Protection


def test_a_write_to_a_protected_object_is_a_fault_and_to_its_successor_is_none() -> None:
    ear = Ear()

    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        old = ear((yield from kernel.pmalloc(pool, 24)))
        assert (yield from kernel.write(old, 24))
        yield from kernel.pmalloc_protect_pool(pool)
        new = yield from kernel.pmalloc(pool, 24)
        assert (yield from kernel.write(new, 24))
        assert not (yield from kernel.write(old, 24))

    faults = Booted().run(program).kernel.faults
    assert [(fault.address, fault.reason) for fault in faults] == [(ear.heard[0], "read_only")]


def test_a_destroyed_pool_leaves_the_direct_map_writable() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled(kernel, 1)
        area = kernel.kernel.vmalloc.find(pool.areas[0].mapped.address)
        assert area is not None
        alias = kernel.kernel.direct_map.address(area.runs[0][0])
        yield from kernel.pmalloc_protect_pool(pool)
        assert not (yield from kernel.write(alias, 1))
        yield from kernel.pmalloc_destroy_pool(pool)
        assert (yield from kernel.write(alias, 1))

    Booted().run(program)


def test_what_was_never_protected_is_exposed_until_its_pool_is_destroyed() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        yield from kernel.pmalloc(pool, 24)
        allocated = kernel.task.now
        yield from kernel.task.compute(US)
        yield from kernel.pmalloc_destroy_pool(pool)
        freed = pool.exposure.since
        assert allocated + US <= freed <= kernel.task.now
        assert pool.exposure.at(10**15) == 24 * (freed - allocated)

    Booted().run(program)


def test_exposure_lasts_from_an_allocation_to_the_flush_that_protects_it() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        yield from kernel.pmalloc(pool, 24)
        allocated = kernel.task.now
        yield from kernel.task.sleep(10**9)
        yield from kernel.pmalloc_protect_pool(pool)
        assert pool.exposure.at(10**15) == 24 * (kernel.task.now - allocated)

    booted = Booted().run(program)
    (broadcast,), (protection,) = map(booted.of_kind, ("set_memory_ro", "pmalloc_protect_pool"))
    assert broadcast["end_ps"] == protection["end_ps"]


# Wrappers


@pytest.mark.parametrize("call", ["pmalloc_array", "pcalloc"])
def test_an_array_is_null_for_no_elements_and_for_an_overflow(call: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        allocate = getattr(kernel, call)
        assert (yield from allocate(pool, 0, 24)) is None
        assert (yield from allocate(pool, 1 << 60, 1 << 60)) is None
        assert pool.statistics.areas == 0
        assert (yield from allocate(pool, 3, 24)) is not None
        assert pool.statistics.requested == 72

    Booted().run(program)


def test_an_array_of_no_elements_is_null_even_without_a_pool() -> None:
    def program(kernel: KernelHandle) -> Calls:
        assert (yield from kernel.pmalloc_array(None, 0, 24)) is None

    Booted().run(program)


def test_zeroing_costs_time_for_each_byte_on_top_of_the_allocation() -> None:
    took = Ear()

    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(64 * KIB, 3)
        yield from kernel.pmalloc(pool, 8)
        start = kernel.task.now
        yield from kernel.pmalloc(pool, 1000)
        middle = kernel.task.now
        yield from kernel.pzalloc(pool, 1000)
        took((kernel.task.now - middle) - (middle - start))

    booted = Booted().run(program)
    assert took.heard == [1000 * booted.kernel.costs.fill_byte]


@pytest.mark.parametrize(
    ("string", "size"), [("", 1), ("policy", 7), ("\N{SNOWMAN}", 4), (b"ab\0cd", 3)]
)
def test_a_string_takes_its_bytes_up_to_the_first_nul_and_one_more(
    string: str | bytes, size: int
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        assert (yield from kernel.pstrdup(pool, string)) is not None
        assert pool.statistics.requested == size

    Booted().run(program)
