"""The figures of reproduced experiments, ready to be drawn into files."""

from __future__ import annotations

from functools import partial

import pandas as pd

from pmsim.figures import agreement, misses, reproduced, sides
from pmsim.figures.gallery import Drawing
from pmsim.figures.panels import Panel


def truth_drawings(points: pd.DataFrame) -> list[Drawing]:
    """Return the figures about all points of a `pmsim.Reproduction` together."""
    of_all = {
        "agreement": Panel(agreement.drawn, agreement.size, agreement.draw),
        "misses": Panel(misses.ratios, misses.size, misses.draw),
        "sides": Panel(sides.paces, sides.size, sides.draw),
    }
    return [Drawing(name, ((panel, panel.take(points)),)) for name, panel in of_all.items()]


def experiment_drawings(points: pd.DataFrame, axis: str) -> list[Drawing]:
    """Return the figure of one experiment, if it has points enough along an axis for one.

    Parameters
    ----------
    points
        Its points.
    axis
        What the axis counts.
    """
    if not reproduced.says(points):
        return []
    draw = partial(reproduced.draw, axis=axis)
    panel = Panel(reproduced.along, reproduced.size, draw)
    name = str(points["experiment"].iloc[0])
    return [Drawing(name, ((panel, panel.take(points)),))]
