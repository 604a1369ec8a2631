"""Ranges of constants as distributions."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.constants import Kind
from pmsim.experiments.constants.ranges import at, ranges_of
from pmsim.scenario.known import KnownConstant
from tests.experiments.constants.linear import scenario


def constant(low: int, value: int, high: int) -> KnownConstant:
    return KnownConstant("costs.ipi.entry", Kind.TIME, value, "estimate", "", (low, high))


@pytest.mark.parametrize(
    ("share", "value"), [(0, 500), (0.25, 707), (0.5, 1000), (0.75, 1414), (1, 2000)]
)
def test_a_factor_of_two_each_way_is_uniform_in_the_logarithm(share: float, value: int) -> None:
    assert at(constant(500, 1000, 2000), share) == value


def test_the_value_is_the_median_of_a_range_that_is_longer_on_one_side() -> None:
    walk = constant(7_500, 15_000, 75_000)
    assert [at(walk, share) for share in (0, 0.5, 1)] == [7_500, 15_000, 75_000]


def test_a_range_from_nothing_is_uniform_below_the_value() -> None:
    assert at(constant(0, 1000, 2000), 0.25) == 500


@given(st.tuples(*[st.integers(0, 10**9)] * 3), st.floats(0, 1), st.floats(0, 1))
def test_a_value_lies_in_the_range_and_grows_with_the_share(
    ends: tuple[int, int, int], one: float, other: float
) -> None:
    low, value, high = sorted(ends)
    first, second = (at(constant(low, value, high), share) for share in sorted((one, other)))
    assert low <= first <= second <= high


def test_only_what_a_run_asks_for_and_what_is_open_is_varied(tmp_path: Path) -> None:
    names = {one.name for one in ranges_of(scenario(tmp_path)).constants}
    assert {"ipi.delivery", "ipi.entry", "ipi.line"} <= names
    assert not names & {"ipi.queue", "ipi.send", "tlb.invlpg", "kernel.vmalloc", "ipi.exit"}
