"""What areas cost that have left the caches."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.hardware.costs import MemoryCosts
from pmsim.kernel.addresses.cold_areas import ColdAreas
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.units import NS, PAGE_SIZE
from tests.kernel.booted import Booted

Calls = Generator[Any, Any, Any]
LINE = 40 * NS
MISS = 90 * NS


def cold(areas: int = 8, **keys: Any) -> ColdAreas:
    """Caches that keep so many areas, on CPUs that are 40 ns apart."""
    caches = MemoryCosts(miss=MISS, lines=2 * areas)
    return Booted(4, caches=caches, **keys).kernel.context.part(ColdAreas)


def freed(areas: ColdAreas, **by_cpu: int) -> None:
    for cpu, times in by_cpu.items():
        for _ in range(times):
            areas.freed(int(cpu.removeprefix("cpu")))


def test_what_the_purger_freed_itself_costs_nothing_while_the_caches_keep_it() -> None:
    areas = cold()
    freed(areas, cpu1=8)
    assert areas.purged(8).reached(1, 8) == 0


def test_what_others_freed_comes_from_their_caches() -> None:
    areas = cold()
    freed(areas, cpu0=2, cpu1=6)
    purged = areas.purged(8)
    # Four lines an area (6.1), of which six in eight are another's.
    assert purged.reached(0, 8) == 4 * 6 * LINE
    assert purged.reached(3, 8) == 4 * 8 * LINE
    # A share of them costs a share.
    assert purged.reached(3, 2) == 4 * 2 * LINE
    # The next purge knows nothing of these.
    assert areas.purged(1).reached(3, 1) == 0


def test_of_more_areas_than_caches_keep_the_rest_comes_from_memory() -> None:
    areas = cold()
    freed(areas, cpu1=32)
    purged = areas.purged(32)
    assert purged.reached(1, 32) == 4 * 24 * MISS
    assert purged.reached(0, 32) == 4 * (24 * MISS + 8 * LINE)


@pytest.mark.parametrize(
    ("profile", "lines"),
    [("linux-4.16-arm64", 6), ("linux-6.1-x86_64", 4), ("linux-6.12-x86_64", 2)],
)
def test_a_purge_of_many_areas_takes_the_misses_of_its_generation(profile: str, lines: int) -> None:
    count = 200

    def program(kernel: KernelHandle) -> Calls:
        areas = []
        for _ in range(2 * count):
            areas.append((yield from kernel.vmalloc(PAGE_SIZE)))
        # Every other one, so that none of them are neighbours.
        for area in areas[::2]:
            yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()

    caches = MemoryCosts(miss=MISS, lines=2 * 50)
    booted = Booted(4, profile=profile, caches=caches).run(program)
    (purge,) = booted.of_kind("purge")
    assert purge["run_ps"] == count * 50 * NS + lines * (count - 50) * MISS


def test_a_tree_is_cold_below_the_levels_that_the_caches_keep() -> None:
    areas = cold(8)
    for in_use, levels in ((0, 0), (7, 0), (8, 1), (15, 1), (16, 2), (8 * 1024, 11)):
        areas.in_use = in_use
        assert areas.descent() == levels * MISS


def test_a_list_is_cold_beyond_what_the_caches_keep() -> None:
    step = KernelCosts().area_step
    assert [cold(8).walk(steps) for steps in (0, 8, 11)] == [0, 8 * step, 11 * step + 3 * MISS]


def test_on_a_machine_that_says_nothing_of_its_memory_all_is_cached() -> None:
    areas = Booted(4).kernel.context.part(ColdAreas)
    areas.in_use = 10**6
    freed(areas, cpu0=1000)
    assert areas.descent() == 0
    assert areas.purged(1000).reached(0, 1000) == 0


def test_the_search_up_to_5_1_pays_for_each_area_that_it_passes() -> None:
    def last(live: int) -> int:
        def program(kernel: KernelHandle) -> Calls:
            for _ in range(live):
                yield from kernel.vmalloc(PAGE_SIZE)
            # Module memory lies below, so that the search forgets where it was.
            yield from kernel.vmalloc(PAGE_SIZE)
            yield from kernel.kernel.vmalloc.vmalloc_in(kernel.task, PAGE_SIZE, "modules")
            yield from kernel.vmalloc(PAGE_SIZE)

        booted = Booted(profile="linux-4.16-arm64").run(program)
        return int(booted.of_kind("vmalloc")[-1]["run_ps"])

    assert last(70) - last(20) == 50 * KernelCosts().area_step
