"""What stands in no counted table, worked out by hand from the rules that every counted row obeys.

Requests that are no whole number of pages, pools whose areas differ in size, and machines of 3, 6
and 12 CPUs. The rules: an area has ``max(rounded request, refill)`` pages; objects are cut off its
end downwards, to a multiple of the alignment; protecting is a full flush for each area; destroying
is, newest first, a full flush, and the area before is flushed by the next: by pages up to 33, its
guard included, everything above. As many pages gather as 8,192 for each bit of the number of CPUs.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pmalloc.pools import Pool
from pmsim.units import PAGE_SIZE
from tests.ground_truth.observed import X86, Counted
from tests.ground_truth.simulated import Calls, Simulation, Step


class Case(NamedTuple):
    """Requests to a pool, the areas that it takes for them, and what is left of the last one."""

    refill: int
    requests: tuple[int, ...]
    areas: tuple[int, ...]
    wasted: int
    left: int
    purges: tuple[int, ...]


CASES = {
    # 16,385 bytes need 5 pages: 20,480 - 16,385 = 4,095, down to 4,088; 3,988, down to 3,984.
    "above the refill": Case(4, (16_385, 100), (5,), 0, 3_984, ()),
    # 33 pages and a guard are flushed as a whole, 32 and a guard page by page.
    "a page too many": Case(1, (131_073, 131_072, 1), (33, 32, 1), 4_088, 4_088, (2, 33)),
    # 8,192 - 5,000 = 3,192; 12,288 - 9,000 = 3,288; 143,360 - 140,000 = 3,360, of which 3,256
    # are left after 100 more, down to 8.
    "of different sizes": Case(2, (5_000, 9_000, 140_000, 100), (2, 3, 35), 6_480, 3_256, (36, 4)),
    # The area of 4 pages has 16,384 - 3 * 5,000 = 1,384 left (down to 8 each time: 1,384).
    "three to an area": Case(4, (5_000,) * 4, (4, 4), 1_384, 11_384, (5,)),
}


def filled(case: Case, pools: list[Pool]) -> Step:
    def create(kernel: KernelHandle) -> Calls:
        pool = yield from kernel.pmalloc_create_pool(case.refill * PAGE_SIZE, 3)
        pools.append(pool)
        for size in case.requests:
            yield from kernel.pmalloc(pool, size)
        yield from kernel.pmalloc_protect_pool(pool)

    return create


@pytest.mark.parametrize("kernel", X86, ids=str)
@pytest.mark.parametrize("cpus", [2, 3, 6, 12])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_pools_of_any_sizes_flush_as_worked_out(kernel: Counted, cpus: int, case: Case) -> None:
    pools: list[Pool] = []
    simulation = Simulation(cpus, kernel)

    def destroy(handle: KernelHandle) -> Calls:
        yield from handle.pmalloc_destroy_pool(pools[0])

    simulation.run([filled(case, pools), destroy])
    statistics = pools[0].statistics
    assert (statistics.areas, statistics.pages) == (len(case.areas), sum(case.areas))
    assert (statistics.wasted, statistics.relinquished) == (case.wasted, case.left)

    created, destroyed = simulation.counts(0), simulation.counts(1)
    assert created["n_cross_calls"] == created["n_cross_full"] == len(case.areas)
    assert created["targets"] == len(case.areas) * (cpus - 1)

    assert destroyed.spans == case.purges
    whole = sum(span > 33 for span in case.purges)
    assert destroyed["n_cross_full"] == len(case.areas) + whole
    assert destroyed["n_cross_range"] == len(case.purges) - whole
    assert destroyed["targets"] == (len(case.areas) + len(case.purges)) * (cpus - 1)
    assert destroyed["vfree_pages_with_guard"] == sum(case.areas) + len(case.areas)


# 2, 3 and 4 bits: 16,384, 24,576 and 32,768 pages may gather; the next free is one too many.
@pytest.mark.parametrize("kernel", X86, ids=str)
@pytest.mark.parametrize(
    ("cpus", "pages", "purged"),
    [
        (3, 1, 16_386),  # the 8,193rd area of 2 pages
        (3, 511, 16_896),  # the 33rd of 512
        (6, 511, 25_088),  # the 49th
        (12, 511, 33_280),  # the 65th
        (12, 99, 32_800),  # the 328th of 100
    ],
)
def test_the_lazy_purge_fires_as_worked_out(
    kernel: Counted, cpus: int, pages: int, purged: int
) -> None:
    cycles = 2 * purged // (pages + 1)

    def churn(handle: KernelHandle) -> Calls:
        for _ in range(cycles):
            area = yield from handle.vmalloc(pages * PAGE_SIZE)
            yield from handle.vfree(area)

    simulation = Simulation(cpus, kernel)
    simulation.run([churn])
    lazies = [event.pages for event in simulation.step_events(0) if event.kind == "purge"]
    assert lazies == [purged, purged]
    assert simulation.counts(0, several=True)["targets"] == 2 * (cpus - 1)
