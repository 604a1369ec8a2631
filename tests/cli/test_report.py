from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Pmsim


@pytest.fixture
def here(inside: Pmsim, policy_file: Path, tmp_path: Path) -> Path:
    """A result in the directory in which commands run."""
    assert inside("run", policy_file, "--out", "here", "--quiet", "--no-figures").returncode == 0
    return tmp_path / "here"


def test_report_writes_one_page_into_the_result(pmsim: Pmsim, here: Path) -> None:
    done = pmsim("report", "here")
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "here/report.html\n")
    text = (here / "report.html").read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "Tasks lost" in text


def test_report_of_several_results_is_one_page_here_that_begins_with_their_comparison(
    inside: Pmsim, here: Path, tmp_path: Path
) -> None:
    shutil.copytree(here, tmp_path / "there")
    done = inside("report", "here", "there")
    assert (done.returncode, done.stdout) == (0, "report.html\n")
    assert (tmp_path / "report.html").read_text(encoding="utf-8").count("<article") == 3


def test_report_of_a_sweep(inside: Pmsim, policy_file: Path, tmp_path: Path) -> None:
    sweep = ("sweep", policy_file, "--set", "machine.cpus=2,4", "--workers", "1", "--quiet")
    assert inside(*sweep, "--out", "swept").returncode == 0
    done = inside("report", "swept", "-o", "page.html")
    assert (done.returncode, done.stdout) == (0, "page.html\n")
    assert "2 cells" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_report_overwrites_nothing_without_force(inside: Pmsim, here: Path) -> None:
    (here / "report.html").write_text("mine")
    done = inside("report", "here")
    assert done.returncode == 2
    assert "report.html exists already" in done.stdout
    assert (here / "report.html").read_text() == "mine"
    assert inside("report", "here", "--force").returncode == 0
    assert (here / "report.html").read_text() != "mine"


def test_report_of_no_result_is_bad_input(inside: Pmsim, tmp_path: Path) -> None:
    done = inside("report", "nowhere")
    assert done.returncode == 2
    assert "there is no result at nowhere" in done.stdout
    assert not (tmp_path / "nowhere").exists()


def test_report_of_another_directory_is_bad_input(inside: Pmsim, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    done = inside("report", "photos")
    assert done.returncode == 2
    assert "photos is not a whole result" in done.stdout


def test_report_of_another_version_is_bad_input(inside: Pmsim, here: Path) -> None:
    manifest = json.loads((here / "manifest.json").read_text())
    (here / "manifest.json").write_text(json.dumps({**manifest, "format": 99}))
    done = inside("report", "here")
    assert done.returncode == 2
    assert "it has format 99" in done.stdout


@pytest.mark.parametrize("table", ["operations", "crosscalls", "cpus", "cpu_timeline"])
def test_report_of_a_cut_off_table_names_it(inside: Pmsim, here: Path, table: str) -> None:
    file = here / f"{table}.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    done = inside("report", "here")
    assert done.returncode == 2
    assert f"{table}.parquet cannot be read" in done.stdout
    assert not (here / "report.html").exists()


def test_report_to_a_place_that_cannot_be_written_is_bad_input(
    inside: Pmsim, here: Path, policy_file: Path
) -> None:
    done = inside("report", "here", "-o", policy_file / "page.html")
    assert done.returncode == 2
    assert f"{policy_file} is not a directory" in done.stdout


def test_a_page_may_be_read_by_all_that_may_read_new_files(inside: Pmsim, here: Path) -> None:
    assert inside("report", "here").returncode == 0
    (here / "other").write_text("")
    modes = [stat.S_IMODE((here / name).stat().st_mode) for name in ("report.html", "other")]
    assert modes[0] == modes[1]
