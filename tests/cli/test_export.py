from __future__ import annotations

import json
from pathlib import Path

import pytest

import pmsim as pmsim_face
from pmsim.hardware.machine import Machine
from tests.cli.conftest import Pmsim
from tests.report.traces import read


@pytest.fixture
def here(inside: Pmsim, policy_file: Path, tmp_path: Path) -> Path:
    """A result in the directory in which commands run."""
    assert inside("run", policy_file, "--out", "here", "--quiet", "--no-figures").returncode == 0
    return tmp_path / "here"


def test_export_writes_a_timeline_for_perfetto(pmsim: Pmsim, here: Path) -> None:
    done = pmsim("export", "here", "--perfetto")
    assert (done.returncode, done.stdout) == (0, "here/timeline.pftrace\n")
    assert read(here / "timeline.pftrace").named("pmalloc_protect_pool")
    (said,) = done.stderr.splitlines()
    assert "the slowest target alone" in said
    assert "--set 'measure.detail={from: 0ms, to: 5ms}'" in said


def test_what_export_says_to_do_for_every_handler_is_right(
    pmsim: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    change = ("--set", "measure.detail={from: 0ms, to: 5ms}")
    done = pmsim("run", policy_file, *change, "--out", "all", "--no-figures")
    assert done.returncode == 0
    assert "Everything from the start to 5 ms is kept:" in " ".join(done.stdout.split())
    done = pmsim("export", "all", "--perfetto")
    assert (done.returncode, done.stderr) == (0, "")
    timeline = read(tmp_path / "all" / "timeline.pftrace")
    calls = [one for one in timeline.slices if one.category == "shootdown"]
    assert calls
    assert all(len(one.begins) == one.facts["targets"] for one in calls)


def test_export_says_from_when_on_there_was_no_room_to_keep_everything(
    inside: Pmsim, policy_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Machine.keep_detail, "__defaults__", (4,))
    change = ("--set", "measure.detail={}", "--out", "cut", "--quiet", "--no-figures")
    assert inside("run", policy_file, *change).returncode == 0
    end = str(pmsim_face.open("cut").summary["detail"][0]["cut_ps"])
    said = "there was no room to keep everything after "
    assert said in inside("export", "cut", "--perfetto").stdout
    part = ("export", "cut", "--perfetto", "--to", f"{end}ps", "-o", "part.pftrace")
    assert said not in inside(*part).stdout


@pytest.mark.parametrize(
    ("detail", "said"),
    [
        ("{from: 2ms, to: 1ms}", "a part from 2ms to 1ms holds nothing"),
        ("{form: 2ms}", "did you mean from?"),
        ("5ms", "'5ms' is no mapping of keys"),
        ("{to: 5}", "'5' has no unit"),
    ],
)
def test_a_part_that_cannot_be_kept_is_refused_with_what_is_wrong(
    inside: Pmsim, policy_file: Path, detail: str, said: str
) -> None:
    done = inside("run", policy_file, "--set", f"measure.detail={detail}", "--out", "new")
    assert done.returncode == 2
    assert said in done.stdout


def test_export_shows_a_part_of_the_run(inside: Pmsim, here: Path, tmp_path: Path) -> None:
    assert inside("export", "here", "--perfetto", "-o", "all.pftrace").returncode == 0
    part = ("export", "here", "--perfetto", "-o", "part.pftrace", "--from", "1us", "--to", "2us")
    assert inside(*part).returncode == 0
    sizes = [len(read(tmp_path / f"{name}.pftrace").slices) for name in ("part", "all")]
    assert sizes[0] < sizes[1]


def test_export_writes_tables_as_csv(inside: Pmsim, here: Path, tmp_path: Path) -> None:
    done = inside("export", "here", "--csv", "csv", "--table", "cpus", "--table", "crosscalls")
    assert (done.returncode, done.stdout) == (0, "csv/cpus.csv\ncsv/crosscalls.csv\n")
    lines = (tmp_path / "csv" / "cpus.csv").read_text().splitlines()
    assert len(lines) == 1 + len(pmsim_face.open(here).cpus)


def test_export_writes_everything_as_json(inside: Pmsim, here: Path, tmp_path: Path) -> None:
    done = inside("export", "here", "--json", "all.json")
    assert (done.returncode, done.stdout) == (0, "all.json\n")
    found = json.loads((tmp_path / "all.json").read_text(encoding="utf-8"))
    assert len(found["tables"]["operations"]) == len(pmsim_face.open(here).operations)


def test_export_writes_a_sweep_as_tables_alone(
    inside: Pmsim, policy_file: Path, tmp_path: Path
) -> None:
    sweep = ("sweep", policy_file, "--set", "machine.cpus=2,4", "--workers", "1", "--quiet")
    assert inside(*sweep, "--out", "swept").returncode == 0
    assert inside("export", "swept", "--csv", "csv").returncode == 0
    assert {path.name for path in (tmp_path / "csv").iterdir()} == {
        "cells.csv", "replications.csv", "intervals.csv"
    }  # fmt: skip
    done = inside("export", "swept", "--perfetto")
    assert done.returncode == 2
    assert "swept holds a sweep" in done.stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "one of --perfetto, --ftrace, --csv DIR and --json FILE"),
        (
            ("--perfetto", "--json", "all.json"),
            "one of --perfetto, --ftrace, --csv DIR and --json FILE",
        ),
        (("--perfetto", "--table", "cpus"), "--table goes with --csv and --json"),
        (("--json", "all.json", "-o", "x"), "--output, --replication, --from and --to go with"),
        (("--json", "all.json", "--table", "croscalls"), "no table is called 'croscalls'"),
        (("--perfetto", "--from", "5"), "'5' has no unit"),
        (("--perfetto", "--from", "2us", "--to", "1us"), "ends before it begins"),
        (("--perfetto", "--replication", "7"), "no replication 7; there is only replication 0"),
        (("--json", "policy.yaml"), "policy.yaml exists already"),
        (("--csv", "policy.yaml"), "policy.yaml is not a directory"),
        (("--perfetto", "-o", "here"), "here is a directory"),
    ],
)
def test_export_says_what_is_wrong_with_what_it_was_asked(
    inside: Pmsim, here: Path, args: tuple[str, ...], said: str
) -> None:
    before = sorted(here.parent.rglob("*"))
    done = inside("export", "here", *args)
    assert done.returncode == 2
    assert said in " ".join(done.stdout.split())
    assert sorted(here.parent.rglob("*")) == before


