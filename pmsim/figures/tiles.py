"""A plane of cells, each a tile: what heat maps and phase diagrams have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, QuadMesh
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, NullFormatter

from pmsim.figures import style
from pmsim.figures.measures import Measure
from pmsim.figures.swept import Axis, Floats

_MOST_TICKS: Final = 16
_MOST_COLUMNS: Final = 12
"""Columns up to which each tile has room for its number."""
MARK: Final = "#212121"
"""What is written and drawn on tiles; not the ink, which a page in the dark makes light."""


def size(x: Axis, y: Axis) -> tuple[float, float]:
    """Return the width and height, in inches, that so many tiles need."""
    across = float(np.clip(0.72 * len(x.labels), 3.6, 8.5))
    up = float(np.clip(0.42 * len(y.labels), 1.6, 6.0))
    return across + 2.0, up + 1.5


def tones() -> LinearSegmentedColormap:
    """Return colours from next to none to blue, all of them light enough for dark letters."""
    return LinearSegmentedColormap.from_list("pmsim tiles", ["#f0f6fc", style.BLUE])


def paint(ax: Axes, values: Floats, colours: Colormap, norm: Normalize) -> QuadMesh:
    """Colour the tiles by their values, a row of tiles for each row, the first one at the bottom.

    Parameters
    ----------
    norm
        How values become colours.
    """
    rows, columns = values.shape
    return ax.pcolormesh(
        np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, np.ma.masked_invalid(values),
        cmap=colours, norm=norm, edgecolors=style.PAPER, linewidth=0.8, rasterized=True,
    )  # fmt: skip


def name_axes(ax: Axes, x: Axis, y: Axis) -> None:
    """Write the values of both axes at the middle of their tiles."""
    for axis, drawn in ((x, ax.xaxis), (y, ax.yaxis)):
        step = -(-len(axis.labels) // _MOST_TICKS)
        places = range(0, len(axis.labels), step)
        drawn.set_ticks(list(places), [axis.texts[i] for i in places])
        drawn.set_label_text(axis.name)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def number(
    ax: Axes,
    mesh: QuadMesh,
    values: Floats,
    measure: Measure,
    value_of: Callable[[float], float] = float,
) -> None:
    """Write each value on its tile, or what the colours mean beside them where there is no room.

    Parameters
    ----------
    mesh
        The tiles.
    values
        The values of the metric.
    value_of
        The value of the metric, from what the tiles are coloured by.
    """
    if values.shape[1] > _MOST_COLUMNS:
        bar = ax.figure.colorbar(mesh, ax=ax, pad=0.015, fraction=0.05, aspect=25)
        bar.set_label(measure.label)
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda at, _: measure.say(value_of(at))))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
        bar.outline.set_visible(False)
        return
    colours = np.asarray(mesh.cmap(mesh.norm(np.ma.asarray(mesh.get_array())))).reshape(-1, 4)
    _over(ax, np.ones_like(values, dtype=bool), (0.62, 0.44), 3.5, facecolors=colours)
    for (row, column), value in np.ndenumerate(values):
        ax.text(
            column, row, measure.say(value) if value == value else "–", ha="center", va="center",
            fontsize=7.5, color=MARK, zorder=4,
        )  # fmt: skip


def hatch(ax: Axes, chosen: npt.NDArray[np.bool_], pattern: str) -> None:
    """Hatch some of the tiles."""
    _over(ax, chosen, (1.0, 1.0), 2, facecolors="none", hatch=pattern, edgecolors=style.GREY)


def _over(
    ax: Axes, chosen: npt.NDArray[np.bool_], size: tuple[float, float], zorder: float, **look: Any
) -> None:
    """Draw rectangles in the middle of some tiles, as a bitmap where the rest is drawn by lines."""
    width, height = size
    places = np.argwhere(chosen)
    rectangles = [Rectangle((x - width / 2, y - height / 2), width, height) for y, x in places]
    ax.add_collection(
        PatchCollection(rectangles, linewidth=0, zorder=zorder, rasterized=True, **look)
    )
