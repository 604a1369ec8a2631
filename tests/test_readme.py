from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def pmsim(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from pmsim.cli import main; main()", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A directory with the scenario that the README has one save."""
    (scenario,) = blocks("yaml")
    (tmp_path / "two_pools.yaml").write_text(scenario, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_scenario_of_the_readme_runs(place):
    done = pmsim("run", "two_pools.yaml", cwd=place)
    assert done.returncode == 0, done.stderr
    assert (place / "results" / "two-pools" / "manifest.json").is_file()


def test_the_mistakes_of_the_readme_are_answered_as_it_says(place):
    (shown,) = [block for block in blocks("console") if "pmsim check" in block]
    lines = (place / "two_pools.yaml").read_text(encoding="utf-8").split("\n")
    lines[3] = lines[3].replace("cpus: 8", "cpuss: 8")
    lines[7] = lines[7].replace("64B", "64")
    (place / "two_pools.yaml").write_text("\n".join(lines), encoding="utf-8")
    done = pmsim("check", "two_pools.yaml", cwd=place)
    assert done.returncode == 2
    assert done.stdout + done.stderr == shown.split("\n", 1)[1]


def test_the_python_of_the_readme_runs_from_top_to_bottom(place):
    (place / "tour.py").write_text("\n".join(blocks("python")), encoding="utf-8")
    command = [sys.executable, "tour.py"]
    environment = os.environ | {"MPLBACKEND": "agg"}
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)", README))))
def test_every_link_of_the_readme_leads_to_a_file(link):
    assert (ROOT / link).exists()


def test_there_are_exactly_two_commands_of_set_up():
    set_up = blocks("console")[0]
    assert [line.split("#")[0].strip() for line in set_up.strip().split("\n")] == [
        "make demo",
        "make test",
    ]
