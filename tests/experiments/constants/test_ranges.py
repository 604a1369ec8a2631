"""Ranges of constants as distributions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, norm

import pmsim
from pmsim.experiments.constants.ranges import ALIKE, alike, at, ranges_of, section
from tests.experiments.constants.linear import scenario


@pytest.mark.parametrize(
    ("share", "value"), [(0, 500), (0.25, 707), (0.5, 1000), (0.75, 1414), (1, 2000)]
)
def test_a_factor_of_two_each_way_is_uniform_in_the_logarithm(share: float, value: int) -> None:
    assert at((500, 2000), 1000, share) == value


def test_the_value_is_the_median_of_a_range_that_is_longer_on_one_side() -> None:
    assert [at((7_500, 75_000), 15_000, share) for share in (0, 0.5, 1)] == [7_500, 15_000, 75_000]


def test_a_range_from_nothing_is_uniform_below_the_value() -> None:
    assert at((0, 2000), 1000, 0.25) == 500


@given(st.tuples(*[st.integers(0, 10**9)] * 3), st.floats(0, 1), st.floats(0, 1))
def test_a_value_lies_in_the_range_and_grows_with_the_share(
    ends: tuple[int, int, int], one: float, other: float
) -> None:
    low, value, high = sorted(ends)
    first, second = (at((low, high), value, share) for share in sorted((one, other)))
    assert low <= first <= second <= high


def test_only_what_a_run_asks_for_and_what_is_open_is_varied(tmp_path: Path) -> None:
    names = {one.name for one in ranges_of(scenario(tmp_path)).constants}
    assert {"ipi.delivery", "ipi.entry", "ipi.line"} <= names
    assert not names & {"ipi.queue", "ipi.send", "tlb.invlpg", "kernel.vmalloc", "ipi.exit"}


def test_constants_of_a_section_err_together_by_half_and_each_is_uniform() -> None:
    common, first, second = np.random.default_rng(1).random((3, 4000))
    one, other = (np.array(list(map(alike, common, own))) for own in (first, second))
    for shares in (one, other):
        assert kstest(shares, "uniform").pvalue > 0.001
    together = np.corrcoef(norm.ppf(one), norm.ppf(other))[0, 1]
    # The standard error of a correlation of 1/2 over 4,000 pairs is 0.75 / sqrt(4000) = 0.012.
    assert abs(together - ALIKE) < 4 * 0.012


@pytest.mark.parametrize("common", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("own", [0.0, 1.0])
def test_the_ends_of_a_range_are_shares_like_others(common: float, own: float) -> None:
    assert 0 <= alike(common, own) <= 1


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("costs.ipi.delivery.core", "ipi"),
        ("costs.kernel.user_madvise", "kernel"),
        ("host.exit", "host"),
    ],
)
def test_a_section_is_what_a_file_has_under_one_heading(path: str, name: str) -> None:
    assert section(path) == name


def test_on_another_machine_a_constant_is_an_estimate_at_best() -> None:
    machine = pmsim.load("policy-load").resolve().machine
    for one in machine.constants:
        low, high = one.elsewhere
        assert low <= one.ends[0] <= one.value <= one.ends[1] <= high
    found = {one.name: one for one in machine.constants}
    # Derived: 230 ns, a factor of 1.5 each way here. Its own range is no wider than an estimate's.
    assert found["ipi.delivery.core"].ends == (153_000, 345_000)
    assert found["ipi.delivery.core"].elsewhere == (115_000, 460_000)
    # Its field gives 120 ns to 1.5 us from three machines: 60 ns is half of this one's 120.
    assert found["kernel.user_madvise"].ends == (80_000, 180_000)
    assert found["kernel.user_madvise"].elsewhere == (60_000, 1_500_000)
    # A count is a fact of a machine here as elsewhere.
    assert found["ipi.fanout"].elsewhere == (16, 16)
