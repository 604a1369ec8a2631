from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Pmsim
from tests.experiments.constants.linear import scenario
from tests.scenario_files import write_scenario


@pytest.fixture
def linear(tmp_path: Path) -> Path:
    """A scenario whose latency is a sum of constants, three of them open."""
    return write_scenario(tmp_path, scenario(tmp_path).as_dict(), "linear.yaml")


def test_it_answers_in_words_and_a_table_and_goes_on_where_it_was(
    pmsim: Pmsim, linear: Path
) -> None:
    command = ("sensitivity", linear, "--metric", "latency_mean_ps", "--trajectories", 2,
               "--points", 8, "--workers", 1, "--out", "sure")  # fmt: skip
    done = pmsim(*map(str, command))
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "of that spread hangs on ipi.delivery = 800 ns (estimate, 400 ns to 1.6 µs)" in words
    assert "constants that matter" in words
    place = linear.parent / "sure"
    assert {"sensitivity.json", "sensitivity.csv", "screening", "ends", "indices", "figures"} == {
        path.name for path in place.iterdir()
    }
    found = json.loads((place / "sensitivity.json").read_text())
    assert found["metric"] == "latency_mean_ps"
    assert pmsim("report", "sure").returncode == 0
    page = (place / "report.html").read_text()
    assert all(word in page for word in ("basis", "source", "estimate", "made up"))
    again = pmsim(*map(str, command), "--no-figures")
    assert again.stdout.split("figures:")[0] == done.stdout.split("figures:")[0]
    refused = pmsim("export", "sure", "--csv", "tables")
    assert refused.returncode == 2
    assert "sensitivity.csv" in refused.stderr


def test_a_run_says_what_its_constants_leave_open(inside: Pmsim, linear: Path) -> None:
    done = inside("run", linear, "--uncertainty-runs", "10", "--out", "r", "--no-figures")
    assert done.returncode == 0, done.stdout
    words = " ".join(done.stdout.split())
    assert "With constants from their ranges, 80 % of 10 runs lose" in words
    assert "what the constants leave open" in words
    plain = inside("run", linear, "--out", "p", "--no-figures")
    assert "from their ranges" not in " ".join(plain.stdout.split())


def test_numbers_that_make_no_sense_are_bad_usage(inside: Pmsim, linear: Path) -> None:
    assert inside("sensitivity", linear, "--points", "9").returncode == 2
    assert inside("run", linear, "--uncertainty-runs", "3").returncode == 2
