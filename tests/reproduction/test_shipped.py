"""The experiments that pmsim ships."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

import pmsim
from pmsim.reproduction.arithmetic import names_in
from pmsim.reproduction.experiment import experiment_names, load_experiment
from pmsim.reproduction.measurements import shipped_measurements

DATA = Path(pmsim.__file__).parent / "data"


def test_there_are_as_many_as_were_promised() -> None:
    assert len(experiment_names()) >= 25


def test_each_says_where_it_comes_from_what_is_assumed_and_what_is_missing() -> None:
    for name in experiment_names():
        experiment = load_experiment(name)
        assert experiment.name == name
        assert len(experiment.source) > 20
        assert len(experiment.missing) > 20


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("patra-2019", "patra-2019"),
        ("van-riel-2025-share", "van-riel-2025"),
        ("amit-2019-before", "amit-2019"),
        ("kvm-milan-mprotect-alone", "kvm-milan"),
        ("ftc862-nvhe-cores", "ftc862-nvhe"),
    ],
)
def test_experiments_of_a_publication_are_a_series(name: str, series: str) -> None:
    assert load_experiment(name).series == series


def test_what_needs_no_cost_is_predicted_exactly() -> None:
    found = pmsim.reproduce("bristot-2019-calls", workers=1)
    assert found.points["raw"].tolist() == found.points["measured"].tolist() == [168, 3]


@pytest.mark.slow
def test_all_of_them_run_and_come_to_something() -> None:
    found = pmsim.reproduce()
    assert len(found.points) > 150
    assert found.raw is not None
    assert found.raw.within_factor > 0.5


def test_every_row_that_is_predicted_is_in_an_experiment_or_listed_as_not_expressed() -> None:
    table = shipped_measurements()
    assert table is not None
    used = {
        row
        for name in experiment_names()
        for point in load_experiment(name).points
        for row in names_in(point.measured)
    }
    text = (DATA / "experiments" / "unexpressed.csv").read_text(encoding="utf-8")
    listed = set()
    for line in csv.DictReader(text.splitlines()):
        first, last = (int(row[1:]) for row in line["rows"].split("-"))
        listed |= {f"M{number:04d}" for number in range(first, last + 1)}
    predicted = {row.id for row in table.rows.values() if row.split == "predict"}
    assert predicted - used - listed == set()
    unused = {row.id for row in table.rows.values() if row.split == "unused"}
    # What is left are shares of flush sizes, which are no times, and policies of kernels.
    assert {row for row in unused - listed if row > "M0072"} == set()
