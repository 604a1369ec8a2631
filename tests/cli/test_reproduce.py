"""``pmsim reproduce``."""

from __future__ import annotations

import csv
import json
from pathlib import Path

from tests.cli.conftest import Pmsim
from tests.reproduction.experiments import EXPERIMENT, written


def test_an_experiment_of_ones_own_becomes_tables_a_page_and_figures(
    pmsim: Pmsim, tmp_path: Path
) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    done = pmsim("reproduce", str(path), "--out", str(out))
    assert done.returncode == 0
    assert "Nothing fitted, 2 points: mean error 71.2 %" in " ".join(done.stdout.split())
    names = {file.name for file in out.iterdir()}
    assert {"points.csv", "experiments.csv", "summary.json", "report.html"} <= names
    assert {"agreement.png", "misses.png"} <= names
    rows = list(csv.DictReader((out / "points.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["raw"] for row in rows] == ["5", "7", "9"]
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["calibrated"]["worse"] == ["one-by-one"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "CPUs are called one by one" in page
    assert "http" not in page.replace("http-equiv", "").replace("http://www.w3.org", "")


def test_nothing_is_replaced_unless_asked_for(inside: Pmsim, tmp_path: Path) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    words = ("reproduce", str(path), "--out", str(out), "--quiet", "--no-figures")
    assert inside(*words).returncode == 0
    before = (out / "points.csv").read_bytes()
    assert inside(*words).returncode == 2
    assert inside(*words, "--force").returncode == 0
    assert (out / "points.csv").read_bytes() == before


def test_faults_of_an_experiment_are_bad_input(inside: Pmsim, tmp_path: Path) -> None:
    path = written(tmp_path, EXPERIMENT.replace("unit: us", "unit: weeks"))
    done = inside("reproduce", str(path))
    assert done.returncode == 2
    assert f"{path}:19:7: 'weeks' is not one of" in done.stdout
    assert inside("reproduce", "nobody-1999").returncode == 2


def test_the_list_of_experiments_has_their_titles_and_details(inside: Pmsim) -> None:
    said = " ".join(inside("list", "experiments").stdout.split())
    assert "piggin-2008-eager Map, touch and unmap four pages" in said
    one = " ".join(inside("list", "experiments", "piggin-2008-eager").stdout.split())
    assert "M0380 2.0 predict" in one
    assert "what the model lacks" in one
