from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from scipy import stats

from pmsim.confidence import (
    BATCHES,
    LEAST,
    batch_means,
    bootstrap_interval,
    difference_interval,
    mean_interval,
    t_quantile,
)


def rng(seed: int = 7) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_the_interval_of_a_mean_is_student_s() -> None:
    # s² of 1 to 5 is 2.5; the table's t for 4 degrees of freedom and 95 % is 2.776.
    found = mean_interval([1, 2, 3, 4, 5])
    assert (found.mean, found.n, found.method) == (3.0, 5, "t")
    half = 2.776 * (2.5 / 5) ** 0.5
    assert found.half_width == pytest.approx(half, rel=1e-3)
    assert found.low == pytest.approx(3 - half, rel=1e-3)
    assert found.relative == pytest.approx(half / 3, rel=1e-3)


def test_another_level_widens_it() -> None:
    # 4.604: the table's t for 4 degrees of freedom and 99 %.
    found = mean_interval([1, 2, 3, 4, 5], 0.99)
    assert found.half_width == pytest.approx(4.604 * 0.5**0.5, rel=1e-3)


def intervals(values: list[float]) -> list:
    return [mean_interval(values), bootstrap_interval(values, rng())]


@pytest.mark.parametrize("n", range(LEAST))
def test_fewer_than_five_values_are_not_enough_data(n: int) -> None:
    for found in intervals([float(value) for value in range(n)]):
        assert found.method == "not enough data"
        assert (found.low, found.high, found.half_width, found.relative) == (None,) * 4
        assert found.mean == (None if n == 0 else (n - 1) / 2)


def test_values_that_are_not_known_are_left_out() -> None:
    known = [1.0, 2.0, 3.0, 4.0, 5.0]
    with_holes = [1.0, np.nan, 2.0, 3.0, np.nan, 4.0, 5.0]
    assert intervals(with_holes) == intervals(known)
    assert mean_interval(with_holes[:-1]).method == "not enough data"


def test_values_that_never_differ_are_known_exactly_and_without_a_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for found in [*intervals([7.0] * 6), batch_means([7.0] * 200)]:
            assert (found.low, found.mean, found.high, found.method) == (7.0, 7.0, 7.0, "constant")
            assert found.relative == 0.0


def test_values_that_differ_by_rounding_alone_do_not_differ() -> None:
    thirds = [0.1 + 0.2, 0.3, 0.3, 0.3, 0.3]
    assert len(set(thirds)) == 2
    assert mean_interval(thirds).method == "constant"
    assert mean_interval([0.3, 0.3 + 1e-9, 0.3, 0.3, 0.3]).method == "t"


def test_of_a_mean_of_zero_there_is_no_relative_width() -> None:
    assert mean_interval([-2, -1, 0, 1, 2]).relative is None


def test_a_bootstrap_is_the_same_for_the_same_stream_and_lies_within_the_values() -> None:
    values = rng(1).exponential(size=30)
    first, again, other = (bootstrap_interval(values, rng(seed)) for seed in (1, 1, 2))
    assert first == again
    assert first.low != other.low
    assert values.min() < first.low < values.mean() < first.high < values.max()


def test_a_bootstrap_of_many_values_agrees_with_the_normal_interval() -> None:
    values = rng(2).normal(10, 1, 400)
    found = bootstrap_interval(values, rng())
    assert found.half_width == pytest.approx(1.96 * values.std(ddof=1) / 20, rel=0.1)


def test_batch_means_need_batches_of_five() -> None:
    assert batch_means(np.arange(BATCHES * 5 - 1)).method == "not enough data"
    assert batch_means(np.arange(BATCHES * 5)).method == "batch means"
    assert batch_means([]).mean is None


def test_batch_means_of_independent_values_agree_with_the_normal_interval() -> None:
    widths = [batch_means(rng(seed).normal(size=2000)).half_width for seed in range(50)]
    # 28.5 degrees of freedom: t is 2.05 instead of 1.96.
    assert np.mean(widths) == pytest.approx(2.05 / 2000**0.5, rel=0.05)


def test_batch_means_are_those_of_the_definition() -> None:
    values = rng(3).normal(size=100)
    n, m = 100, 5
    means = [values[i : i + m].mean() for i in range(n - m + 1)]
    spread = sum((mean - values.mean()) ** 2 for mean in means)
    variance = m * spread / ((n - m + 1) * (n - m))
    found = batch_means(values)
    # 2.048: the table's t for 28 degrees of freedom; there are 1.5 x (100 / 5 - 1) = 28.5.
    assert found.half_width == pytest.approx(2.048 * variance**0.5, rel=2e-3)


def correlated(seed: int, n: int) -> np.ndarray:
    """A series in which each value keeps nine tenths of the one before; its mean is 0."""
    noise = rng(seed).normal(size=n)
    values = np.empty(n)
    last = noise[0] / (1 - 0.81) ** 0.5
    for place in range(n):
        last = values[place] = 0.9 * last + noise[place]
    return values


def test_batch_means_of_dependent_values_hold_the_truth_as_often_as_they_say() -> None:
    found = [batch_means(correlated(seed, 4000)) for seed in range(200)]
    assert sum(one.low <= 0 <= one.high for one in found) >= 180
    # The plain t interval takes dependent values for independent ones, and fails.
    plain = [mean_interval(correlated(seed, 4000)) for seed in range(200)]
    assert sum(one.low <= 0 <= one.high for one in plain) < 120


@pytest.mark.parametrize("freedom", [1, 4, 7.5, 28.5, 99, 1e6])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.999])
def test_the_quantile_of_t_is_scipy_s_to_the_bit(freedom: float, level: float) -> None:
    assert t_quantile(freedom, level) == stats.t.ppf((1 + level) / 2, freedom)


def test_the_interval_of_a_mean_is_scipy_s() -> None:
    values = rng(4).exponential(size=17)
    found, theirs = mean_interval(values, 0.9), stats.ttest_1samp(values, 0)
    assert (found.low, found.high) == pytest.approx(theirs.confidence_interval(0.9), rel=1e-14)


def test_the_interval_of_a_difference_is_that_of_welch() -> None:
    first, second = rng(5).normal(3, 1, 9), rng(6).normal(5, 4, 30)
    found = difference_interval(first, second, 0.99)
    theirs = stats.ttest_ind(second, first, equal_var=False).confidence_interval(0.99)
    assert (found.low, found.high) == pytest.approx(tuple(theirs), rel=1e-13)
    assert (found.mean, found.n) == (second.mean() - first.mean(), 9)


def test_a_difference_of_few_values_or_of_constants_has_no_t() -> None:
    assert difference_interval([1, 2, 3], [4, 5, 6, 7, 8]).method == "not enough data"
    constant = difference_interval([1] * 5, [3] * 6)
    assert (constant.low, constant.mean, constant.high, constant.method) == (2, 2, 2, "constant")


def test_a_t_quantile_does_not_load_scipy_stats() -> None:
    program = (
        "import sys; from pmsim.confidence import batch_means, mean_interval\n"
        "mean_interval([1, 2, 3, 4, 5]); batch_means(range(100)); "
        "assert 'scipy.stats' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
