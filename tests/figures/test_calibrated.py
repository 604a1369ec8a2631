"""The figure of a calibration: what it says, and how it marks what was held out."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.colors import to_hex

from pmsim.figures import look
from pmsim.figures.calibrated import detail, drawn, measured_against_fitted, message

ROWS = [
    # call, held out, measured and simulated in ns; the last one does not count.
    ("mprotect", False, 1000.0, 1000.0),
    ("mprotect", True, 2000.0, 2100.0),
    ("madvise", True, 1000.0, 1300.0),
    ("munmap", True, 4000.0, 4040.0),
    ("membarrier", False, 9000.0, None),
]


@pytest.fixture
def points() -> pd.DataFrame:
    frame = pd.DataFrame(ROWS, columns=["call", "held_out", "measured_ns", "predicted_ns"])
    return frame.assign(error=frame["predicted_ns"] / frame["measured_ns"] - 1)


def test_it_says_how_well_held_out_cells_are_met(points: pd.DataFrame) -> None:
    found = drawn(points)
    assert message(found) == "Half of 3 held-out cells are met within 5 %, 2 within 15 %"
    assert "filled: 1 cell that was fitted." in detail(found)
    assert message(found[~found["held_out"]]) == "1 cell, none of them held out"


def test_held_out_cells_are_open_and_fitted_ones_filled(points: pd.DataFrame) -> None:
    axes = measured_against_fitted(points)
    faces = {}
    for line in axes.lines:
        for x in line.get_xdata():
            if line.get_marker() not in ("None", ""):
                faces[float(x), float(line.get_ydata()[0])] = to_hex(line.get_markerfacecolor())
    assert faces[2e6, 2.1e6] == look.PAPER
    assert faces[1e6, 1e6] == look.BLUE
    assert len(faces) == 4


def test_without_a_cell_that_counts_it_says_so(points: pd.DataFrame) -> None:
    axes = measured_against_fitted(points.assign(predicted_ns=float("nan")))
    assert not axes.lines
