"""Errors, simple guesses and what they come to, worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pmsim.report.truth_markdown import truth_markdown
from pmsim.report.truth_tables import truth_words
from pmsim.reproduction.reproduce import reproduce
from pmsim.reproduction.reproduction import Reproduction
from pmsim.reproduction.scores import error, sides
from tests.reproduction.experiments import EXPERIMENT, written


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Reproduction:
    return reproduce(written(tmp_path_factory.mktemp("experiment")), workers=1)


def test_an_error_is_a_share_of_what_was_measured() -> None:
    assert error(30, 20) == 0.5
    assert error(5, 20) == -0.75
    assert error(0, 0) == 0
    assert error(1, 0) == float("inf")


def test_raw_predictions_are_what_the_model_says(found: Reproduction) -> None:
    points = found.points
    assert points["raw"].tolist() == [5, 7, 9]
    assert points["raw_error"].tolist() == pytest.approx([-0.5, -0.65, -0.775])
    assert points["raw_ps"].tolist() == [5_000_000, 7_000_000, 9_000_000]


def test_a_scaled_prediction_meets_the_calibration_point_by_one_factor(found: Reproduction) -> None:
    # 10 measured, 5 predicted: a factor of 2.
    assert found.points["scaled"].tolist() == [10, 14, 18]
    assert found.points["scaled_error"].tolist() == pytest.approx([0, -0.3, -0.55])


def test_the_guesses_are_a_constant_and_proportion(found: Reproduction) -> None:
    assert found.points["constant_error"].tolist() == pytest.approx([0, -0.5, -0.75])
    # 10 µs with 2 CPUs: 15 with 3, 20 with 4.
    assert found.points["linear_error"].tolist() == pytest.approx([0, -0.25, -0.5])


def test_what_raw_predictions_come_to_leaves_out_what_may_be_fitted(found: Reproduction) -> None:
    raw = found.raw
    assert raw is not None
    assert raw.points == 2
    assert raw.mean_error == raw.median_error == pytest.approx((0.65 + 0.775) / 2)
    assert (raw.near, raw.within_factor, raw.too_fast) == (0, 0, 1)


def test_nothing_counts_of_an_experiment_that_was_set_up_after_its_figures_had_been_seen(
    tmp_path: Path,
) -> None:
    asked = "axis: CPUs\nsigns: [{says: more take longer, larger: A3, than: A2}]"
    plain = EXPERIMENT.replace("axis: CPUs", asked)
    known = reproduce(written(tmp_path, plain), workers=1)
    assert known.raw is not None
    assert len(known.signs) == 1
    seen = reproduce(written(tmp_path, plain + "seen: 1 µs of delivery.\n"), workers=1)
    assert seen.points["raw"].tolist() == known.points["raw"].tolist() == [5, 7, 9]
    assert (seen.raw, seen.calibrated, seen.signs, seen.sides) == (None, None, [], [])
    assert truth_words(seen) == [
        "Set up after their figures had been seen, and in none of these numbers: 3 points of"
        " one-by-one."
    ]
    page = truth_markdown(seen)
    assert "- **chosen after seeing**: 1 µs of delivery." in page
    assert "In µs. Set up after these figures had been seen: none counts." in page
    assert "| one-by-one | 3 | 0 | - | - | - | - | - |" in page


def test_an_experiment_is_better_only_if_it_beats_both_guesses(found: Reproduction) -> None:
    fitted = found.calibrated
    assert fitted is not None
    # 0.425 in the mean, a constant 0.625, proportion 0.375.
    assert fitted.mean_error == pytest.approx(0.425)
    assert (fitted.better, fitted.worse) == ((), ("one-by-one",))


def test_a_series_misses_to_one_side_by_times_and_rates_that_were_never_fitted(
    found: Reproduction,
) -> None:
    # 7 of 20 µs, and 9 of 40.
    (side,) = found.sides
    assert (side.series, side.points, side.too_fast) == ("one-by", 2, 2)
    assert (side.least, side.most) == pytest.approx((0.225, 0.35))
    assert side.median == pytest.approx((0.225 + 0.35) / 2)
    # Were they rates, 7 of 20 a second would be too slow; shares are neither, and left out.
    rates = [replace(one, slower=False) for one in found.scores]
    (slow,) = sides(rates)
    assert (slow.too_fast, slow.least, slow.most) == (0, 20 / 7, 40 / 9)
    assert sides([replace(one, slower=None) for one in found.scores]) == []


def test_the_worst_come_first_by_ratio(found: Reproduction) -> None:
    assert [one.point for one in found.worst()] == ["A3", "A2"]


def test_several_runs_are_put_together(tmp_path: Path) -> None:
    experiment = EXPERIMENT.replace("vary: [machine.cpus]\n", "").replace(
        "at: 3}", "runs: {two: {machine.cpus: 2}, four: {machine.cpus: 4}}, predicted: four - two}"
    )
    points = reproduce(written(tmp_path, experiment), workers=1).points
    assert points["raw"].tolist()[1] == 9 - 5


def test_a_run_may_say_what_is_read_off_it(tmp_path: Path) -> None:
    runs = "{one: {machine.cpus: 3}, both: {machine.cpus: 3, observe: {what: run}}}"
    experiment = EXPERIMENT.replace("vary: [machine.cpus]\n", "").replace(
        "at: 3}", f"runs: {runs}, predicted: both - one}}"
    )
    points = reproduce(written(tmp_path, experiment), workers=1).points
    # A call of two takes 7 µs; the run has two, and the last handler goes back 1 µs later.
    assert points["raw"].tolist()[1] == 15 - 7


def test_a_key_is_calibrated_in_the_place_of_a_factor(tmp_path: Path) -> None:
    by = "calibrate: {key: machine.costs.ipi.delivery, value: 1000000 * (A1 - 4)}\naxis: CPUs"
    points = reproduce(written(tmp_path, EXPERIMENT.replace("axis: CPUs", by)), workers=1).points
    # Delivery takes 6 µs instead of 1.
    assert points["scaled"].tolist() == [10, 12, 14]
    assert points["raw"].tolist() == [5, 7, 9]


def test_cycles_and_rates_are_told_as_such(tmp_path: Path) -> None:
    cycles = EXPERIMENT.replace("unit: us", "unit: cycles\nclock: 2GHz")
    points = reproduce(written(tmp_path, cycles), workers=1).points
    assert points["raw"].tolist() == [10_000, 14_000, 18_000]
    rate = EXPERIMENT.replace("unit: us", "unit: 1/s").replace(
        "what: latency", "what: rate, of: [flush_tlb_kernel_range]"
    )
    points = reproduce(written(tmp_path, rate), workers=1).points
    # Two flushes of 5 µs, one right after the other.
    assert points["raw"].tolist()[0] == pytest.approx(200_000)
    assert points["raw_ps"].tolist()[0] == pytest.approx(5_000_000)


def test_a_shape_alone_does_not_count(tmp_path: Path) -> None:
    shape = EXPERIMENT.replace("unit: us", "unit: us\nabsolute: false")
    found = reproduce(written(tmp_path, shape), workers=1)
    assert found.raw is None
    assert found.calibrated is not None


def test_a_sign_is_answered_by_raw_predictions(tmp_path: Path) -> None:
    signs = (
        "signs:\n  - {says: more is slower, larger: A3, than: A1}\n"
        "  - {says: no, larger: A1, than: A3}\n"
    )
    found = reproduce(written(tmp_path, EXPERIMENT + signs), workers=1)
    assert [(one.larger, one.than, one.right) for one in found.signs] == [
        (9, 5, True), (5, 9, False),
    ]  # fmt: skip


@pytest.mark.slow
def test_other_processes_change_no_number(tmp_path: Path) -> None:
    more = "".join(f"  - {{measured: {n}, name: p{n}, at: {2 + n % 3}, set: {{seed: {n}}}}}\n"
                   for n in range(12))  # fmt: skip
    path = written(tmp_path, EXPERIMENT + more)
    alone, beside = (reproduce(path, workers=n).points for n in (1, 2))
    assert alone.equals(beside)
