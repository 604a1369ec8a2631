"""A metric over two axes of a sweep, a tile for each cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from pmsim.figures import look, swept, tiles
from pmsim.figures.given import drawn_from
from pmsim.figures.measures import Measure, measure_of
from pmsim.figures.swept import Axis, Floats, Swept

_WIDE: Final = 20
"""The ratio of the largest to the smallest mean from which on colours go by ratios."""


@dataclass(frozen=True, slots=True)
class Heat:
    """What is drawn: means in a plane, a row for each value of y."""

    measure: Measure
    x: Axis
    y: Axis
    mean: Floats
    low: Floats
    note: str

    @property
    def unknown(self) -> npt.NDArray[np.bool_]:
        """The cells that have a mean but no interval."""
        return np.isnan(self.low) & ~np.isnan(self.mean)


@drawn_from("a sweep")
def heat_map(
    sweep: Swept,
    metric: str = "lost_share",
    x: str | None = None,
    y: str | None = None,
    ax: Axes | None = None,
    *,
    where: Mapping[str, Any] | None = None,
) -> Axes:
    """Draw a metric over two axes of a sweep; dotted tiles are means of unknown precision.

    Parameters
    ----------
    sweep
        A sweep of `pmsim.sweep` or `pmsim.open`.
    metric
        A column of metrics.
    x, y
        The axes, by their dotted paths; the longest ones, numbers first, where not given.
    ax
        Axes to draw on; a figure of its own where not given.
    where
        The values of further axes, by dotted path.

    Returns
    -------
    Axes
        The axes drawn on.

    Raises
    ------
    ResultError
        If the sweep has no such metric or axis, or varies more than is drawn.
    """
    found = heat(sweep, metric, x, y, where)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def heat(
    sweep: Swept,
    metric: str,
    x: str | None = None,
    y: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> Heat:
    """Take from a sweep what `draw` draws."""
    across, up = swept.choose(sweep, [x, y], where)
    table = swept.cells(sweep, metric, [across, up], where)
    mean, low = (swept.grid(table, name, across, up) for name in ("mean", "low"))
    return Heat(measure_of(metric), across, up, mean, low, swept.fixed(where))


def says(found: Heat) -> bool:
    """Return whether the tiles differ."""
    known = found.mean[~np.isnan(found.mean)]
    return len({found.measure.say(value) for value in known}) > 1


def size(found: Heat) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return tiles.size(found.x, found.y)


def draw(found: Heat, ax: Axes) -> Axes:
    """Draw the tiles on axes."""
    if np.isnan(found.mean).all():
        return look.nothing(ax, found.measure.title, "No replication tells it.")
    mesh = tiles.paint(ax, found.mean, tiles.tones(), _norm(found.mean))
    tiles.name_axes(ax, found.x, found.y)
    hatched = found.unknown & (not _all_unknown(found))
    tiles.number(ax, mesh, found.mean, found.measure, hatched=hatched)
    if hatched.any():
        tiles.hatch(ax, hatched, "..")
    look.say(ax, message(found), _detail(found))
    return ax


def message(found: Heat) -> str:
    """Return the sentence on top: the smallest and the largest mean, and where they are."""
    title, say = found.measure.title, found.measure.say
    low, high = np.nanargmin(found.mean), np.nanargmax(found.mean)
    least, most = say(found.mean.flat[low]), say(found.mean.flat[high])
    if least == most:
        return f"{title}: {least} everywhere"
    return f"{title}: {least} at {_place(found, low)}, {most} at {_place(found, high)}"


def _place(found: Heat, number: np.intp) -> str:
    row, column = divmod(int(number), len(found.x.labels))
    return f"{found.x.in_words(found.x.labels[column])} and {found.y.in_words(found.y.labels[row])}"


def _norm(mean: Floats) -> Normalize:
    """Return how means become colours: by ratios where they differ widely and allow it."""
    least, most = float(np.nanmin(mean)), float(np.nanmax(mean))
    if least > 0 and most > _WIDE * least:
        return LogNorm(least / 2, most)
    return Normalize(min(0.0, least), most if most > 0 else 1.0)


def _all_unknown(found: Heat) -> bool:
    return bool((found.unknown == ~np.isnan(found.mean)).all())


def _detail(found: Heat) -> str:
    if not found.unknown.any():
        return f"{found.note}Means of the replications of each cell."
    which = "No cell has" if _all_unknown(found) else "Dotted: without"
    return f"{found.note}Means. {which} an interval: that needs five replications."
