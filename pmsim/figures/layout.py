"""How the axes of a figure find their places: as large as what is written around them allows.

Matplotlib's constrained layout solves that for any arrangement, and measures every text some four
times as often as a row of axes needs.
"""

from __future__ import annotations

from typing import Any, Final
from weakref import WeakKeyDictionary

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

_PAD: Final = 0.04
"""Inches that stay free around each of the axes and what is written around them."""


class OneRow(LayoutEngine):
    """The layout of axes that stand side by side, each with as much of the width."""

    _adjust_compatible = True
    _colorbar_gridspec = False

    def __init__(self) -> None:
        super().__init__()
        self._widths: WeakKeyDictionary[Axes, float] = WeakKeyDictionary()

    def execute(self, fig: Any) -> None:
        """Give all axes their places."""
        renderer = fig._get_renderer()
        for ax in fig.axes:
            _fit(ax, fig, renderer)

    def width(self, ax: Axes) -> float:
        """Return how wide axes are in points, from the time on when what stands beside them does.

        It is measured once: what is written above them does not change it.
        """
        if ax not in self._widths:
            figure = ax.figure.canvas.figure
            self.execute(figure)
            self._widths[ax] = ax.bbox.width / figure.dpi * 72
        return self._widths[ax]


def _fit(ax: Axes, figure: Figure, renderer: Any) -> None:
    """Make axes and what is written around them fill their part of the figure."""
    place = ax.get_subplotspec()
    around = ax.get_tightbbox(renderer, for_layout_only=True)
    if place is None or around is None:
        return
    box, whole, pad = ax.bbox, figure.bbox, _PAD * figure.dpi
    part = whole.width / place.get_gridspec().ncols
    left = part * place.colspan.start + pad + box.x0 - around.x0
    right = part * place.colspan.stop - pad - (around.x1 - box.x1)
    bottom = pad + box.y0 - around.y0
    top = whole.height - pad - (around.y1 - box.y1)
    width, height = max(right - left, 1.0), max(top - bottom, 1.0)
    ax.set_position(
        (left / whole.width, bottom / whole.height, width / whole.width, height / whole.height)
    )
