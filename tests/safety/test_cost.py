"""What the checker costs: time as a part of a run, and memory on the largest machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.checker import WANTED, ratios

PROGRAM = """
import pmsim
from tests.memory import peak_kib

topology = {"packages": 8, "dies": 4, "cores": 64, "threads": 2}
pools = {"kind": "pool_churn", "pools": 4, "allocations": 256, "protect": {"every": 8}}
result = pmsim.run(pmsim.Scenario.from_dict({
    "pmsim": 1,
    "name": "large",
    "machine": {"platform": "skylake-sp-2s", "topology": topology},
    "workloads": [
        {**pools, "name": "near", "cpu": 0},
        {**pools, "name": "far", "cpu": 4000},
        {"kind": "module_burst", "cpu": 1, "modules": 3},
        {"kind": "user_munmap", "cpu": 10, "threads": [11, 12, 4095], "changes": 30},
    ],
}))
assert result.summary.cpus == 4096
assert result.summary.safety.violations == 0
print(peak_kib())
"""


def test_four_thousand_cpus_are_watched_in_less_than_two_gibibytes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2 << 20


@pytest.mark.slow
def test_less_than_a_third_of_a_run_is_the_checkers() -> None:
    for name, (without, watched) in ratios(rounds=7).items():
        assert 1 - without / watched < WANTED, name
