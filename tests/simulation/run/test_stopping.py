from __future__ import annotations

from typing import Any

import pytest

import pmsim
from pmsim.confidence import LEAST
from pmsim.errors import ScenarioError
from pmsim.simulation.run.stopping import Fixed, Precise, precision_of, stopping_of
from tests.experiments.small import MEASURE, POOLS, small
from tests.machines import scenario


def rows(*values: float) -> list[dict[str, Any]]:
    return [{"lost_share": value} for value in values]


def test_a_fixed_number_never_looks_at_the_rows() -> None:
    assert Fixed(7).target(7, lambda: 1 / 0) == 7


def test_a_precise_one_begins_with_as_many_as_an_interval_needs() -> None:
    assert stopping_of(1, 0.05, None, 0).target(0, list) == LEAST
    assert stopping_of(9, 0.05, None, 0).target(0, list) == 9


def test_narrow_intervals_end_it() -> None:
    found = rows(1.0, 1.01, 0.99, 1.0, 1.0)
    assert Precise(0.05, 5, 100, 0).target(5, lambda: found) == 5


def test_wide_intervals_ask_for_as_many_as_their_width_tells() -> None:
    # Mean 3, s = 1.58, half width 2.776 x 1.58 / sqrt(5) = 1.963: 65 % of the mean. For 60 % it
    # takes (65.4 / 60)² = 1.19 as many, for 5 % far more than twice as many.
    found = rows(1, 2, 3, 4, 5)
    assert Precise(0.6, 5, 100, 0).target(5, lambda: found) == 6
    assert Precise(0.05, 5, 100, 0).target(5, lambda: found) == 10
    assert Precise(0.05, 5, 8, 0).target(5, lambda: found) == 8
    assert Precise(0.05, 5, 5, 0).target(5, lambda: found) == 5


def test_a_headline_that_no_replication_knows_is_not_waited_for() -> None:
    found = [{"lost_share": 1.0, "latency_p99_ps": None} for _ in range(5)]
    assert Precise(0.05, 5, 100, 0).target(5, lambda: found) == 5


def test_one_that_few_replications_know_is_waited_for() -> None:
    found = [{"lost_share": 1.0, "latency_p99_ps": 3.0 if n == 0 else None} for n in range(5)]
    assert Precise(0.05, 5, 100, 0).target(5, lambda: found) == 10


@pytest.mark.parametrize(
    ("text", "value"), [("5%", 0.05), ("5 %", 0.05), ("0.1", 0.1), (0.02, 0.02)]
)
def test_a_precision_is_a_share(text: Any, value: float) -> None:
    assert precision_of(text) == value


@pytest.mark.parametrize("text", ["", "%", "five", "0", "0%", "100%", "-5%", "1/0", "nan", 1.5])
def test_what_is_no_share_is_refused(text: Any) -> None:
    with pytest.raises(ScenarioError, match="no precision"):
        precision_of(text)


def test_numbers_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ScenarioError, match=r"max_replications: .* without a precision"):
        stopping_of(1, None, 10, 0)
    with pytest.raises(ScenarioError, match=r"max_replications: at most 3 .* the first 5"):
        stopping_of(1, "5%", 3, 0)
    with pytest.raises(ScenarioError, match="are none"):
        stopping_of(0, None, None, 0)


def test_a_run_adds_replications_until_it_is_precise() -> None:
    result = pmsim.run(small(seed=2), precision="25%", max_replications=40)
    count = result.manifest["replications"]
    assert LEAST < count <= 40
    assert result.cpus["replication"].nunique() == count
    one = result.summary["intervals"]["lost_share"]
    assert one["n"] == count
    assert (one["high"] - one["low"]) / 2 <= 0.25 * one["mean"]
    again = pmsim.run(pmsim.Scenario.from_dict(result.manifest["scenario"]))
    assert again.crosscalls.equals(result.crosscalls)


def test_a_run_that_cannot_be_precise_ends_with_the_most() -> None:
    result = pmsim.run(small(seed=2), precision="0.01%", max_replications=7)
    assert result.manifest["replications"] == 7
    assert result.manifest["precision"] == 0.0001


def test_a_run_without_chance_is_precise_at_once() -> None:
    fixed = {**POOLS, "arrival": {"every": "50us"}}
    result = pmsim.run(scenario(fixed, measure=MEASURE), precision=0.01)
    assert result.manifest["replications"] == LEAST
