"""Predicted against measured, every point of published experiments."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.figures import diagonal, look
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from

FAMILIES: Final = diagonal.marks(
    {
        "x86": (look.BLUE, "o"),
        "Arm": (look.ORANGE, "s"),
        "RISC-V": (look.PURPLE, "^"),
        "guests": (look.RED, "D"),
    }
)
"""Colour and marker of each kind of machine, told apart by either."""
NEAR: Final = 1.25
FACTOR: Final = 2.0
_MOST_NAMES: Final = 12
_ROOM: Final = 1.5
"""How far names are apart at least, as a ratio on the axis."""
_NEAR: Final = 5.0
"""Up to which ratio other points are in a name's way."""
_ASIDE, _AWAY = 1.35, 2.4
"""How far behind the points a name begins: at the height of its own, and at the end of a line."""
Floats = npt.NDArray[np.float64]


@drawn_from("points of a reproduction")
def predicted_against_measured(points: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw raw predictions against what was measured, both on logarithmic axes.

    Times are drawn, and rates as the time of each one; what is neither is left out, and so is what
    was measured on machines that no platform stands for.

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
    found = drawn(points)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def drawn(points: pd.DataFrame) -> pd.DataFrame:
    """Take the points that can be drawn."""
    times = points["measured_ps"].gt(0) & points["raw_ps"].gt(0)
    return points[points["counted"] & times]


def size(_found: pd.DataFrame) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 7.2, 6.4


def draw(found: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the points on axes."""
    if found.empty:
        return look.nothing(ax, "Predicted against measured", "No point was predicted.")
    low = float(min(found["measured_ps"].min(), found["raw_ps"].min())) / 2
    high = float(max(found["measured_ps"].max(), found["raw_ps"].max())) * 2
    if not current().narrow:
        low = min(low, _name(found, ax) / _ROOM)
    diagonal.bands(ax, low, high, NEAR, FACTOR)
    for family, mark in FAMILIES.items():
        rows = found[found["family"] == family]
        ax.plot(
            rows["measured_ps"], rows["raw_ps"], linestyle="none", marker=mark.dot,
            color=mark.colour, markersize=0.6 * current().text, markeredgecolor=look.PAPER,
            markeredgewidth=0.5, alpha=0.9,
        )  # fmt: skip
    diagonal.scale(ax, low, high, "measured", "predicted, nothing fitted")
    here = [name for name in FAMILIES if (found["family"] == name).any()]
    room = look.key(ax, [FAMILIES[name] for name in here])
    look.say(ax, message(found), detail(found), room)
    return ax


def message(found: pd.DataFrame) -> str:
    """Return the sentence on top."""
    near = formatting.share(_within(found, NEAR))
    factor = formatting.share(_within(found, FACTOR))
    ratio = found["raw_ps"] / found["measured_ps"]
    side = "too short" if (ratio < 1).mean() > 0.5 else "too long"
    part = formatting.share(
        float((ratio < 1).mean() if side == "too short" else (ratio > 1).mean())
    )
    return (
        f"{factor} of {len(found)} times are predicted within a factor of two, {near} within"
        f" 25 %; {part} are {side}"
    )


def detail(found: pd.DataFrame) -> str:
    """Return the quieter line below it."""
    return (
        f"{found['experiment'].nunique()} published experiments; points that were never fitted."
        " Dark band: within 25 %; light: within a factor of two."
        + ("" if current().narrow else " Names: what lies farther off.")
    )


def _within(found: pd.DataFrame, factor: float) -> float:
    ratio = found["raw_ps"] / found["measured_ps"]
    return float(((ratio <= factor) & (ratio >= 1 / factor)).mean())


def _name(found: pd.DataFrame, ax: Axes) -> float:
    """Name the experiments that have points outside the band, at the worst of each, apart.

    Returns
    -------
    float
        How far down names go.
    """
    off = (found["raw_ps"] / found["measured_ps"]).map(lambda ratio: abs(math.log(ratio)))
    outside = found.assign(off=off)[off > math.log(FACTOR)]
    worst = outside.sort_values("off", ascending=False).drop_duplicates("experiment")
    named = worst.head(_MOST_NAMES)
    above = named["raw_ps"] > named["measured_ps"]
    # Names climb above the diagonal, and sink below it, from the right on: so no line crosses one.
    points = found[["measured_ps", "raw_ps"]].to_numpy(float)
    places = _stack(ax, named[above].sort_values("raw_ps"), _ROOM, points)
    below = named[~above].sort_values("measured_ps", ascending=False)
    places += _stack(ax, below, 1 / _ROOM, points)
    return min(places, default=math.inf)


def _stack(ax: Axes, named: pd.DataFrame, step: float, points: Floats) -> list[float]:
    """Write names beside points, each a step on from those that are in its way; return where.

    A name stands to the right of all points at its height that are near.
    """
    taken: list[tuple[float, float]] = []
    places = named[["measured_ps", "raw_ps"]].to_numpy(float)
    for name, (x, y) in zip(named["experiment"], places, strict=True):
        place = y * step if step > 1 else y
        while any(0.01 < x / a < 100 and abs(math.log(place / b)) < math.log(_ROOM) - 1e-9
                  for a, b in taken):  # fmt: skip
            place *= step
        taken.append((x, place))
        level = np.abs(np.log(points[:, 1] / place)) < math.log(_ROOM) / 2
        near = np.abs(np.log(points[:, 0] / x)) < math.log(_NEAR)
        right = points[level & near, 0].max(initial=x)
        line = {"arrowstyle": "-", "color": look.FAINT, "linewidth": 0.5, "relpos": (0.0, 0.5)}
        aside = _ASIDE if place == y else _AWAY
        ax.annotate(
            str(name), (x, y), xytext=(right * aside, place), ha="left", va="center",
            color=look.INK, arrowprops=line,
        )  # fmt: skip
    return [place for _, place in taken]
