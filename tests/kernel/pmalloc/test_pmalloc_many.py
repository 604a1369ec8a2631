"""Many allocations at once are the same allocations one by one."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pmsim.kernel.handle import KernelHandle
from pmsim.units import MIB, PAGE_SIZE
from tests.kernel.booted import Booted
from tests.kernel.pool_programs import Calls

SIZES = st.integers(0, 3 * PAGE_SIZE)


@given(
    before=SIZES,
    n=st.integers(0, 300),
    size=SIZES,
    refill=st.integers(0, 5 * PAGE_SIZE),
    align_order=st.integers(-1, 14),
)
def test_allocating_many_is_allocating_them_one_by_one(
    before: int, n: int, size: int, refill: int, align_order: int
) -> None:
    def program(many: bool) -> tuple[Any, ...]:
        booted = Booted(cpus=1, memory="1GiB")
        addresses: list[int | None] = []

        def body(kernel: KernelHandle) -> Calls:
            pool = yield from kernel.pmalloc_create_pool(refill, align_order)
            yield from kernel.pmalloc(pool, before)
            if many:
                addresses.extend((yield from kernel.alloc_many(pool, n, size)))
            else:
                for _ in range(n):
                    addresses.append((yield from kernel.pmalloc(pool, size)))

        booted.run(body)
        (pool,) = booted.kernel.pmalloc.pools
        areas = [(a.mapped.address, a.mapped.pages, a.requested) for a in pool.areas]
        exposed = pool.exposure.at(booted.machine.now)
        now, state = booted.machine.now, (pool.offset, pool.statistics)
        return addresses, areas, state, exposed, now

    assert program(many=True) == program(many=False)


def test_many_allocations_are_one_operation_with_the_areas_as_its_children() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(PAGE_SIZE, 3)
        yield from kernel.alloc_many(pool, 171, 24)

    booted = Booted().run(program)
    # 170 objects of 24 bytes to a page, and one in the next.
    (many,) = booted.of_kind("alloc_many")
    assert many["pages"] == 2
    assert [row["parent"] for row in booted.of_kind("vmalloc")] == [many["id"]] * 2
    assert booted.of_kind("pmalloc") == []


def test_a_hundred_million_allocations_are_computed_not_made() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(2 * MIB, 3)
        objects = yield from kernel.alloc_many(pool, 100_000_000, 24)
        assert objects.complete
        # 2 MiB hold 87,381 objects and 8 bytes; 100,000,000 = 1,144 * 87,381 + 36,136.
        assert pool.statistics.areas == 1145
        assert pool.statistics.wasted == 1144 * 8
        newest = pool.areas[-1].mapped
        assert objects[-1] == newest.address + newest.pages * PAGE_SIZE - 36_136 * 24

    booted = Booted().run(program)
    # The pool's creation, the allocation, and a vmalloc for each area.
    assert booted.kernel.operations.begun == 2 + 1145


def test_allocating_many_stops_at_the_first_null() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(MIB, 3)
        objects = yield from kernel.alloc_many(pool, 100, MIB)
        assert 0 < len(objects) < 100
        assert not objects.complete
        assert pool.statistics.allocations == len(objects)

    Booted(memory="64MiB").run(program)
