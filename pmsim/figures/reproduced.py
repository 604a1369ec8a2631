"""One published experiment along its axis: measured, predicted, and the two simple guesses."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

from pmsim import formatting
from pmsim.figures import look
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark

_MOST_TICKS: Final = 9
_WIDE: Final = 8.0
"""The ratio of the ends of an axis from which on it is logarithmic."""
LINES: Final = {
    "raw": Mark("predicted, nothing fitted", look.BLUE, line="-"),
    "scaled": Mark("predicted, one point fitted", look.VERMILION, line="--"),
}


@drawn_from("points of a reproduction")
def experiment_curve(points: pd.DataFrame, axis: str = "", ax: Axes | None = None) -> Axes:
    """Draw the points of one experiment along its axis.

    Parameters
    ----------
    points
        The points of one experiment of a `pmsim.Reproduction`.
    axis
        What the axis counts.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.
    """
    found = along(points)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes, axis=axis)


def along(points: pd.DataFrame) -> pd.DataFrame:
    """Take the points that have a number on the axis, in its order."""
    at = pd.to_numeric(points["at"], errors="coerce")
    return points.assign(at=at)[at.notna()].sort_values("at", kind="stable")


def says(points: pd.DataFrame) -> bool:
    """Return whether there are points enough for a curve."""
    return bool(along(points)["at"].nunique() > 2)


def size(_found: pd.DataFrame) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 6.4, 3.6


def draw(found: pd.DataFrame, ax: Axes, *, axis: str = "") -> Axes:
    """Draw them on axes."""
    unit = str(found["unit"].iloc[0])
    parts = []
    for column, mark in LINES.items():
        rows = found[found[column].notna()]
        if not rows.empty:
            ax.plot(rows["at"], rows[column], color=mark.colour, linestyle=mark.line)
            parts.append(mark)
    for fitted, face in ((False, look.INK), (True, look.PAPER)):
        rows = found[found["calibration"] == fitted]
        ax.plot(
            rows["at"], rows["measured"], linestyle="none", marker="o",
            markersize=0.6 * current().text, color=look.INK, markerfacecolor=face,
        )  # fmt: skip
    _scale(found, ax)
    ax.set_xlabel(axis)
    ax.set_ylabel(unit if unit not in ("1", "1/s") else {"1": "", "1/s": "a second"}[unit])
    ax.grid(visible=True, axis="y")
    room = look.key(ax, parts)
    look.say(ax, message(found), "Dots: measured; open: the one that is fitted.", room)
    return ax


def message(found: pd.DataFrame) -> str:
    """Return the sentence on top."""
    errors = found.loc[found["use"] == "predict", "raw_error"].abs()
    half = formatting.share(float(errors.median()))
    return f"{found['experiment'].iloc[0]}: half of the points within {half}, nothing fitted"


def _scale(found: pd.DataFrame, ax: Axes) -> None:
    ends = found["at"].min(), found["at"].max()
    if ends[0] > 0 and ends[1] > _WIDE * ends[0]:
        ax.set_xscale("log")
    values = found[["measured", "raw"]].to_numpy(float).ravel()
    if values.min() > 0 and values.max() > _WIDE * values.min():
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ticks = _spread(found["at"].unique().tolist(), logarithmic=ax.get_xscale() == "log")
    ax.set_xticks(ticks, [formatting.tick_count(tick) for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_minor_formatter(NullFormatter())


def _spread(places: list[float], *, logarithmic: bool) -> list[float]:
    """Return places of the axis for labels, so far apart that labels have room."""
    along = np.log(places) if logarithmic else np.array(places)
    apart = (along[-1] - along[0]) / _MOST_TICKS
    chosen = [0]
    for place in range(1, len(places)):
        if along[place] - along[chosen[-1]] >= apart:
            chosen.append(place)
    return [places[place] for place in chosen]
