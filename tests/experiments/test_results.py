from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import pmsim
from pmsim.confidence import LEAST, mean_interval
from pmsim.errors import ResultError
from pmsim.experiments.results import Sweep
from pmsim.simulation.answer.metrics import HEADLINES, METRICS
from tests.experiments.small import entry, small

AXES = {**entry(), "machine.cpus": [2, 3]}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A grid of two by two cells with five replications."""
    path = tmp_path_factory.mktemp("grid") / "sweep"
    return pmsim.sweep(small(), AXES, path, replications=LEAST, workers=1)


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """Three chosen points."""
    path = tmp_path_factory.mktemp("points") / "sweep"
    axes = {"machine.costs.ipi.entry": "100ns..2us", "seed": "1..100"}
    return pmsim.sweep(small(), axes, path, sample="lhs:3", workers=1)


def test_open_knows_a_sweep_from_a_result(sweep: Sweep, tmp_path) -> None:
    again = pmsim.open(sweep.path)
    assert isinstance(again, Sweep)
    assert again.frame.equals(sweep.frame)
    pmsim.run(small(), tmp_path / "run")
    assert isinstance(pmsim.open(tmp_path / "run"), pmsim.Result)
    with pytest.raises(ResultError, match="no result"):
        pmsim.open(tmp_path / "nowhere")


def test_each_row_bears_the_labels_of_its_cell(sweep: Sweep) -> None:
    assert sweep.axes == {"machine.costs.ipi.entry": ("200ns", "2us"), "machine.cpus": (2, 3)}
    assert sweep.cells["machine.cpus"].tolist() == [2, 3, 2, 3]
    assert sweep.cells["replications"].tolist() == [LEAST] * 4
    found = sweep.frame.groupby("cell")[list(AXES)].first().to_numpy().tolist()
    assert found == [["200ns", 2], ["200ns", 3], ["2us", 2], ["2us", 3]]


def test_intervals_are_those_of_the_rows(sweep: Sweep) -> None:
    table = sweep.intervals("lost_share", "latency_mean_ps")
    assert len(table) == 8
    row = table[(table["cell"] == 2) & (table["metric"] == "lost_share")].iloc[0]
    values = sweep.frame.loc[sweep.frame["cell"] == 2, "lost_share"]
    expected = mean_interval(values.to_numpy())
    assert (row["mean"], row["low"], row["high"]) == (expected.mean, expected.low, expected.high)
    assert (row["n"], row["method"], row["machine.cpus"]) == (LEAST, "t", 2)


def test_headline_metrics_are_those_that_are_asked_for_first(sweep: Sweep) -> None:
    assert set(sweep.intervals()["metric"]) <= set(HEADLINES)


def test_an_unknown_metric_is_a_key_error(sweep: Sweep) -> None:
    with pytest.raises(KeyError, match="lost_shares"):
        sweep.intervals("lost_shares")


def test_a_higher_level_widens_every_interval(sweep: Sweep) -> None:
    narrow, wide = (sweep.intervals("lost_share", level=level) for level in (0.9, 0.99))
    assert (narrow["high"] - narrow["low"] < wide["high"] - wide["low"]).all()


def test_xarray_has_the_axes_as_dimensions_and_the_numbers_of_the_frame(sweep: Sweep) -> None:
    data = sweep.to_xarray()
    assert data["lost_share"].dims == ("machine.costs.ipi.entry", "machine.cpus", "replication")
    for row in sweep.frame.itertuples(index=False):
        named = dict(zip(sweep.frame.columns, row, strict=True))
        place = {path: named[path] for path in AXES} | {"replication": named["replication"]}
        assert data["lost_share"].sel(place).item() == named["lost_share"]
        time = data["operation_mean_ps"].sel({**place, "operation": "pmalloc_destroy_pool"}).item()
        assert time == named["operation_mean_ps[pmalloc_destroy_pool]"]


def test_xarray_variables_say_their_unit_and_what_they_mean(sweep: Sweep) -> None:
    data = sweep.to_xarray()
    assert data["latency_mean_ps"].attrs["units"] == "ps"
    for name, variable in data.data_vars.items():
        assert variable.attrs["description"] == METRICS[str(name)].sentence


def test_chosen_points_are_along_the_cells(points: Sweep) -> None:
    data = points.to_xarray()
    assert data["lost_share"].dims == ("cell", "replication")
    assert data["seed"].values.tolist() == points.cells["seed"].tolist()
    assert points.cells["machine.costs.ipi.entry"].nunique() == 3
    assert set(points.axes["seed"]) == set(points.cells["seed"])


def test_a_sweep_over_nothing_has_one_cell(tmp_path) -> None:
    sweep = pmsim.sweep(small(), out=tmp_path / "s", replications=2, workers=1)
    assert sweep.to_xarray()["lost_share"].dims == ("cell", "replication")
    assert sweep.frame["cell"].tolist() == [0, 0]


def test_an_unfinished_sweep_says_so(sweep: Sweep, tmp_path) -> None:
    from pmsim.experiments.directory import prepare
    from pmsim.experiments.plan import plan_of

    prepare(tmp_path, plan_of(small(), AXES), {"replications": 3})
    empty = Sweep(tmp_path)
    assert not empty.complete
    assert empty.cells["replications"].tolist() == [0] * 4
    assert len(empty.frame) == 0
    assert len(empty.intervals()) == 0
    assert "unfinished" in empty._repr_html_()
    assert "unfinished" not in sweep._repr_html_()


def test_a_damaged_file_is_told_on_reading(tmp_path) -> None:
    made = pmsim.sweep(small(), out=tmp_path / "s", workers=1)
    file = made.path / "replications" / "cell=0" / "all.parquet"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(ResultError, match="does what is damaged again"):
        _ = Sweep(made.path).frame


def test_in_a_notebook_it_shows_its_cells_with_intervals(sweep: Sweep) -> None:
    html = sweep._repr_html_()
    assert "4 cells, 20 replications" in html
    assert html.count("<tr>") == 5
    assert "±" in html
    assert "<script" not in html


def test_names_complete(sweep: Sweep) -> None:
    assert {"frame", "cells", "intervals", "to_xarray", "axes"} <= set(dir(sweep))
    assert not [name for name in dir(sweep) if name.startswith("_")]
    assert repr(sweep) == f"<pmsim.Sweep test: 4 cells in {sweep.path}>"


def test_a_sweep_that_goes_with_its_object_does_not_tell_where_it_is() -> None:
    made = pmsim.sweep(small(), {"machine.cpus": [2]}, workers=1, progress=None)
    assert repr(made) == "<pmsim.Sweep test: 1 cell in a temporary directory>"
    assert str(made.path) not in made._repr_html_()


def test_a_frame_is_plain_pandas(sweep: Sweep) -> None:
    means = sweep.frame.groupby("machine.cpus")["lost_share"].mean()
    assert isinstance(means, pd.Series)
    assert means.index.tolist() == [2, 3]
    assert np.isfinite(means).all()


def test_columns_can_be_added_to_a_frame_without_a_warning(sweep: Sweep) -> None:
    # pandas warns from a hundred columns on that each lie by themselves.
    own = [f"own {number}" for number in range(80)]
    assert len(sweep.frame.columns) + len(own) > 100
    frame = sweep.frame.copy(deep=False)
    for name in own:
        frame[name] = 1
    assert frame[own].eq(1).all(axis=None)
