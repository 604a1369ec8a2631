"""Intervals that hold what the constants leave open."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

import pmsim
from pmsim.errors import ScenarioError
from pmsim.experiments.constants.uncertainty import interval
from pmsim.simulation.words.sentences import sentences
from tests.experiments.constants.linear import LATENCY, OPEN, VALUES, scenario
from tests.experiments.small import NOISE, POOLS, WORK
from tests.machines import scenario as round_scenario


def test_the_interval_is_that_of_the_sum_of_its_constants(tmp_path: Path) -> None:
    result = pmsim.run_with_uncertainty(scenario(tmp_path), runs=64, workers=1)
    found = result.summary.left_open["latency_mean_ps"]
    rng = np.random.default_rng(7)
    closed = sum(value for name, value in VALUES.items() if name not in OPEN)
    # All three are in the section `ipi`: normal scores with a correlation of 1/2.
    common, own = rng.standard_normal((100_000, 1)), rng.standard_normal((100_000, len(OPEN)))
    factors = 2 ** (2 * norm.cdf((common + own) / np.sqrt(2)) - 1)
    sums = 1000 * (closed + factors @ np.array([VALUES[name] for name in OPEN]))
    low, median, high = np.quantile(sums, (0.1, 0.5, 0.9))
    assert (found.value, found.level, found.n, found.seeds) == (LATENCY, 0.8, 64, 1)
    assert found.low == pytest.approx(low, rel=0.04)
    assert found.median == pytest.approx(median, rel=0.06)
    assert found.high == pytest.approx(high, rel=0.08)


def test_it_is_in_the_summary_and_the_run_is_the_same_without(tmp_path: Path) -> None:
    base = scenario(tmp_path)
    result = pmsim.run_with_uncertainty(base, tmp_path / "out", runs=10, workers=1)
    data = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert data["left_open"]["latency_mean_ps"]["n"] == 10
    plain = pmsim.run(base)
    assert plain.summary.left_open == {}
    assert plain.summary.latency_ps == result.summary.latency_ps
    said = " ".join(sentences(result.summary))
    assert "With constants from their ranges, 80 % of 10 runs lose" in said
    again = pmsim.run_with_uncertainty(base, runs=10, workers=1)
    assert again.summary.left_open == result.summary.left_open


def test_replications_take_turns_so_that_seeds_are_in_the_interval(tmp_path: Path) -> None:
    base = round_scenario(POOLS, NOISE, WORK, cpus=2, seed=5, replications=2)
    result = pmsim.run_with_uncertainty(base, runs=10, workers=1)
    assert {one.seeds for one in result.summary.left_open.values()} == {2}


def test_the_tails_are_alike() -> None:
    found = interval(5.0, np.arange(101.0), 1)
    assert [found.low, found.median, found.high] == pytest.approx([10.0, 50.0, 90.0])


@pytest.mark.parametrize("runs", [9, 10_001])
def test_a_number_of_runs_that_makes_no_sense_is_refused(tmp_path: Path, runs: int) -> None:
    with pytest.raises(ScenarioError, match="runs with other constants"):
        pmsim.run_with_uncertainty(scenario(tmp_path), runs=runs)
