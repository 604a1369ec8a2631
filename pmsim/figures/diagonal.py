"""Two times of each point on logarithmic axes: how near they lie to the diagonal."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from pmsim.figures import look, scales
from pmsim.figures.look import Mark


def marks(kinds: Mapping[str, tuple[str, str]]) -> dict[str, Mark]:
    """Return a mark for each kind of point, told apart by colour or by shape.

    Parameters
    ----------
    kinds
        Colour and marker by name; an underscore is read as a space.
    """
    return {
        name: Mark(name.replace("_", " "), colour, dot=dot) for name, (colour, dot) in kinds.items()
    }


def bands(ax: Axes, low: float, high: float, near: float, factor: float) -> None:
    """Draw the diagonal between two values, and who lies within one factor and within another."""
    ends = np.array([low, high])
    for ratio, shade in ((factor, "#eeeeee"), (near, "#dddddd")):
        ax.fill_between(ends, ends / ratio, ends * ratio, color=shade, linewidth=0)
    ax.plot(ends, ends, color=look.FAINT, linewidth=0.9)


def scale(ax: Axes, low: float, high: float, across: str, up: str) -> None:
    """Scale both axes alike, once the points are drawn, and say what they are."""
    ax.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
    for axis, label in ((ax.xaxis, across), (ax.yaxis, up)):
        scales.log_time_axis(axis, label)
