"""To which side predictions of experiments miss, one series of points beside the other."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from pmsim import formatting
from pmsim.figures import agreement, look, rows
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.swept import Floats

_POINTS: Final = Mark("a point", look.BLUE, dot="o")
_MEDIAN: Final = Mark("their median", look.VERMILION, dot="D")
_LEAST: Final = 1 / 128
_MOST: Final = 4.0
"""The ends of the axis; what lies beyond is drawn at its end."""
_TICKS: Final = (1 / 100, 1 / 30, 0.1, 0.25, 0.5, 1, 2, 4)
_FEW: Final = (1 / 100, 0.1, 0.5, 1, 2)
_MOST_ROWS: Final = 24


@drawn_from("points of a reproduction")
def misses_by_series(points: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw predicted times by measured ones, a row for each series of experiments.

    Times are drawn, and rates as the time of each one; what is neither is left out, and so is what
    was measured on machines that no platform stands for. The fastest series is on top.

    Parameters
    ----------
    points
        The points of a `pmsim.Reproduction`.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.
    """
    found = paces(points)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def paces(points: pd.DataFrame) -> dict[str, Floats]:
    """Take the ratios of each series, ascending; the series with the least median is first."""
    drawn = agreement.drawn(points)
    ratios = drawn["raw_ps"] / drawn["measured_ps"]
    each = {
        str(name): np.sort(own.to_numpy(float))
        for name, own in ratios.groupby(drawn["series"], sort=True)
    }
    return dict(sorted(each.items(), key=lambda one: float(np.median(one[1]))))


def size(found: dict[str, Floats]) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 7.2, 1.7 + 0.24 * max(min(len(found), _MOST_ROWS), 4)


def draw(found: dict[str, Floats], ax: Axes) -> Axes:
    """Draw the rows on axes."""
    if not found:
        return look.nothing(ax, "To which side predictions miss", "No time was predicted.")
    shown = dict(list(found.items())[: current().rows(_MOST_ROWS, lines=1)])
    for low, high, shade in ((0.5, 2.0, "#eeeeee"), (0.8, 1.25, "#dddddd")):
        ax.axvspan(low, high, color=shade, linewidth=0)
    dot = 0.55 * current().text
    for place, own in zip(rows.middles(len(shown)), shown.values(), strict=True):
        ax.plot(
            np.clip(own, _LEAST, _MOST), np.full(len(own), place), linestyle="none",
            marker=_POINTS.dot, color=_POINTS.colour, markersize=dot, markeredgewidth=0, alpha=0.45,
        )  # fmt: skip
        ax.plot(
            np.clip(np.median(own), _LEAST, _MOST), place, linestyle="none", marker=_MEDIAN.dot,
            color=_MEDIAN.colour, markersize=dot, markeredgecolor=look.PAPER, markeredgewidth=0.5,
        )  # fmt: skip
    ax.set(xscale="log", xlim=(_LEAST, _MOST))
    rows.line(ax, 1, len(shown))
    counts = [formatting.counted(len(own), "point") for own in shown.values()]
    named = [f"{name}, {count}" for name, count in zip(shown, counts, strict=True)]
    rows.name(ax, list(shown) if current().narrow else named, counts)
    ticks = _FEW if current().narrow else _TICKS
    ax.set_xticks(ticks, [f"{tick:g}" if tick >= 0.1 else f"1/{1 / tick:.0f}" for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xlabel("predicted time by measured time")
    look.say(ax, message(found), _DETAIL, look.key(ax, (_POINTS, _MEDIAN)))
    return ax


_DETAIL: Final = (
    "Left of the line: too fast. Points that were never fitted, times and rates. Dark band: within"
    " 25 %; light: within a factor of two."
)


def message(found: dict[str, Floats]) -> str:
    """Return the sentence on top."""
    medians = [float(np.median(own)) for own in found.values()]
    fast = sum(median < 1 for median in medians)
    return (
        f"By the median of their points {fast} of {len(medians)} series are predicted too fast; the"
        f" one in the middle takes"
        f" {formatting.share(float(np.median(medians)))} of the measured time"
    )
