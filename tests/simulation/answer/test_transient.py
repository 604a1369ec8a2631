from __future__ import annotations

import numpy as np
import pytest

from pmsim.simulation.answer.transient import AS_GOOD, BATCH, LEAST_LEFT, find_transient, mser5


def edges(n: int, length: int = 1000) -> np.ndarray:
    return np.arange(n + 1, dtype=np.int64) * length


def plain_mser5(values: np.ndarray) -> int | None:
    """The rule as White writes it, one truncation at a time; of equally good ones the earliest."""
    n = len(values) // BATCH
    means = [float(np.mean(values[i * BATCH : (i + 1) * BATCH])) for i in range(n)]
    errors = []
    for d in range(n - LEAST_LEFT + 1):
        rest = means[d:]
        mean = sum(rest) / len(rest)
        errors.append(sum((x - mean) ** 2 for x in rest) / len(rest) ** 2)
    best = next(d for d, error in enumerate(errors) if error <= AS_GOOD * min(errors))
    return None if best > n / 2 else best * BATCH


def test_a_burst_before_silence_ends_with_its_last_broadcast() -> None:
    counts = np.array([50, 40, 3] + [0] * 97)
    found = find_transient(edges(100), counts, last_end_ps=2345)
    assert (found.end_ps, found.rule) == (2345, "silent")


def test_no_broadcast_at_all_is_no_transient() -> None:
    found = find_transient(edges(100), np.zeros(100, dtype=int), 0)
    assert (found.end_ps, found.rule) == (0, "silent")


def test_a_run_of_no_length_has_no_transient() -> None:
    found = find_transient(np.zeros(1, dtype=int), np.zeros(0, dtype=int), 0)
    assert (found.end_ps, found.rule) == (0, "silent")


def test_a_burst_before_a_constant_rate_ends_where_the_rate_becomes_constant() -> None:
    counts = np.full(200, 4)
    counts[:13] = 500
    found = find_transient(edges(200), counts, last_end_ps=200_000)
    assert (found.end_ps, found.rule) == (13_000, "mser5")


@pytest.mark.parametrize("seed", range(10))
def test_a_burst_before_a_noisy_rate_ends_within_two_batches_of_where_it_does(seed: int) -> None:
    counts = np.random.default_rng(seed).poisson(4, 800)
    counts[:13] = 500
    found = find_transient(edges(800), counts, last_end_ps=800_000)
    assert found.end_ps is not None
    assert 13_000 <= found.end_ps <= 13_000 + 2 * BATCH * 1000


def test_a_steady_rate_from_the_start_has_no_transient() -> None:
    counts = np.full(200, 7)
    found = find_transient(edges(200), counts, last_end_ps=200_000)
    assert (found.end_ps, found.rule) == (0, "mser5")


def test_a_burst_that_lasts_for_most_of_the_run_leaves_no_steady_part() -> None:
    counts = np.full(200, 4)
    counts[:120] = 500
    found = find_transient(edges(200), counts, last_end_ps=200_000)
    assert (found.end_ps, found.rule) == (None, "none")


def test_a_burst_that_lasts_for_exactly_half_of_the_run_still_leaves_a_steady_part() -> None:
    counts = np.full(200, 4)
    counts[:100] = 500
    found = find_transient(edges(200), counts, last_end_ps=200_000)
    assert (found.end_ps, found.rule) == (100_000, "mser5")
    counts[:105] = 500  # one batch more than half
    found = find_transient(edges(200), counts, last_end_ps=200_000)
    assert (found.end_ps, found.rule) == (None, "none")


def test_too_short_a_series_says_nothing() -> None:
    found = find_transient(edges(49), np.full(49, 3), last_end_ps=49_000)
    assert found.rule == "none"


def test_a_last_interval_that_is_cut_short_does_not_count() -> None:
    counts = np.append(np.full(100, 1000), 1)
    cut = np.append(edges(100), 100_001)
    found = find_transient(cut, counts, last_end_ps=100_001)
    assert (found.end_ps, found.rule) == (0, "mser5")


@pytest.mark.parametrize("seed", range(20))
def test_mser5_is_the_rule_as_it_is_published(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.poisson(5, int(rng.integers(50, 300)))
    values[: int(rng.integers(0, 60))] += int(rng.integers(0, 30))
    assert mser5(values) == plain_mser5(values)