@pytest.mark.parametrize("args", [("--perfetto",), ("--json", "all.json"), ("--csv", "csv")])
def test_export_of_no_result_is_bad_input(
    inside: Pmsim, tmp_path: Path, args: tuple[str, ...]
) -> None:
    done = inside("export", "nowhere", *args)
    assert done.returncode == 2
    assert "no result at nowhere" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("args", [("--perfetto",), ("--json", "all.json"), ("--csv", "csv")])
def test_export_of_a_cut_off_table_names_it(
    inside: Pmsim, here: Path, tmp_path: Path, args: tuple[str, ...]
) -> None:
    file = here / "operations.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    done = inside("export", "here", *args)
    assert done.returncode == 2
    assert "operations.parquet cannot be read" in done.stdout
    left = [path.name for path in tmp_path.rglob("*") if path.suffix != ".parquet"]
    assert not {"all.json", "timeline.pftrace", "operations.csv"} & set(left)


def test_export_overwrites_nothing_without_force(inside: Pmsim, here: Path, tmp_path: Path) -> None:
    for args in (("--json", "all.json"), ("--csv", "csv"), ("--perfetto",)):
        assert inside("export", "here", *args).returncode == 0
        done = inside("export", "here", *args)
        assert done.returncode == 2
        assert "already" in done.stdout
        assert inside("export", "here", *args, "--force").returncode == 0
