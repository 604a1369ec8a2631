"""Rare writes: what they map, leave behind and broadcast, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pmalloc.modes import PoolMode
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted, Ear
from tests.kernel.pool_programs import Calls


def pool_of(kernel: KernelHandle, pages: int, mode: PoolMode = "wr") -> Calls:
    """Create a protected pool of one full area, and return it and the area's address."""
    pool = yield from kernel.pmalloc_create_pool(pages * PAGE_SIZE, 3, mode)
    address = yield from kernel.pmalloc(pool, pages * PAGE_SIZE)
    yield from kernel.pmalloc_protect_pool(pool)
    return pool, address


def test_each_page_written_is_mapped_once_more_and_leaves_two_lazily_freed_pages() -> None:
    lazy = Ear()

    def program(kernel: KernelHandle) -> Calls:
        pool, address = yield from pool_of(kernel, 4)
        for start, size in ((0, 8), (PAGE_SIZE - 4, 8), (0, 4 * PAGE_SIZE)):
            assert (yield from kernel.wr_memcpy(address + start, size))
            lazy(kernel.kernel.vmalloc.lazy_pages)
        assert pool.statistics.rare_writes == 1 + 2 + 4

    booted = Booted(pmalloc="prmem").run(program)
    # One page, then two (the write crosses a boundary), then four; each with its guard.
    assert lazy.heard == [2, 6, 14]
    assert len(booted.of_kind("vmap")) == len(booted.of_kind("vunmap")) == 7
    assert [row["pages"] for row in booted.of_kind("wr_memcpy")] == [1, 2, 4]


@pytest.mark.parametrize(("more", "written"), [(PAGE_SIZE, 4), (PAGE_SIZE + 1, 0)])
def test_a_write_may_be_as_large_as_an_area_with_its_guard_and_ends_where_the_area_does(
    more: int, written: int
) -> None:
    # The test of a pool compares with the area's size, guard included; the guard is not mapped.
    def program(kernel: KernelHandle) -> Calls:
        pool, address = yield from pool_of(kernel, 4)
        assert not (yield from kernel.wr_memset(address, 4 * PAGE_SIZE + more))
        assert pool.statistics.rare_writes == written

    booted = Booted(pmalloc="prmem").run(program)
    assert [row["pages"] for row in booted.of_kind("wr_memset")] == [written]


def test_no_rare_write_broadcasts_until_the_list_of_freed_areas_is_too_long() -> None:
    # 4 CPUs: 3 times 1 MiB are tolerated, 768 pages. The 385th write frees the 770th page.
    def program(kernel: KernelHandle) -> Calls:
        _, address = yield from pool_of(kernel, 1)
        for _ in range(384):
            yield from kernel.wr_ptr(address)
        yield from kernel.task.sleep(10**9)
        before_the_last(kernel.task.now)
        yield from kernel.wr_ptr(address)

    before_the_last = Ear()
    booted = Booted(pmalloc="prmem", lazy_max_unit="1MiB").run(program)
    assert [flush.cause for flush in booted.flushes] == ["attributes", "purge"]
    assert booted.calls[-1]["start_ps"] > before_the_last.heard[0]


def test_protected_memory_that_is_written_rarely_stays_read_only() -> None:
    def program(kernel: KernelHandle) -> Calls:
        _, address = yield from pool_of(kernel, 1)
        assert (yield from kernel.wr_memset(address, 24))
        assert not (yield from kernel.write(address, 24))

    faults = Booted(pmalloc="prmem").run(program).kernel.faults
    assert [fault.reason for fault in faults] == ["read_only"]


def test_a_pool_that_allows_it_may_be_written_rarely_before_it_is_protected() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(mode="auto_wr")
        address = yield from kernel.pmalloc(pool, 24)
        assert (yield from kernel.wr_memcpy(address, 24))

    Booted(pmalloc="v23").run(program)


@pytest.mark.parametrize("mode", ["ro", "auto"])
def test_memory_of_a_pool_that_allows_no_rare_writes_is_refused(mode: PoolMode) -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool, address = yield from pool_of(kernel, 1, mode)
        assert not (yield from kernel.wr_memcpy(address, 8))
        assert pool.statistics.rare_writes == 0

    assert Booted(pmalloc="prmem").run(program).of_kind("vmap") == []


def test_memory_of_no_pool_is_refused() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        for address in (None, area.address, kernel.kernel.profile.page_offset):
            assert not (yield from kernel.wr_memset(address, 8))

    Booted(pmalloc="prmem").run(program)


def test_a_write_that_runs_over_the_end_of_an_area_writes_what_lies_before_and_fails() -> None:
    # The kernel compares the write's size with the whole area's, wherever the write begins.
    def program(kernel: KernelHandle) -> Calls:
        pool, address = yield from pool_of(kernel, 2)
        assert not (yield from kernel.wr_memset(address + PAGE_SIZE, 2 * PAGE_SIZE))
        assert pool.statistics.rare_writes == 1
        assert not (yield from kernel.wr_memset(address, 3 * PAGE_SIZE + 1))
        assert pool.statistics.rare_writes == 1

    Booted(pmalloc="prmem").run(program)


def test_interrupts_are_off_for_as_long_as_a_page_is_mapped_written_and_unmapped() -> None:
    def irqs_off(*writes: int) -> int:
        def program(kernel: KernelHandle) -> Calls:
            _, address = yield from pool_of(kernel, 2)
            for size in writes:
                yield from kernel.wr_memcpy(address, size)

        booted = Booted(cpus=1, pmalloc="prmem").run(program)
        return int(booted.machine.accounts()["irqs_off_ps"][0])

    costs = KernelCosts()
    alone = irqs_off()
    # Seven times under a lock of the areas, twice the fixed part, twice the page's entry.
    page = 7 * costs.area_lock_hold + 2 * (costs.vmap + costs.vmap_page)
    assert irqs_off(100) - alone == page + 100 * costs.fill_byte
    assert irqs_off(2 * PAGE_SIZE) - alone == 2 * (page + PAGE_SIZE * costs.fill_byte)


def test_no_write_finds_addresses_when_all_are_in_use() -> None:
    def program(kernel: KernelHandle) -> Calls:
        _, address = yield from pool_of(kernel, 1)
        taken: Any = True
        while taken is not None:
            taken = yield from kernel.vmalloc(PAGE_SIZE)
        assert not (yield from kernel.wr_memcpy(address, 8))

    Booted(pmalloc="prmem", vmalloc_size="64KiB").run(program)
