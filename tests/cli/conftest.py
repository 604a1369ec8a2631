"""Running the command line as its users do: in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pmsim.cli.app import app
from tests.machines import scenario
from tests.scenario_files import write_scenario

COMMAND = [sys.executable, "-c", "from pmsim.cli import main; main()"]

POLICY = {"kind": "policy_load", "name": "selinux", "allocations": 64, "size": "512B"}
WORK = {"kind": "user_work", "name": "victims"}

Pmsim = Callable[..., subprocess.CompletedProcess[str]]


def environment() -> dict[str, str]:
    return {**os.environ, "COLUMNS": "120", "PYTHONPATH": str(Path(__file__).parents[2])}


@pytest.fixture
def pmsim(tmp_path: Path) -> Pmsim:
    """Run a command in an empty directory, and make sure that it never shows a traceback."""

    def run(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *map(str, args)],
            cwd=tmp_path,
            env=environment(),
            text=True,
            capture_output=True,
            check=False,
            timeout=300,
            **options,
        )
        assert "Traceback" not in done.stderr + done.stdout
        return done

    return run


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pmsim:
    """Run a command in this process, which is quicker; all that it says is its ``stdout``."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*args: str | Path) -> subprocess.CompletedProcess[str]:
        done = CliRunner().invoke(app, list(map(str, args)))
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return subprocess.CompletedProcess(args, done.exit_code, done.output)

    return run


@pytest.fixture
def policy_file(tmp_path: Path) -> Path:
    """A small valid scenario."""
    return write_scenario(tmp_path, scenario(POLICY, WORK).as_dict(), "policy.yaml")
