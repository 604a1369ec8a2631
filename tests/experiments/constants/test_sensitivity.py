"""On which constants a figure hangs, where that is known by arithmetic."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

import pmsim
from pmsim.errors import OutputError, ScenarioError
from pmsim.experiments.constants.sensitivity import Effort
from pmsim.experiments.driver import SweepProgress
from pmsim.figures import swings
from pmsim.report.page import report_html
from pmsim.units import NS
from tests.experiments.constants.linear import LATENCY, OPEN, VALUES, scenario

EFFORT = Effort(2, 64)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> pmsim.Sensitivity:
    folder = tmp_path_factory.mktemp("linear")
    return run(folder, folder / "found")


def run(folder: Path, out: Path, **options: object) -> pmsim.Sensitivity:
    given = {"metric": "latency_mean_ps", "effort": EFFORT, "workers": 1, "progress": None}
    return pmsim.sensitivity(scenario(folder), out, **{**given, **options})  # type: ignore[arg-type]


def rows(found: pmsim.Sensitivity) -> pd.DataFrame:
    return found.table.set_index("name")


def test_of_a_sum_the_indices_are_the_shares_of_the_variances(found: pmsim.Sensitivity) -> None:
    # All three are uniform in the logarithm over a factor of two each way, so that their
    # deviations are to each other as their values; nothing depends on two of them together.
    squares = {name: VALUES[name] ** 2 for name in OPEN}
    for name, square in squares.items():
        row = rows(found).loc[f"ipi.{name}"]
        truth = square / sum(squares.values())
        assert row["first"] == pytest.approx(truth, abs=0.08), name
        assert row["total"] == pytest.approx(truth, abs=0.05), name
        assert abs(row["total"] - truth) < row["total_half"] + 0.03, name


def test_at_the_ends_of_a_range_the_figure_is_what_arithmetic_says(
    found: pmsim.Sensitivity,
) -> None:
    assert found.found.value == LATENCY
    for name in OPEN:
        row, value = rows(found).loc[f"ipi.{name}"], VALUES[name] * NS
        assert (row["at_low"], row["at_high"]) == (LATENCY - value / 2, LATENCY + value)


def test_the_mean_effect_of_a_whole_range_is_what_it_changes(found: pmsim.Sensitivity) -> None:
    # Four levels of the quantile; a step of two of them, by SALib's design. Of the range it is
    # the mean of the two steps that there are, each divided by the share of its length.
    value = VALUES["delivery"] * NS
    levels = [value * 2 ** (2 * share - 1) for share in (0, 1 / 3, 2 / 3, 1)]
    steps = [(levels[place + 2] - levels[place]) / (2 / 3) for place in (0, 1)]
    effect = rows(found).loc["ipi.delivery", "effect"]
    assert min(steps) - 2 <= effect <= max(steps) + 2


def test_a_constant_that_does_nothing_has_no_effect_and_no_index(found: pmsim.Sensitivity) -> None:
    quiet = [one for one in found.found.constants if one.name.startswith("kernel.")]
    assert quiet
    assert all(one.effect == 0 and one.total is None for one in quiet)


def test_the_answer_names_what_matters_most(found: pmsim.Sensitivity) -> None:
    said = " ".join(found.sentences())
    assert "of that spread hangs on ipi.delivery = 800 ns (estimate, 400 ns to 1.6 µs)" in said
    assert "Mean latency of a shootdown: 1.65 µs as the constants are" in said


def test_the_interval_holds_eight_tenths_of_the_sums(found: pmsim.Sensitivity) -> None:
    # Of the middle eight tenths of a log-uniform factor alone: 2 ** (-0.8 to 0.8).
    least = LATENCY - VALUES["delivery"] * NS * (1 - 2**-0.8)
    most = LATENCY + VALUES["delivery"] * NS * (2**0.8 - 1)
    assert found.found.low == pytest.approx(least, rel=0.08)
    assert found.found.high == pytest.approx(most, rel=0.08)
    assert found.found.low < found.found.median < found.found.high


def test_it_opens_again_and_a_page_and_a_figure_are_made_of_it(
    found: pmsim.Sensitivity, tmp_path: Path
) -> None:
    again = pmsim.open(found.path)
    assert isinstance(again, pmsim.Sensitivity)
    assert again.found == found.found
    page = report_html([again])
    for word in ("basis", "source", "estimate", "made up", "ipi.delivery", "<svg"):
        assert word in page
    written = pd.read_csv(found.path / "sensitivity.csv")
    assert written["name"].tolist() == found.table["name"].tolist()
    axes = pmsim.plot.constants(again)
    drawn = swings.swings(again)
    assert [row.name for row in drawn.rows] == ["ipi.delivery", "ipi.entry", "ipi.line"]
    assert [text.get_text().partition("\n")[0] for text in axes.get_yticklabels()] == [
        row.name for row in drawn.rows
    ]
    bars = {round(patch.get_x() + patch.get_width()) for patch in axes.patches}
    assert {round(row.at_high) for row in drawn.rows} <= bars


def test_killed_and_begun_anew_it_is_the_same(found: pmsim.Sensitivity, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def kill(progress: SweepProgress) -> None:
        if progress.total > 100 and progress.done > 20:
            raise Killed

    with pytest.raises(Killed):
        run(tmp_path, tmp_path / "out", progress=kill)
    kept = list((tmp_path / "out" / "indices").rglob("replications/**/*.*"))
    assert kept
    assert not (tmp_path / "out" / "sensitivity.json").exists()
    again = run(tmp_path, tmp_path / "out")
    assert again.found == found.found


def test_that_of_another_scenario_is_not_replaced_unasked(
    found: pmsim.Sensitivity, tmp_path: Path
) -> None:
    other = scenario(tmp_path).with_(**{"machine.costs.ipi.queue": "60ns"})
    with pytest.raises(OutputError, match="holds another sweep"):
        pmsim.sensitivity(other, found.path, effort=EFFORT, workers=1, progress=None)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"metric": "latency"}, "no metric is called 'latency'"),
        ({"metric": "latency_p99_ps"}, "some runs do not know latency_p99_ps"),
        ({"effort": Effort(1, 64)}, "1 ways through"),
        ({"effort": Effort(2, 60)}, "60 points"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, options: dict[str, object], match: str
) -> None:
    with pytest.raises(ScenarioError, match=match):
        run(tmp_path, tmp_path / "out", **options)


@pytest.mark.parametrize(
    ("metric", "hint"),
    [
        ("latency_p99", "did you mean latency_p99_ps?"),
        (
            "foo",
            "for example lost_share, latency_mean_ps, duration_ps; pmsim list metrics: all of them",
        ),
    ],
)
def test_a_metric_that_there_is_not_is_an_unknown_name(
    tmp_path: Path, metric: str, hint: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        run(tmp_path, tmp_path / "out", metric=metric)
    (fault,) = refused.value.faults
    assert (fault.file, fault.code) == ("metric", "unknown-metric")
    assert fault.hint.startswith(hint)


def test_where_nothing_is_lost_the_length_of_the_run_is_looked_at() -> None:
    from pmsim.experiments.constants.sensitivity import _first_known

    rows = [{"lost_share": 0.0, "latency_mean_ps": math.nan, "duration_ps": 5.0}] * 2
    assert _first_known(rows) == "duration_ps"
    assert _first_known([{**rows[0], "lost_share": 0.1}, rows[0]]) == "lost_share"
