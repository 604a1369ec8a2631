"""Figures of reproduced experiments, on points that are made up."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib import pyplot as plt

from pmsim.figures import (
    error_distribution,
    experiment_curve,
    misses_by_series,
    predicted_against_measured,
)


def points(*measured_and_raw: tuple[float, float]) -> pd.DataFrame:
    """Return the points of an experiment on 1, 2, ... CPUs, in µs; the first one is fitted."""
    rows = []
    for place, (measured, raw) in enumerate(measured_and_raw):
        scaled = raw * measured_and_raw[0][0] / measured_and_raw[0][1]
        rows.append(
            {
                "experiment": "made-up",
                "series": "made-up",
                "family": "x86",
                "use": "predict" if place else "calibrate",
                "calibration": not place,
                "counted": bool(place),
                "at": float(place + 1),
                "unit": "us",
                "measured": measured,
                "raw": raw,
                "raw_error": raw / measured - 1,
                "scaled": scaled,
                "scaled_error": scaled / measured - 1,
                "measured_ps": measured * 1e6,
                "raw_ps": raw * 1e6,
            }
        )
    return pd.DataFrame(rows)


MADE_UP = points((10, 5), (20, 19), (40, 10), (80, 79))


@pytest.mark.parametrize(
    "figure",
    [predicted_against_measured, error_distribution, experiment_curve, misses_by_series],
)
def test_a_figure_is_drawn_on_the_axes_given_and_says_something(figure):
    ax = plt.figure().add_subplot()
    assert figure(MADE_UP, ax=ax) is ax
    ax.figure.canvas.draw()
    assert ax.get_label()


def test_the_scatter_counts_what_was_never_fitted_and_names_what_lies_outside():
    ax = predicted_against_measured(MADE_UP)
    said = " ".join(ax.get_title(loc="left").split())
    # Of the three, 19 of 20 and 79 of 80 are near; 10 of 40 is not within a factor of two.
    assert said.startswith("66.7 % of 3 times are predicted within a factor of two, 66.7 % within")
    assert "made-up" in [text.get_text() for text in ax.texts]


def test_rows_of_series_have_the_fastest_on_top_and_count_each_series_once():
    slow = points((10, 10), (10, 20), (10, 40)).assign(series="slow")
    # Of the made-up ones 19 of 20, 10 of 40 and 79 of 80; of the slow ones 20 and 40 of 10.
    ax = misses_by_series(pd.concat([slow, MADE_UP]))
    said = " ".join(ax.get_title(loc="left").split())
    assert said.startswith("By the median of their points 1 of 2 series are predicted too fast;")
    assert said.endswith(f"takes {100 * (0.95 + 3) / 2:.0f} % of the measured time")
    names = [text.get_text() for text in ax.get_yticklabels()]
    assert names == ["made-up, 3 points", "slow, 2 points"]


def test_the_distribution_says_the_median_of_both_predictions():
    said = " ".join(error_distribution(MADE_UP).get_title(loc="left").split())
    # Raw: 5 %, 75 %, 1.25 %; fitted: 38 of 20, 20 of 40, 158 of 80.
    assert said == "Half of the predictions are off by at most 5 % raw and 90 % calibrated"


def test_nothing_is_drawn_where_no_point_was_predicted():
    fitted = MADE_UP[MADE_UP["calibration"]]
    for figure in (predicted_against_measured, error_distribution):
        assert [text.get_text() for text in figure(fitted).texts] == ["No point was predicted."]
