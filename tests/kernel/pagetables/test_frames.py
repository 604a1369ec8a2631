"""Physical memory."""

from __future__ import annotations

import pytest

from pmsim.kernel.pagetables.frames import MAX_ORDERS, Frames

FIRST = 4096
"""The frame behind the first 16 MiB."""


def test_the_first_16_mib_are_never_given_out() -> None:
    frames = Frames(FIRST + 10)
    assert (frames.total, frames.free) == (FIRST + 10, 10)
    assert frames.allocate(10) == [(FIRST, 10)]
    assert frames.allocate(1) is None
    assert Frames(100).free == 0


def test_an_allocation_gets_the_lowest_free_frames_in_runs() -> None:
    frames = Frames(FIRST + 100)
    first, second, _ = frames.allocate(3), frames.allocate(5), frames.allocate(2)
    assert second == [(FIRST + 3, 5)]
    assert first is not None
    frames.release(first)
    assert frames.allocate(4) == [(FIRST, 3), (FIRST + 10, 1)]


def test_a_block_is_aligned_to_its_size() -> None:
    frames = Frames(FIRST + 4096)
    frames.allocate(3)
    assert frames.allocate_block(0) == FIRST + 3
    assert frames.allocate_block(5) == FIRST + 32
    assert frames.allocate_block(9) == FIRST + 512
    assert frames.allocate_block(1) == FIRST + 4


@pytest.mark.parametrize("order", [-1, MAX_ORDERS[12], 60])
def test_an_order_that_the_buddy_allocator_does_not_have_gives_nothing(order: int) -> None:
    frames = Frames(1 << 30)
    free = frames.free
    assert frames.allocate_block(order) is None
    assert frames.free == free


def test_frames_are_released_once() -> None:
    frames = Frames(FIRST + 10)
    runs = frames.allocate(4)
    assert runs is not None
    frames.release(runs)
    with pytest.raises(ValueError, match="not all taken"):
        frames.release(runs)


def test_highmem_goes_to_areas_first_and_never_to_blocks() -> None:
    frames = Frames(10_000, lowmem=8_000)
    assert (frames.total, frames.lowmem, frames.free) == (10_000, 8_000, 10_000 - 4_096)
    assert frames.allocate(1_500) == [(8_000, 1_500)]
    # The last 500 of highmem, then the lowest of the others.
    assert frames.allocate(600) == [(9_500, 500), (4_096, 100)]
    assert frames.allocate(10) == [(4_196, 10)]
    assert frames.allocate_block(0) == 4_206
    frames.release([(9_500, 500), (4_096, 100)])
    assert frames.allocate(600) == [(9_500, 500), (4_096, 100)]


def test_blocks_of_an_area_are_aligned_and_all_or_none() -> None:
    frames = Frames(4_096 + 1_200)
    free = frames.free
    assert frames.allocate(1_024, block=512) == [(4_096, 512), (4_608, 512)]
    frames.release([(4_096, 512), (4_608, 512)])
    assert frames.allocate(1_536, block=512) is None
    assert frames.free == free


def test_without_highmem_every_frame_has_an_alias() -> None:
    frames = Frames(10_000)
    assert frames.lowmem == 10_000
    assert frames.allocate(0) == []
