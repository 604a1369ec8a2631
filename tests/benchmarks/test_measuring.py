from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pmsim
from benchmarks.clock import exponent
from benchmarks.machines import COSTS, HUGE, LARGE, MIDDLE, SMALL, described
from benchmarks.sampler import STAGES
from pmsim.hardware.topology import Topology


@pytest.mark.parametrize("topology", [SMALL, MIDDLE, LARGE, HUGE], ids=lambda t: str(t.n_cpus))
def test_traces_run_on_the_machine_that_the_yardstick_simulates(topology: Topology) -> None:
    scenario = {"pmsim": 1, "name": "x", "machine": described(topology), "duration": "1us"}
    work = {"workloads": [{"kind": "user_work"}]}
    machine = pmsim.Scenario.from_dict(scenario | work).resolve().machine
    assert machine.costs == COSTS
    assert (machine.topology.codes() == topology.codes()).all()


def test_an_exponent_is_that_of_the_power_law() -> None:
    assert exponent([1, 10, 100], [3, 3 * 10**1.5, 3 * 10**3]) == pytest.approx(1.5)


@pytest.mark.slow
def test_a_command_s_time_is_told_by_stage(tmp_path: Path) -> None:
    file = tmp_path / "seconds.json"
    command = ("run", "one-broadcast", "--out", str(tmp_path / "out"), "--no-figures")
    subprocess.run(
        [sys.executable, "-m", "benchmarks.sampler", str(file), *command],
        check=True,
        capture_output=True,
    )
    seconds = json.loads(file.read_text())
    assert set(seconds) <= {*(stage for stage, _ in STAGES), "other"}
    assert seconds["import"] > 0.1
    assert "figures" not in seconds
