"""Arithmetic of pools: what pmalloc v21 computes, without time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pmsim.hardware.locks import Mutex
from pmsim.kernel.pmalloc.pools import (
    Allocations,
    Exposure,
    Pool,
    Run,
)

NO_MUTEX = cast(Mutex, None)
"""These tests take no lock."""


@dataclass(frozen=True)
class Mapped:
    address: int
    pages: int

    @property
    def size(self) -> int:
        return 4096 * self.pages


def pool_of(*pages: int, align: int = 8) -> Pool:
    pool = Pool(0, 4096, align, NO_MUTEX)
    for number, count in enumerate(pages):
        pool.add(Mapped(0x100000 * (number + 1), count))
    return pool


def test_objects_lie_one_below_the_other_with_the_slack_above_each() -> None:
    pool = pool_of(1)
    # 4096 - 100 = 3996, rounded down to a multiple of 8: 3992; the 4 bytes above it are slack.
    assert pool.take(100).address == 0x100000 + 3992
    assert pool.take(100).address == 0x100000 + 3888
    assert pool.statistics.slack == 4 + 4


def test_only_the_newest_area_is_looked_at() -> None:
    pool = pool_of(1, 1)
    pool.take(4000)
    # The first area is empty, but it is not the newest.
    assert pool.space_needed(100)
    assert not pool.space_needed(96)


def test_an_alignment_above_a_page_lets_an_object_fit_above_the_last_aligned_offset() -> None:
    # 12 KiB and align 8 KiB: 8 KiB lie below the last aligned offset, 4 KiB above it. An object of
    # 4 KiB fits above; one of 9,000 B fits neither, though 12 KiB are free.
    pool = pool_of(3, align=8192)
    assert not pool.space_needed(4096)
    assert pool.space_needed(9000)
    # In an area of a page all of it lies above that offset, which is its start.
    assert not pool_of(1, align=8192).space_needed(4096)
    assert pool_of(1, align=8192).space_needed(4097)
    assert pool.take(4096).address == 0x100000 + 8192
    # From there on each object, however small, takes a whole 8 KiB.
    assert pool.take(1).address == 0x100000
    assert pool.space_needed(1)


def test_the_rest_of_an_area_is_wasted_when_the_next_object_does_not_fit() -> None:
    pool = pool_of(1)
    pool.take(3000)
    pool.add(Mapped(0x900000, 1))
    assert pool.statistics.wasted == 1096


def test_the_rest_of_the_newest_area_is_relinquished_when_it_is_protected_and_only_once() -> None:
    pool = pool_of(1, 1)
    pool.take(100)
    for area in pool.unprotected():
        pool.mark_protected(area, 0)
    assert pool.statistics.relinquished == 3992
    # The first area was abandoned whole when the second came; that is waste, not relinquished.
    assert pool.statistics.wasted == 4096
    pool.add(Mapped(0x900000, 1))
    assert pool.statistics.wasted == 4096


def test_protection_stops_at_the_first_protected_area() -> None:
    pool = pool_of(1, 2, 3)
    pool.areas[1].protected = True
    assert [area.mapped.pages for area in pool.unprotected()] == [3]


@given(
    sizes=st.lists(st.integers(0, 9000), min_size=1, max_size=60),
    align_order=st.integers(0, 14),
    protect=st.sets(st.integers(0, 59)),
)
def test_every_byte_of_a_pool_is_asked_for_slack_wasted_relinquished_or_free(
    sizes: list[int], align_order: int, protect: set[int]
) -> None:
    pool = Pool(0, 4096, 1 << align_order, NO_MUTEX)
    for number, size in enumerate(sizes):
        if pool.space_needed(size):
            pool.add(Mapped(0x100000 * (number + 1), -(-max(size, 4096) // 4096)))
        pool.take(size)
        if number in protect:
            for area in pool.unprotected():
                pool.mark_protected(area, number)
    was = pool.statistics
    assert was.requested == sum(sizes)
    assert was.pages * 4096 == (
        was.requested + was.slack + was.wasted + was.relinquished + pool.free
    )


@given(
    size=st.integers(0, 5000),
    count=st.integers(1, 400),
    pages=st.integers(1, 5),
    align_order=st.integers(0, 14),
)
def test_taking_a_run_is_taking_its_objects_one_by_one(
    size: int, count: int, pages: int, align_order: int
) -> None:
    at_once, singly = pool_of(pages, align=1 << align_order), pool_of(pages, align=1 << align_order)
    assume(not at_once.space_needed(size))
    fits = at_once.room(size, count)
    run = at_once.take(size, fits)
    addresses: list[int] = []
    while len(addresses) < count and not singly.space_needed(size):
        addresses.append(singly.take(size).address)
    assert list(Allocations(fits, [run])) == addresses
    assert (at_once.offset, at_once.statistics) == (singly.offset, singly.statistics)


def test_an_address_of_many_is_computed_without_the_others() -> None:
    objects = Allocations(10**12, [Run(10**15, 8, 10**12 - 1), Run(5000, 8, 1)])
    assert objects[10**11] == 10**15 - 8 * 10**11
    assert objects[-1] == 5000
    assert objects[10**12 - 2 :] == [10**15 - 8 * (10**12 - 2), 5000]
    assert objects.complete
    with pytest.raises(IndexError):
        objects[10**12]


def test_fewer_objects_than_wanted_are_not_complete() -> None:
    objects = Allocations(3, [Run(4096, 8, 2)])
    assert (len(objects), objects.complete) == (2, False)


def test_exposure_is_the_integral_of_writable_bytes_over_time() -> None:
    exposure = Exposure()
    exposure.change(100, 24)
    exposure.change(150, 8)
    exposure.change(160, -32)
    # 24 bytes for 50 ps, then 32 bytes for 10 ps, then none.
    assert exposure.at(1000) == 24 * 50 + 32 * 10


@given(
    step=st.integers(0, 10**6), steps=st.integers(1, 500), size=st.integers(0, 10**6),
    writable=st.integers(0, 10**6),
)  # fmt: skip
def test_a_ramp_is_its_steps_one_by_one(step: int, steps: int, size: int, writable: int) -> None:
    ramped, stepped = Exposure(writable), Exposure(writable)
    ramped.ramp(0, steps * step, steps, size)
    for number in range(1, steps + 1):
        stepped.change(number * step, size)
    assert ramped == stepped
