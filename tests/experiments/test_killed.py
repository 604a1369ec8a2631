"""A sweep that is killed without warning, again and again."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pmsim.experiments.dataset import Dataset
from tests.experiments.small import small
from tests.experiments.test_dataset import files
from tests.scenario_files import write_scenario

OPTIONS = [
    "--set",
    "machine.costs.ipi.entry=200ns,2us",
    "--replications",
    "30",
    "--quiet",
    "--no-figures",
]


def start(scenario: Path, out: Path, workers: int) -> subprocess.Popen[bytes]:
    code = "from pmsim.cli import main; main()"
    command = [sys.executable, "-c", code, "sweep", str(scenario), "--out", str(out), *OPTIONS]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [*command, "--workers", str(workers)], env=environment, start_new_session=True
    )


def finished(scenario: Path, out: Path, workers: int) -> dict[str, bytes]:
    with start(scenario, out, workers) as process:
        assert process.wait(120) == 0
    return files(out)


def row_files(out: Path) -> int:
    """Count the files with rows, of one replication or of many."""
    return sum(path.suffix != ".tmp" for path in out.glob("replications/cell=*/*"))


def wait_for_rows(process: subprocess.Popen[bytes], out: Path, more_than: int) -> None:
    """Wait until the sweep has begun to add to what is there."""
    while process.poll() is None and row_files(out) <= more_than:
        time.sleep(0.01)


def session(leader: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            state, session = entry.joinpath("stat").read_text().rpartition(")")[2].split()[0:4:3]
        except (OSError, ValueError):
            continue
        if int(session) == leader and state != "Z":
            found.append(int(entry.name))
    return found


def is_gone(leader: int) -> bool:
    """Wait until all processes of a session have ended; return whether they have."""
    deadline = time.monotonic() + 30
    while session(leader) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not session(leader)


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "kills"), [(1, 8), (2, 3)])
def test_a_sweep_that_is_killed_at_random_moments_ends_as_if_nothing_had_happened(
    tmp_path: Path, workers: int, kills: int
) -> None:
    scenario = write_scenario(tmp_path, small().as_dict())
    wanted = finished(scenario, tmp_path / "straight", 1)
    out = tmp_path / "killed"
    chance = random.Random(workers)
    killed = 0
    for _ in range(kills):
        process = start(scenario, out, workers)
        wait_for_rows(process, out, row_files(out))
        time.sleep(chance.uniform(0, 0.4))
        killed += process.poll() is None
        process.kill()
        process.wait()
        examined = tmp_path / "examined"
        shutil.copytree(out, examined)
        assert Dataset(examined).examine().damage == []
        shutil.rmtree(examined)
    assert killed >= kills // 2
    assert finished(scenario, out, workers) == wanted


@pytest.mark.slow
def test_the_workers_of_a_killed_sweep_end_by_themselves(tmp_path: Path) -> None:
    scenario = write_scenario(tmp_path, small().as_dict())
    out = tmp_path / "sweep"
    process = start(scenario, out, 2)
    wait_for_rows(process, out, 0)
    assert len(session(process.pid)) >= 3
    process.kill()
    process.wait()
    assert is_gone(process.pid)


@pytest.mark.slow
def test_ctrl_c_ends_it_in_good_order_and_says_how_to_go_on(tmp_path: Path) -> None:
    scenario = write_scenario(tmp_path, small().as_dict())
    out = tmp_path / "sweep"
    process = start(scenario, out, 2)
    wait_for_rows(process, out, 0)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    assert process.wait(60) == 130
    left = list(files(out))
    assert len(left) > 1
    assert {Path(name).name for name in left} <= {"sweep.json", "all.parquet"}
    assert is_gone(process.pid)
    assert finished(scenario, out, 1) == finished(scenario, tmp_path / "straight", 1)
