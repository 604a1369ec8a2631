"""What pmalloc v21 makes of bad input, row by row, and what is undefined."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pmalloc.pools import Pool
from pmsim.units import KIB, MIB, PAGE_SIZE
from tests.kernel.booted import Booted, Ear
from tests.kernel.pool_programs import Calls, filled, offsets

SIZE_MAX = 2**64 - 1


def test_size_0_from_an_empty_pool_grows_it_and_returns_the_address_of_its_guard_page() -> None:
    def program(kernel: KernelHandle, say: Ear) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        address = say((yield from kernel.pmalloc(pool, 0)))
        assert not (yield from kernel.write(address, 1))

    assert offsets(Booted(), program) == [(0, PAGE_SIZE)]


def test_size_0_where_there_is_room_returns_the_address_of_the_last_object_again() -> None:
    def program(kernel: KernelHandle, say: Ear) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        for size in (100, 0, 0):
            say((yield from kernel.pmalloc(pool, size)))

    assert offsets(Booted(), program) == [(0, 3992)] * 3


def test_size_0_after_a_protection_grows_a_fresh_area_and_returns_its_end() -> None:
    def program(kernel: KernelHandle, say: Ear) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        say((yield from kernel.pmalloc(pool, 100)))
        yield from kernel.pmalloc_protect_pool(pool)
        say((yield from kernel.pmalloc(pool, 0)))

    assert offsets(Booted(), program) == [(0, 3992), (1, PAGE_SIZE)]


@pytest.mark.parametrize("size", [2 * 64 * 1024 * MIB, SIZE_MAX - 10, SIZE_MAX])
def test_a_size_beyond_all_memory_is_null_and_leaves_the_pool_as_it_was(size: int) -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        yield from kernel.pmalloc(pool, 100)
        before = (pool.offset, len(pool.areas))
        assert (yield from kernel.pmalloc(pool, size)) is None
        assert (pool.offset, len(pool.areas)) == before
        assert (yield from kernel.pmalloc(pool, 100)) is not None

    Booted().run(program)


def test_a_refill_that_wraps_grows_the_pool_by_what_is_asked() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(SIZE_MAX)
        assert (yield from kernel.pmalloc(pool, 5000)) is not None
        assert pool.statistics.pages == 2

    Booted().run(program)


def test_a_huge_refill_is_accepted_and_fails_when_the_pool_grows() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(1 << 50)
        assert (yield from kernel.pmalloc(pool, 24)) is None

    Booted().run(program)


def test_an_alignment_above_a_page_is_kept_within_the_area_only() -> None:
    def program(kernel: KernelHandle, say: Ear) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(16 * KIB, 13)
        for _ in range(2):
            say((yield from kernel.pmalloc(pool, 24)))
        address = say((yield from kernel.pmalloc(pool, 24)))
        assert address % 8192 != 0

    # The first area starts where the vmalloc range does; the second 5 pages on, at no multiple.
    assert offsets(Booted(), program) == [(0, 8192), (0, 0), (1, 8192)]


def test_destroying_areas_that_were_never_protected_works_and_counts_them() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled(kernel, 2)
        yield from kernel.pmalloc_protect_pool(pool)
        yield from kernel.pmalloc(pool, 1)
        yield from kernel.pmalloc_destroy_pool(pool)
        assert pool.statistics.unprotected_destroyed == 1

    booted = Booted().run(program)
    assert len(booted.kernel.vmalloc.areas) == 0
    # What was never read-only is not flushed when it is made writable; it purges all the same.
    assert len(booted.flushes) == 2 + 2 + 2


@pytest.mark.parametrize(
    "call",
    [
        lambda kernel: kernel.pmalloc(None, 24),
        lambda kernel: kernel.pzalloc(None, 24),
        lambda kernel: kernel.alloc_many(None, 3, 24),
        lambda kernel: kernel.pstrdup(None, "x"),
        lambda kernel: kernel.pmalloc_protect_pool(None),
        lambda kernel: kernel.pmalloc_destroy_pool(None),
    ],
)
def test_a_null_pool_is_undefined(call: Callable[[KernelHandle], Calls]) -> None:
    with pytest.raises(UndefinedBehaviour, match="NULL pool"):
        Booted().run(call)


@pytest.mark.parametrize(
    "call",
    [
        lambda kernel, pool: kernel.pmalloc(pool, 24),
        lambda kernel, pool: kernel.alloc_many(pool, 3, 24),
        lambda kernel, pool: kernel.pmalloc_protect_pool(pool),
        lambda kernel, pool: kernel.pmalloc_destroy_pool(pool),
    ],
)
def test_using_a_destroyed_pool_is_undefined_and_the_error_says_when(
    call: Callable[[KernelHandle, Pool], Calls],
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled(kernel, 1)
        yield from kernel.pmalloc_destroy_pool(pool)
        yield from call(kernel, pool)

    with pytest.raises(UndefinedBehaviour, match="after it was destroyed") as caught:
        Booted().run(program)
    assert caught.value.at_ps is not None
    assert caught.value.at_ps > 0


def test_copying_no_string_is_undefined() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        yield from kernel.pstrdup(pool, None)

    with pytest.raises(UndefinedBehaviour, match="NULL string"):
        Booted().run(program)


def test_an_alignment_that_shifts_by_the_width_of_a_word_is_undefined() -> None:
    with pytest.raises(UndefinedBehaviour, match="align_order 64"):
        Booted().run(lambda kernel: kernel.pmalloc_create_pool(0, 64))


def test_there_is_no_pfree_and_the_error_says_why() -> None:
    with pytest.raises(UndefinedBehaviour, match="shares its read-only pages with others"):
        Booted().run(lambda kernel: kernel.pfree(None, 0xFFFFC90000000000))


@pytest.mark.parametrize("size", [-1, SIZE_MAX + 1])
def test_a_size_that_no_size_t_holds_is_an_error_of_the_program(size: int) -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        yield from kernel.kernel.pmalloc.pmalloc(kernel.task, pool, size)

    with pytest.raises(ProgramError, match="no size_t holds"):
        Booted().run(program)


def test_a_negative_number_of_objects_is_an_error_of_the_program() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool()
        yield from kernel.alloc_many(pool, -1, 24)

    with pytest.raises(ProgramError, match="-1 objects"):
        Booted().run(program)
