"""How the axes of a figure find their places: as large as what is written around them allows.

Matplotlib's constrained layout solves that for any arrangement, and measures every text some four
times as often as a row of axes needs.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine
from matplotlib.text import Text

PAD: Final = 0.04
"""Inches that stay free around each of the axes and what is written around them."""


class OneRow(LayoutEngine):
    """The layout of axes that stand side by side, each with as much of the width.

    Parameters
    ----------
    once
        Whether what stands beside and below axes is measured once, when their message comes:
        nothing is added there later.
    """

    _adjust_compatible = True
    _colorbar_gridspec = False

    def __init__(self, *, once: bool = False) -> None:
        super().__init__()
        self._once = once
        self._widths: WeakKeyDictionary[Axes, float] = WeakKeyDictionary()
        self._margins: WeakKeyDictionary[Axes, _Margins] = WeakKeyDictionary()
        self._messages: WeakKeyDictionary[Axes, Text] = WeakKeyDictionary()

    def execute(self, fig: Any) -> None:
        """Give all axes their places."""
        renderer = fig._get_renderer()
        for ax in fig.axes:
            if self._once and ax in self._messages and ax in self._margins:
                extent = self._messages[ax].get_window_extent(renderer)
                head = (extent.y1 - ax.bbox.y1) / fig.dpi
                _place(ax, fig, self._margins[ax]._replace(top=head))
            else:
                self._measure(ax, fig, renderer)

    def width(self, ax: Axes) -> float:
        """Return how wide axes are in points, once all that stands beside them is there.

        It is measured once: what is written above them does not change it.
        """
        if ax not in self._widths:
            figure: Any = ax.figure.canvas.figure
            self._measure(ax, figure, figure._get_renderer())
            self._widths[ax] = ax.bbox.width / figure.dpi * 72
        return self._widths[ax]

    def left(self, ax: Axes) -> float:
        """Return how much stands left of axes, in inches, once all of that is there."""
        self.width(ax)
        return self._margins[ax].left

    def below(self, ax: Axes) -> float:
        """Return how much stands below axes, in inches, once all of that is there."""
        self.width(ax)
        return self._margins[ax].bottom

    def forget(self, ax: Axes) -> None:
        """Measure again, when it is next asked for, what stands around axes."""
        self._widths.pop(ax, None)
        self._margins.pop(ax, None)

    def headed(self, ax: Axes, message: Text) -> None:
        """Note the text above axes that reaches highest."""
        self._messages[ax] = message

    def _measure(self, ax: Axes, figure: Figure, renderer: Any) -> None:
        """Measure what is written around axes, and give them what it leaves."""
        for _ in range(2 if ax.child_axes else 1):  # what stands beside them may shrink with them
            around, box = ax.get_tightbbox(renderer, for_layout_only=True), ax.bbox
            if around is None:
                return
            pixels = (
                box.x0 - around.x0,
                around.x1 - box.x1,
                box.y0 - around.y0,
                around.y1 - box.y1,
            )
            self._margins[ax] = _Margins(*(pixel / figure.dpi for pixel in pixels))
            _place(ax, figure, self._margins[ax])


class _Margins(NamedTuple):
    """What axes leave free around them, in inches: a figure is saved at another resolution."""

    left: float
    right: float
    bottom: float
    top: float


def _place(ax: Axes, figure: Figure, margins: _Margins) -> None:
    """Let axes fill their part of the figure, but for their margins."""
    place = ax.get_subplotspec()
    if place is None:
        return
    whole_width, whole_height = figure.get_size_inches()
    part = whole_width / place.get_gridspec().ncols
    left = part * place.colspan.start + PAD + margins.left
    right = part * place.colspan.stop - PAD - margins.right
    bottom = PAD + margins.bottom
    top = whole_height - PAD - margins.top
    width, height = max(right - left, 0.01), max(top - bottom, 0.01)
    ax.set_position(
        (left / whole_width, bottom / whole_height, width / whole_width, height / whole_height)
    )
