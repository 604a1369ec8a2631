"""A plane of cells, each a tile: what heat maps and phase diagrams have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection, QuadMesh
from matplotlib.colors import Colormap, LinearSegmentedColormap, Normalize
from matplotlib.patches import Rectangle

from pmsim.figures import look
from pmsim.figures.form import current
from pmsim.figures.measures import Measure
from pmsim.figures.swept import Axis, Floats

_MOST_TICKS: Final = 24
_MOST_COLUMNS, _MOST_NARROW = 12, (7, 9)
"""Columns up to which each tile has room for its number; columns and rows in a narrow figure."""
_WIDTH, _HEIGHT = 0.52, 0.44
"""The room of a number, in parts of its tile."""
_PLACES: Final = np.array([(x, y) for x in (0, -0.24, 0.24) for y in (0, 0.27, -0.27)])
"""Where on its tile a number can stand, from the middle."""
MARK: Final = "#212121"
"""What is written and drawn on tiles; not the ink, which a page in the dark makes light."""


def size(x: Axis, y: Axis) -> tuple[float, float]:
    """Return the width and height, in inches, that so many tiles need."""
    across = float(np.clip(0.72 * len(x.labels), 3.6, 8.5))
    up = float(np.clip(0.42 * len(y.labels), 1.6, 6.0))
    return across + 2.0, up + 1.5


def tones() -> LinearSegmentedColormap:
    """Return colours from next to none to blue, all of them light enough for dark letters."""
    return LinearSegmentedColormap.from_list("pmsim tiles", ["#f0f6fc", look.BLUE])


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
        cmap=colours, norm=norm, edgecolors=look.PAPER, linewidth=0.8, rasterized=True,
    )  # fmt: skip


def name_axes(ax: Axes, x: Axis, y: Axis) -> None:
    """Write the values of both axes at the middle of their tiles."""
    for axis, drawn in ((x, ax.xaxis), (y, ax.yaxis)):
        step = -(-len(axis.labels) // _most_ticks(axis, drawn is ax.xaxis))
        places = range(0, len(axis.labels), step)
        drawn.set_ticks(list(places), [axis.texts[i] for i in places])
        drawn.set_label_text(axis.name)
    ax.tick_params(length=0)
    look.fit_labels(ax)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _most_ticks(axis: Axis, across: bool) -> int:
    """Return how many values of an axis have room at its tiles."""
    if not current().narrow:
        return _MOST_TICKS
    return max(2, 30 // max(map(len, axis.texts))) if across and axis.numbers else 10


def _room(values: Floats) -> bool:
    """Return whether each tile has room for its number."""
    rows, columns = values.shape
    most_columns, most_rows = _MOST_NARROW if current().narrow else (_MOST_COLUMNS, rows)
    return bool(columns <= most_columns and rows <= most_rows)


def number(
    ax: Axes,
    mesh: QuadMesh,
    values: Floats,
    measure: Measure,
    value_of: Callable[[float], float] = float,
    line: Floats | None = None,
    hatched: npt.NDArray[np.bool_] | None = None,
) -> None:
    """Write each value on its tile, or what the colours mean beside them where there is no room.

    A number gives way to a line: it is written where on its tile the line is not.

    Parameters
    ----------
    mesh
        The tiles.
    values
        The values of the metric.
    value_of
        The value of the metric, from what the tiles are coloured by.
    line
        Points of a line across the tiles, near each other, shape ``(n, 2)``.
    hatched
        The tiles that are `hatch`-ed: there the letters stand on the tile's plain colour.
    """
    if not _room(values):
        look.colour_bar(ax, mesh, measure.label, lambda at: measure.say(value_of(at)))
        return
    colours = np.asarray(mesh.cmap(mesh.norm(np.ma.asarray(mesh.get_array())))).reshape(-1, 4)
    places = _tiles(np.ones_like(values, dtype=bool))
    if line is not None:
        places = np.array([_beside(line, place) for place in places])
    on_hatching = np.zeros(values.size, dtype=bool) if hatched is None else hatched.ravel()
    for k, ((x, y), value) in enumerate(zip(places, values.flat, strict=True)):
        text = measure.say(value).replace("< ", "<").replace("> ", ">") if value == value else "–"
        plain = {"boxstyle": "square,pad=0.25", "facecolor": colours[k], "linewidth": 0}
        ax.text(
            x, y, text, ha="center", va="center", fontsize=current().small, color=MARK, zorder=4,
            bbox=plain if on_hatching[k] else None,
        )  # fmt: skip


def hatch(ax: Axes, chosen: npt.NDArray[np.bool_], pattern: str) -> None:
    """Hatch some of the tiles, as a bitmap where the rest is drawn by lines."""
    tiles = [Rectangle((x - 0.5, y - 0.5), 1.0, 1.0) for x, y in _tiles(chosen)]
    ax.add_collection(
        PatchCollection(
            tiles, linewidth=0, zorder=2, rasterized=True, facecolors="none", hatch=pattern,
            edgecolors=look.GREY,
        )
    )  # fmt: skip


def _tiles(chosen: npt.NDArray[np.bool_]) -> Floats:
    """Return the middles of some tiles, x and y, row by row."""
    return np.argwhere(chosen)[:, ::-1].astype(float)


def _beside(line: Floats, middle: Floats) -> Floats:
    """Return the place on a tile, as near to its middle as can be, where a line hides it least."""
    places = middle + _PLACES
    inside = np.abs(line[None] - places[:, None]) < np.array([_WIDTH, _HEIGHT]) * 0.45
    return np.asarray(places[inside.all(axis=2).sum(axis=1).argmin()])
