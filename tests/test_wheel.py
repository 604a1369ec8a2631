from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel as a release would, but without asking the network for the backend."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = out.glob("pmsim-*.whl")
    return path


def test_the_wheel_holds_the_package_its_data_and_the_scenarios(wheel):
    names = set(ZipFile(wheel).namelist())
    for folder in ("pmsim", "scenarios"):
        sources = [path for path in (ROOT / folder).rglob("*") if path.is_file()]
        wanted = {
            ("pmsim/" if folder == "scenarios" else "") + path.relative_to(ROOT).as_posix()
            for path in sources
            if "__pycache__" not in path.parts
        }
        assert wanted
        assert wanted <= names


def test_the_wheel_holds_nothing_else(wheel):
    tops = {name.split("/")[0] for name in ZipFile(wheel).namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"pmsim"}


@pytest.mark.slow
def test_the_wheel_alone_in_a_clean_environment_runs_a_shipped_scenario_by_name(wheel, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COVERAGE"))}

    def call(*command: str | Path) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    call(sys.executable, "-m", "venv", "clean")
    binaries = tmp_path / "clean" / "bin"
    call(binaries / "python", "-m", "pip", "install", "--quiet", wheel)
    place = call(binaries / "python", "-c", "import pmsim; print(pmsim.__file__)")
    assert Path(place.strip()).is_relative_to(tmp_path)
    call(binaries / "pmsim", "run", "policy-load", "--out", "result")
    assert (tmp_path / "result" / "manifest.json").is_file()
    assert (tmp_path / "result" / "crosscalls.parquet").stat().st_size > 0
