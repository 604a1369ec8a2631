"""An SELinux policy of real size: pages of a pool beside the slabs that it takes today."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.pmalloc.pools import PoolStatistics
from pmsim.units import KIB, PAGE_SIZE
from tests.ground_truth.published import published
from tests.ground_truth.simulated import Simulation

NODES, SLABS, PER_SLAB, BYTES = map(int, published("M0650", "M0651", "M0652", "M0653"))
NODE = 24
"""Bytes of a node of the access-vector table."""


def load_policy(refill: int, align_order: int = 3) -> tuple[PoolStatistics, int]:
    """Load the policy into a pool; return what the pool did and the broadcasts it took."""
    pools = []

    def program(kernel: KernelHandle) -> Generator[Any, Any, Any]:
        pool = yield from kernel.pmalloc_create_pool(refill, align_order)
        yield from kernel.alloc_many(pool, NODES, NODE)
        yield from kernel.pmalloc_protect_pool(pool)
        pools.append(pool)

    simulation = Simulation(4)
    simulation.run([program])
    return pools[0].statistics, simulation.counts(0)["n_cross_calls"]


def test_the_published_bytes_are_the_room_in_the_slabs_not_the_nodes() -> None:
    assert BYTES == SLABS * PER_SLAB * NODE
    assert PER_SLAB == PAGE_SIZE // NODE
    # 573 slabs have room for 97,410 nodes, 680 more than the policy has.
    assert SLABS * PER_SLAB - NODES == 680 == 4 * PER_SLAB


def test_a_pool_of_single_pages_takes_569_of_them_four_fewer_than_there_are_slabs() -> None:
    pool, broadcasts = load_policy(PAGE_SIZE)
    # 24 is a multiple of 8, so nothing is lost to alignment: a page holds 170 nodes and 16 bytes,
    # just as a slab does, and 96,730 = 569 * 170. A pool fills each page before it takes the next;
    # the slab cache keeps slabs partly filled: four slabs' worth of room in all.
    assert NODES == 569 * PER_SLAB
    assert (pool.areas, pool.pages) == (569, 569)
    assert SLABS - pool.pages == 4
    assert pool.slack == 0
    assert pool.wasted + pool.relinquished == 569 * (PAGE_SIZE - PER_SLAB * NODE)
    assert broadcasts == 569


@pytest.mark.parametrize(
    ("refill", "areas", "pages"),
    [
        # 65,536 = 2,730 * 24 + 16, and 96,730 = 35 * 2,730 + 1,180: 36 areas of 16 pages.
        (64 * KIB, 36, 576),
        # 1,048,576 = 43,690 * 24 + 16, and 96,730 = 2 * 43,690 + 9,350: 3 areas of 256 pages.
        (1024 * KIB, 3, 768),
        # All 2,321,520 bytes in one area of 567 pages.
        (NODES * NODE, 1, 567),
    ],
)
def test_a_larger_refill_takes_fewer_areas_and_broadcasts_but_fills_the_last_less(
    refill: int, areas: int, pages: int
) -> None:
    pool, broadcasts = load_policy(refill)
    assert (pool.areas, pool.pages) == (areas, pages)
    assert broadcasts == areas


def test_an_alignment_of_32_bytes_costs_a_third_more_pages() -> None:
    pool, _ = load_policy(PAGE_SIZE, align_order=5)
    # 128 nodes to a page, 8 bytes above each; 96,730 = 755 * 128 + 90.
    assert pool.pages == 756
    assert pool.slack == NODES * 8
