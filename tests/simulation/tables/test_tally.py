"""Tallies: what they say is what the sorted numbers say."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.simulation.tables import tally as module
from pmsim.simulation.tables.tally import Tally

CHUNKS = st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=30), min_size=1, max_size=8)


def _tally(chunks: list[list[int]]) -> Tally:
    tally = Tally()
    for chunk in chunks:
        tally.add(np.array(chunk, dtype=np.int64))
    return tally


@given(chunks=CHUNKS)
def test_a_tally_knows_every_place_of_the_sorted_numbers(chunks: list[list[int]]) -> None:
    numbers = sorted(n for chunk in chunks for n in chunk)
    tally = _tally(chunks)
    assert [tally.at(place) for place in range(1, tally.count + 1)] == numbers
    assert (tally.count, tally.total) == (len(numbers), sum(numbers))


@given(chunks=CHUNKS, share=st.sampled_from([0.5, 0.9, 0.99]))
def test_its_quantile_is_that_of_the_inverted_distribution(
    chunks: list[list[int]], share: float
) -> None:
    numbers = [n for chunk in chunks for n in chunk]
    beyond = len(numbers) * (1 - share) >= 1 - 1e-9
    expected = np.quantile(numbers, share, method="inverted_cdf") if beyond else None
    assert _tally(chunks).quantile(share) == expected


def test_merging_early_and_often_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    chunks = [[n % 7, n % 3, n] for n in range(50)]
    late = _tally(chunks)
    monkeypatch.setattr(module, "_PATIENCE", 1)
    early = _tally(chunks)
    places = range(1, late.count + 1)
    assert [early.at(place) for place in places] == [late.at(place) for place in places]


def test_a_sum_beyond_64_bits_is_exact() -> None:
    assert _tally([[2**61] * 9, [1]]).total == 9 * 2**61 + 1


def test_what_is_above_a_bound_is_counted_and_summed() -> None:
    tally = Tally()
    tally.add(np.array([5, 7, 5, 9, 7]))
    assert [tally.above(bound) for bound in (0, 5, 8, 9)] == [(5, 33), (3, 23), (1, 9), (0, 0)]


def test_there_is_no_place_beyond_the_last() -> None:
    with pytest.raises(IndexError, match="place 3 of 2"):
        _tally([[4, 4]]).at(3)


def test_memory_grows_with_the_distinct_numbers_alone() -> None:
    few, many = Tally(), Tally()
    chunk = np.arange(1_000).repeat(30)
    tracemalloc.start()
    for tally, chunks in ((few, 10), (many, 400)):
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(chunks):
            tally.add(chunk)
        peak = tracemalloc.get_traced_memory()[1] - before
        assert peak < 8 << 20
    tracemalloc.stop()
    assert (few.count, many.count) == (300_000, 12_000_000)
