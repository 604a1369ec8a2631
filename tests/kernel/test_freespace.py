"""Free space against a plain set of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.kernel import freespace
from pmsim.kernel.freespace import FreeSpace

START, SIZE = 1000, 120


@pytest.fixture(params=[2, 3, 256])
def chunk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(freespace, "_CHUNK", request.param)
    return int(request.param)


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["take", "take", "give", "scatter"]),
        st.integers(1, 12),
        st.sampled_from([1, 1, 1, 2, 4, 8]),
    ),
    max_size=80,
)


class Numbers:
    """The same space as a set."""

    def __init__(self) -> None:
        self.free = set(range(START, START + SIZE))

    def take(self, size: int, align: int) -> int | None:
        for start in range(START, START + SIZE):
            if start % align == 0 and self.free.issuperset(range(start, start + size)):
                self.free -= set(range(start, start + size))
                return start
        return None

    def scatter(self, size: int) -> list[int] | None:
        if len(self.free) < size:
            return None
        lowest = sorted(self.free)[:size]
        self.free -= set(lowest)
        return lowest


@given(actions=ACTIONS)
def test_it_does_what_a_set_of_numbers_does(actions: list[tuple[str, int, int]]) -> None:
    for size_of_chunk in (2, 3, 256):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(freespace, "_CHUNK", size_of_chunk)
            patch.setattr(freespace, "_CURSORS", 2 if size_of_chunk == 3 else 32)
            _compare(actions)


def _compare(actions: list[tuple[str, int, int]]) -> None:
    space, numbers, taken = FreeSpace(START, SIZE), Numbers(), []
    for action, size, align in actions:
        if action == "take":
            start = space.take(size, align)
            assert start == numbers.take(size, align)
            if start is not None:
                taken.append((start, size))
        elif action == "scatter":
            blocks = space.take_scattered(size)
            flat = None if blocks is None else [n for s, c in blocks for n in range(s, s + c)]
            assert flat == numbers.scatter(size)
            taken += blocks or []
        elif taken:
            start, count = taken.pop(size % len(taken))
            space.give(start, count)
            numbers.free |= set(range(start, start + count))
        assert space.free == len(numbers.free)
        assert [n for s, c in space.blocks() for n in range(s, s + c)] == sorted(numbers.free)


def test_neighbouring_free_blocks_are_one_block(chunk: int) -> None:
    space = FreeSpace(START, SIZE)
    for _ in range(10):
        space.take(12)
    for start in (1024, 1000, 1096, 1048, 1012, 1036):
        space.give(start, 12)
    assert space.blocks() == [(1000, 60), (1096, 12)]


def test_the_lowest_block_that_is_large_enough_wins() -> None:
    space = FreeSpace(0, 100)
    space.take(100)
    for start, size in ((10, 3), (30, 8), (60, 20)):
        space.give(start, size)
    assert space.take(5) == 30
    assert space.take(3) == 10
    assert space.take(4) == 60


def test_a_freed_hole_below_is_found_after_a_search_had_passed_it() -> None:
    space = FreeSpace(0, 100)
    assert [space.take(10) for _ in range(4)] == [0, 10, 20, 30]
    space.give(10, 10)
    assert space.take(10) == 10


@pytest.mark.parametrize(("start", "size"), [(50, 1), (45, 10), (95, 10), (0, 0), (19, 2)])
def test_giving_back_what_is_free_or_outside_is_refused(start: int, size: int) -> None:
    space = FreeSpace(0, 100)
    space.take(20)
    with pytest.raises(ValueError, match="not all taken"):
        space.give(start, size)


def test_a_place_is_looked_for_from_a_number_on(chunk: int) -> None:
    space = FreeSpace(0, 100)
    space.take(100)
    for start, size in ((10, 4), (30, 3), (50, 9), (70, 30)):
        space.give(start, size)
    # Passed by: of the 3 from 30 on one, from 32 on. The 9 from 50 on have 7 from 52 on.
    assert space.take_above(20, 5, 4) == (52, 1)
    assert space.take_above(20, 12, 4) == (72, 1)
    # What reaches to the end does not count as passed by; the 4 below 20 were not looked at.
    assert space.take_above(20, 40) == (None, 3)
    assert space.take_above(0, 4) == (10, 0)


def test_nothing_is_taken_where_too_little_is_free() -> None:
    space = FreeSpace(0, 10)
    assert space.take_scattered(11) is None
    assert space.take(11) is None
    assert space.free == 10
