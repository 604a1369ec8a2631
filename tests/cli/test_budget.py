"""A budget for isolated CPUs: what `pmsim run` and `pmsim sweep` say, and how they end."""

from __future__ import annotations

from pathlib import Path

import pytest

import pmsim as face
from tests.cli.conftest import Pmsim
from tests.machines import machine, scenario
from tests.scenario_files import write_scenario

FLUSH = {"kind": "kernel_flush", "name": "daemon", "pages": "all", "flushes": 10,
         "arrival": {"every": "1ms"}}  # fmt: skip


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Ten flushes in 20 ms, 500 a second, on each of two isolated CPUs."""
    data = scenario(
        FLUSH, {"kind": "user_work", "cpus": "isolated"}, duration="20ms",
        machine=machine() | {"isolated": "2-3"},
        measure={"budget": {"isolated": {"interrupts": "500/s"}}},
    ).as_dict()  # fmt: skip
    return write_scenario(tmp_path, data)


def test_a_budget_that_is_kept_says_nothing(inside: Pmsim, file: Path) -> None:
    done = inside("run", file, "--no-figures", "--quiet")
    assert (done.returncode, done.stdout) == (0, "")


def test_a_run_over_budget_ends_with_1_and_names_cpu_and_cause(inside: Pmsim, file: Path) -> None:
    limit = "measure.budget.isolated.interrupts=499/s"
    done = inside("run", file, "--no-figures", "--quiet", "--set", limit, "--out", "over")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "isolated CPU 2 was interrupted 500 times a second (499 allowed) by daemon" in said
    isolated = face.open("over").summary.isolated
    assert [one["limit"] for one in isolated["violations"]] == ["interrupts"]


def test_a_sweep_with_a_cell_over_budget_ends_with_1_and_names_it(
    inside: Pmsim, file: Path
) -> None:
    values = "measure.budget.isolated.interrupts=499/s,500/s"
    done = inside("sweep", file, "--no-figures", "--quiet", "--set", values, "--workers", 1)
    assert done.returncode == 1
    assert "1 replication is over budget" in done.stdout
    assert "cell 0, replication 0: an isolated CPU was interrupted at 500/s" in done.stdout
    assert face.open("results/test-sweep").over_budget["cell"].tolist() == [0]
