"""Signals are heard wherever a run is: in compiled code, while tables are written, in figures."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pmsim.simulation.result.place import WRITTEN
from tests.cli.conftest import COMMAND, POLICY, WORK, environment
from tests.machines import machine, scenario
from tests.scenario_files import write_scenario

BOTH = [signal.SIGINT, signal.SIGTERM]
HEARD_S = 20
"""Wall time in which a command ends that heard a signal, on a computer with other work to do."""

WHILE = """
import os
from {module} import {owner}
real = {owner}.{method}

def killed(*args, **kwargs):
    {owner}.{method} = real
    os.kill(os.getpid(), {number})
    return real(*args, **kwargs)

{owner}.{method} = killed
from pmsim.cli import main
main()
"""
"""Runs the command line, and sends itself a signal when a method is called for the first time."""


def unmeasured() -> dict[str, str]:
    """Return an environment without coverage: a signal within its tracer leaves its lock held."""
    return {key: value for key, value in environment().items() if not key.startswith("COVERAGE_")}


def killed_in(
    module: str, method: str, number: signal.Signals, file: Path
) -> subprocess.CompletedProcess[str]:
    owner, _, name = method.partition(".")
    code = WHILE.format(module=module, owner=owner, method=name, number=int(number))
    return subprocess.run(
        [sys.executable, "-c", code, "run", str(file), "--out", "results/here"],
        cwd=file.parent, env=unmeasured(), text=True, capture_output=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    return write_scenario(tmp_path, scenario(POLICY, WORK).as_dict())


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_while_tables_are_written_leaves_nothing_behind(
    policy: Path, number: signal.Signals
) -> None:
    done = killed_in("pyarrow.parquet", "ParquetWriter.write_table", number, policy)
    assert done.returncode == 130, done.stderr
    assert "interrupted: given up, and nothing half-done is left behind" in done.stderr
    assert list((policy.parent / "results").iterdir()) == []


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_while_figures_are_drawn_leaves_all_but_the_figures(
    policy: Path, number: signal.Signals
) -> None:
    done = killed_in("matplotlib.figure", "Figure.draw", number, policy)
    assert done.returncode == 130, done.stderr
    assert "interrupted while figures were drawn: all else is in results/here" in done.stderr
    here = policy.parent / "results" / "here"
    assert (here / "summary.json").is_file()
    assert [path.name for path in here.rglob(".*")] == [WRITTEN]


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_heard_where_nothing_but_compiled_code_runs(
    tmp_path: Path, number: signal.Signals
) -> None:
    # Two tasks that make way for each other a thousand million times a second, for days.
    work = 10**17
    rows = "".join(f"0,compute,{work},{task}\n" for task in (0, 1))
    (tmp_path / "long.csv").write_text("cpu,op,arg,task\n" + rows)
    costs = machine()["costs"] | {"sched": {"quantum": "1ns"}}
    file = write_scenario(
        tmp_path,
        {
            "pmsim": 1,
            "machine": {"topology": {"cores": 2}, "costs": costs},
            "duration": "100000s",
            "measure": {"timeline": "100000s"},
            "workloads": [{"kind": "trace", "file": "long.csv"}],
        },
    )
    process = subprocess.Popen(
        [*COMMAND, "run", str(file), "--out", "here", "--quiet"],
        cwd=tmp_path, env=unmeasured(), text=True, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob(".here.*")):  # it has begun
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(number)
    try:
        _, complained = process.communicate(timeout=HEARD_S)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "interrupted" in complained
    assert not any(name.startswith(".here") for name in os.listdir(tmp_path))
