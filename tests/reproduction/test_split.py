"""The split of the measurements: what may be fitted, and what is predicted and read by nobody."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import pmsim
from pmsim.reproduction.arithmetic import names_in
from pmsim.reproduction.experiment import Experiment, experiment_names, load_experiment
from pmsim.reproduction.measurements import Measured, Measurements, shipped_measurements
from pmsim.reproduction.predict import Predicted, predict
from tests.reproduction.experiments import EXPERIMENT, written

DATA = Path(pmsim.__file__).parent / "data"
ROW = re.compile(r"\b[MP]\d{4}\b")


def scrambled(experiment: Experiment, which: Callable[[Measured], bool]) -> Experiment:
    """Return the experiment with other figures in some rows of its table."""
    rows = {
        name: replace(row, value=7 * row.value + 3) if which(row) else row
        for name, row in experiment.measurements.rows.items()
    }
    return replace(experiment, measurements=Measurements(rows))


def predictions(experiment: Experiment) -> Predicted:
    return predict([experiment], workers=1)[experiment.name]


@pytest.mark.parametrize(
    "key", ["", "calibrate: {key: machine.costs.ipi.send, value: 1000000 * A1}\n"]
)
def test_nothing_that_is_to_be_predicted_is_read_for_a_prediction(tmp_path: Path, key: str) -> None:
    experiment = load_experiment(
        written(tmp_path, key + EXPERIMENT.replace("pmsim: 1\n", "") + "pmsim: 1\n")
    )
    true = predictions(experiment)
    assert predictions(scrambled(experiment, lambda row: row.split == "predict")) == true
    # A raw prediction reads no measurement at all; a scaled one reads what it may.
    other = predictions(scrambled(experiment, lambda _row: True))
    assert other.raw == true.raw
    assert other.scaled != true.scaled


def test_only_the_calibration_point_is_read(tmp_path: Path) -> None:
    two = EXPERIMENT.replace(
        "at: 2}", "at: 2}\n  - {measured: 11, use: calibrate, at: 2, name: last}"
    )
    experiment = load_experiment(written(tmp_path, two))
    assert experiment.calibration is not None
    assert experiment.calibration.name == "last"
    assert predictions(scrambled(experiment, lambda row: row.id == "A1")) == predictions(experiment)


def test_every_shipped_experiment_predicts_only_what_its_table_says_is_to_be_predicted() -> None:
    predicted = set()
    for name in experiment_names():
        experiment = load_experiment(name)
        for point in experiment.points:
            table = experiment.measurements.rows
            rows = [table[row] for row in names_in(point.measured) if row in table]
            if point.use == "calibrate":
                assert {row.split for row in rows} <= {"calibrate"}
            predicted |= {row.id for row in rows if row.split == "predict"}
    assert len(predicted) > 100


def test_no_platform_no_kernel_and_no_cost_rests_on_a_row_that_is_predicted() -> None:
    table = shipped_measurements()
    assert table is not None
    files = [*DATA.glob("platforms/*.yaml"), *DATA.glob("kernels/*.yaml"),
             *DATA.parent.glob("*/costs.py"), *DATA.parent.glob("*/constants.py")]  # fmt: skip
    assert len(files) > 20
    for file in files:
        cited = set(ROW.findall(file.read_text(encoding="utf-8")))
        assert {table.rows[row].split for row in cited} <= {"calibrate", "unused"}, file.name
