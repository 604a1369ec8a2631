"""The kernel as a whole, through the calls that a workload gets: counts worked out by hand."""

from __future__ import annotations

import inspect
from collections.abc import Generator
from typing import Any

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.segments import ModuleSegments
from pmsim.units import PAGE_SIZE
from tests.kernel.booted import Booted, Flush, full, ranged

Calls = Generator[Any, Any, Any]
FULL = full("attributes")

CONTRACT = [
    *("pmalloc_create_pool", "pmalloc", "pzalloc", "pcalloc", "pmalloc_array", "pstrdup"),
    *("alloc_many", "pmalloc_protect_pool", "pmalloc_destroy_pool", "pfree", "is_pmalloc_object"),
    *("vmalloc", "vfree", "set_memory_ro", "set_memory_rw", "set_memory_x", "set_memory_nx"),
    *("alloc_pages", "free_pages", "vm_unmap_aliases", "flush_tlb_kernel_range", "flush_tlb_all"),
    *("load_module", "unload_module", "write"),
]
"""Names that people's scripts use; they stay."""


@pytest.mark.parametrize("name", CONTRACT)
def test_a_workload_finds_every_call_under_the_kernels_name(name: str) -> None:
    assert inspect.isfunction(inspect.getattr_static(KernelHandle, name))


def filled_pool(kernel: KernelHandle, areas: int, pages: int) -> Calls:
    pool = yield from kernel.pmalloc_create_pool(refill=pages * PAGE_SIZE, align_order=3)
    for _ in range(areas):
        assert (yield from kernel.pmalloc(pool, pages * PAGE_SIZE)) is not None
    return pool


def test_creating_growing_and_allocating_cost_no_broadcast() -> None:
    assert Booted().run(lambda kernel: filled_pool(kernel, 20, 4)).flushes == []


@pytest.mark.parametrize("areas", [1, 10])
@pytest.mark.parametrize(("pages", "purge"), [(4, "range"), (32, "range"), (33, "full")])
def test_protecting_k_areas_is_k_broadcasts_and_destroying_them_2k_less_1(
    areas: int, pages: int, purge: str
) -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled_pool(kernel, areas, pages)
        for _ in range(2):
            yield from kernel.pmalloc_protect_pool(pool)
        yield from kernel.pmalloc_destroy_pool(pool)
        # What the last area had, and its guard, stays on the lazy list.
        assert kernel.kernel.vmalloc.lazy_pages == pages + 1

    booted = Booted(16).run(program)
    assert booted.flushes.count(FULL) == 2 * areas
    purges = [flush for flush in booted.flushes if flush.cause == "purge"]
    assert purges == [Flush("purge", purge, pages + 1)] * (areas - 1)
    protects = booted.of_kind("pmalloc_protect_pool")
    assert [row["crosscalls"] for row in protects] == [areas, 0]
    assert booted.of_kind("pmalloc_destroy_pool")[0]["crosscalls"] == 2 * areas - 1


def test_an_area_that_was_lazily_freed_before_adds_one_broadcast_to_a_destruction() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled_pool(kernel, 3, 1)
        yield from kernel.pmalloc_protect_pool(pool)
        yield from kernel.vfree((yield from kernel.vmalloc(PAGE_SIZE)))
        yield from kernel.pmalloc_destroy_pool(pool)

    booted = Booted().run(program)
    assert booted.of_kind("pmalloc_destroy_pool")[0]["crosscalls"] == 3 + 2 + 1


def test_a_module_of_five_segments_costs_eight_broadcasts_and_one_to_unload() -> None:
    # Text, rodata, data, init text, init data, and ro_after_init for the jump table.
    segments = ModuleSegments(
        file_pages=10, core_text=4, core_rodata=2, core_ro_after_init=1, core_data=3,
        init_text=1, init_rodata=0, init_ro_after_init=0, init_data=2,
    )  # fmt: skip
    loaded: list[int] = []

    def program(kernel: KernelHandle) -> Calls:
        module = yield from kernel.load_module(segments)
        yield from kernel.task.sleep(10**12)
        loaded.append(kernel.kernel.machine.now)
        assert (yield from kernel.unload_module(module))

    booted = Booted().run(program)
    load = [c for c in booted.calls if c["end_ps"] < loaded[0]]
    assert len(load) == 8
    assert booted.flushes[:6] == [
        FULL, FULL, FULL, ranged("attributes", 4), ranged("attributes", 1), ranged("purge", 11),
    ]  # fmt: skip
    assert [flush.cause for flush in booted.flushes[6:]] == ["attributes"] + ["reset_perms"] * 2


def test_flushes_that_a_workload_asks_for_are_operations_of_its_own() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.flush_tlb_all()
        yield from kernel.flush_tlb_kernel_range(0, 5 * PAGE_SIZE)
        yield from kernel.flush_tlb_kernel_range(0, 50 * PAGE_SIZE)

    booted = Booted().run(program)
    assert booted.flushes == [full("request"), ranged("request", 5), full("request", 50)]
    noted = [(row["kind"], row["pages"], row["crosscalls"]) for row in booted.operations]
    ranges = [("flush_tlb_kernel_range", pages, 1) for pages in (5, 50)]
    assert noted == [("flush_tlb_all", 0, 1), *ranges]


def test_sizes_are_bytes_or_text_with_a_unit() -> None:
    def program(kernel: KernelHandle) -> Calls:
        area = yield from kernel.vmalloc("16KiB")
        assert area.pages == 4
        pool = yield from kernel.pmalloc_create_pool(refill="8KiB", align_order=3)
        first = yield from kernel.pmalloc(pool, "24B")
        second = yield from kernel.pmalloc(pool, 24)
        assert first - second == 24
        assert (yield from kernel.write(second, "1B"))

    Booted().run(program)


def test_there_is_no_pfree_and_the_refusal_says_why() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled_pool(kernel, 1, 1)
        kernel.pfree(pool, 0)

    with pytest.raises(UndefinedBehaviour, match="pmalloc_destroy_pool frees the whole pool"):
        Booted().run(program)


def test_all_cpus_time_is_accounted_for_when_everything_happens_at_once() -> None:
    def program(kernel: KernelHandle) -> Calls:
        for _ in range(5):
            pool = yield from filled_pool(kernel, 3, 2)
            yield from kernel.pmalloc_protect_pool(pool)
            yield from kernel.pmalloc_destroy_pool(pool)

    booted = Booted(4, direct_map_leaf="1GiB", lazy_max_unit="16KiB")
    for cpu in (0, 1, 2, 2):
        booted.spawn(program, cpu)
    booted.run()
    for row in booted.operations:
        parts = row["run_ps"] + row["lock_wait_ps"] + row["crosscall_ps"] + row["delay_ps"]
        assert parts == row["end_ps"] - row["start_ps"]
    attributes = booted.flushes.count(FULL)
    assert attributes == 4 * 5 * 3 * 2


def test_five_levels_count_the_same_broadcasts_as_four() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled_pool(kernel, 4, 3)
        yield from kernel.pmalloc_protect_pool(pool)
        yield from kernel.pmalloc_destroy_pool(pool)

    four, five = Booted(), Booted(page_table_levels=5)
    assert four.run(program).flushes == five.run(program).flushes
