"""How commands end when the system refuses something, and what names cannot do to a terminal."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND, WORK, Pmsim, environment
from tests.machines import machine, scenario
from tests.scenario_files import write_scenario

EVIL = "evil\x1b]0;owned\x07\u202e\x9b31m"
SHOWN = r"evil\x1b]0;owned\x07\u202e\x9b31m"
ACTS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


@pytest.fixture
def evil(tmp_path: Path) -> Path:
    """Return a scenario whose names would act on a terminal."""
    work = {"kind": "pool_churn", "pools": 2, "name": EVIL}
    formula = {"kind": "user_work", "compute": "1us", "name": "=HYPERLINK(0)"}
    math = {"kind": "user_work", "compute": "1us", "name": r"$\frac$", "cpus": [1]}
    refused = {"kind": "policy_load", "name": "[/red]\x1b", "allocations": 1, "size": "1TiB"}
    data = scenario(work, formula, math, refused).as_dict()
    named = {**machine(), "name": EVIL}
    return write_scenario(tmp_path, data | {"machine": named, "description": EVIL})


@pytest.mark.parametrize(
    "command", [("list", "platforms"), ("run", "--no-figures"), ("--help",), ("schema",)]
)
def test_output_that_cannot_be_written_is_one_line_and_status_1(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    file = write_scenario(tmp_path, scenario(WORK | {"compute": "1us"}).as_dict())
    files = [str(file)] if command[0] == "run" else []
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, *command, *files], stdout=full, stderr=subprocess.PIPE, text=True,
            cwd=tmp_path, env=environment(), timeout=300, check=False,
        )  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "compil" not in line]
    assert said == ["pmsim: the output cannot be written or read: no space left on device"]
    assert done.returncode == 1


def test_errors_that_cannot_be_told_leave_their_status(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "check", "nowhere"], stdout=subprocess.PIPE, stderr=full, text=True,
            cwd=tmp_path, env=environment(), timeout=300, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")


def test_too_little_memory_is_one_line_and_status_1(tmp_path: Path) -> None:
    file = write_scenario(tmp_path, scenario(WORK | {"compute": "1us"}).as_dict())
    limited = ["bash", "-c", 'ulimit -v 700000; exec "$@"', "bash"]
    for command in ("run", "sweep"):
        done = subprocess.run(
            [*limited, *COMMAND, command, str(file)], capture_output=True, text=True,
            cwd=tmp_path, env=environment(), timeout=300, check=False,
        )  # fmt: skip
        (said,) = (line for line in done.stderr.splitlines() if "nothing is varied" not in line)
        assert said.startswith("pmsim: there is not enough memory: 683 MiB of addresses")
        assert (done.returncode, done.stdout) == (1, "")


def test_names_are_shown_and_do_nothing(pmsim: Pmsim, evil: Path, tmp_path: Path) -> None:
    outputs = [
        pmsim("check", evil),
        pmsim("run", evil, "--out", "evil", "--set", "measure.detail={from: 0ns}"),
        pmsim("report", "evil"),
        pmsim("export", "evil", "--csv", "tables", "--table", "tasks"),
        pmsim("export", "evil", "--perfetto"),
        pmsim("compare", "evil", "evil"),
    ]
    assert [done.returncode for done in outputs] == [0] * len(outputs), outputs[-1].stderr
    for done in outputs:
        assert not ACTS.search(done.stdout + done.stderr)
    assert SHOWN in outputs[0].stdout
    page = (tmp_path / "evil" / "report.html").read_text()
    assert SHOWN in page
    assert not ACTS.search(page)
    assert r"$\frac$" in page
    tasks = (tmp_path / "tables" / "tasks.csv").read_text()
    assert '"\'=HYPERLINK(0)"' in tasks


def test_messages_show_names_and_do_nothing(pmsim: Pmsim, tmp_path: Path) -> None:
    bad = {**scenario(WORK | {"compute": "1us"}).as_dict(), "name": EVIL, EVIL: 1}
    endless = scenario({"kind": "thread_churn", "groups": 1, "name": EVIL, "lifetime": "1000000s"})
    for number, (command, data, status) in enumerate(
        (("check", bad, 2), ("run", endless.as_dict(), 1), ("run", bad, 2))
    ):
        done = pmsim(command, write_scenario(tmp_path, data, f"{number}.yaml"))
        assert done.returncode == status
        assert SHOWN in done.stderr
        assert not ACTS.search(done.stderr)
    done = pmsim("run", f"{EVIL}.yaml")
    assert SHOWN in done.stderr
    assert not ACTS.search(done.stderr)
