"""How far predictions of published experiments are off: the distribution of their errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from pmsim import formatting
from pmsim.figures import look
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.swept import Floats

LINES: Final = {
    "raw": Mark("raw", look.BLUE, line="-"),
    "calibrated": Mark("calibrated", look.VERMILION, line="--"),
}
_LEAST: Final = 1 / 128
_MOST: Final = 16.0
"""The ends of the axis; what lies beyond is drawn at its end."""
_TICKS: Final = (1 / 100, 1 / 30, 0.1, 0.25, 0.5, 1, 2, 4, 10)
_FEW: Final = (1 / 100, 0.1, 0.5, 1, 2, 10)


@dataclass(frozen=True, slots=True)
class Misses:
    """Ratios of prediction and measurement, raw and calibrated, ascending."""

    ratios: Mapping[str, Floats]


@drawn_from("points of a reproduction")
def error_distribution(points: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw which share of the points is predicted at most so many times what was measured.

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
    found = ratios(points)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def ratios(points: pd.DataFrame) -> Misses:
    """Take the ratios from points that were never fitted."""
    raw = points[points["counted"]]
    fitted = points[points["scaled"].notna() & (points["use"] == "predict")]
    pairs = {"raw": raw["raw_error"], "calibrated": fitted["scaled_error"]}
    return Misses({name: np.sort(1 + errors.to_numpy(float)) for name, errors in pairs.items()})


def size(_found: Misses) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 7.2, 3.8


def draw(found: Misses, ax: Axes) -> Axes:
    """Draw both distributions on axes."""
    known = {name: values for name, values in found.ratios.items() if len(values)}
    if not known:
        return look.nothing(ax, "Predictions by how far they are off", "No point was predicted.")
    for low, high, shade in ((0.5, 2.0, "#eeeeee"), (0.75, 1.25, "#dddddd")):
        ax.axvspan(low, high, color=shade, linewidth=0)
    ax.axvline(1, color=look.FAINT, linewidth=0.9)
    for name, values in known.items():
        inside = np.clip(values, _LEAST, _MOST)
        shares = np.arange(1, len(values) + 1) / len(values)
        x = np.concatenate([[_LEAST], inside, [_MOST]])
        y = np.concatenate([[0.0], shares, [1.0]])
        ax.step(x, y, where="post", color=LINES[name].colour, linestyle=LINES[name].line)
    ax.set(xscale="log", xlim=(_LEAST, _MOST), ylim=(0, 1.02))
    ticks = _FEW if current().narrow else _TICKS
    ax.set_xticks(ticks, [_written(tick) for tick in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: formatting.tick_share(value)))
    ax.grid(visible=True, axis="y")
    ax.set_xlabel("predicted by measured")
    ax.set_ylabel("share of points")
    marks = [
        LINES[name]._replace(label=f"{name}, {len(values)} points")
        for name, values in known.items()
    ]
    room = look.key(ax, marks)
    look.say(ax, message(found), "Grey: within 25 %, and within a factor of two.", room)
    return ax


def message(found: Misses) -> str:
    """Return the sentence on top."""
    said = [
        f"{formatting.share(float(np.median(np.abs(values - 1))))} {name}"
        for name, values in found.ratios.items()
        if len(values)
    ]
    return f"Half of the predictions are off by at most {' and '.join(said)}"


def _written(ratio: float) -> str:
    return f"{ratio:g}" if ratio >= 0.1 else f"1/{1 / ratio:.0f}"
