"""Where in a plane of a sweep a metric passes a threshold, and where that is not certain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize

from pmsim.figures import look, swept, tiles
from pmsim.figures.given import drawn_from
from pmsim.figures.measures import Measure, measure_of
from pmsim.figures.swept import Axis, Floats, Swept

THRESHOLD: Final = 0.01
"""The share of all CPU time from which on a cost is noticed in practice."""

_DECADES: Final = 2
"""Powers of ten on either side of the threshold that the colours tell apart."""
_COLOURS: Final = LinearSegmentedColormap.from_list(
    "pmsim phases",
    [(0.0, "#eef5fc"), (0.5, "#9ccaf2"), (0.5, "#ffb27a"), (1.0, look.VERMILION)],
)
"""From light to dark all the way, with a step at the threshold: so it is in print, too."""


@dataclass(frozen=True, slots=True)
class Phases:
    """What is drawn: means and intervals in a plane, a row for each value of y."""

    measure: Measure
    x: Axis
    y: Axis
    threshold: float
    mean: Floats
    low: Floats
    high: Floats
    note: str

    @property
    def above(self) -> npt.NDArray[np.bool_]:
        """The cells whose mean is beyond the threshold."""
        return self.mean > self.threshold

    @property
    def undecided(self) -> npt.NDArray[np.bool_]:
        """The cells whose interval holds the threshold."""
        return (self.low <= self.threshold) & (self.threshold < self.high)

    @property
    def by_ratio(self) -> bool:
        """Whether distances from the threshold are ratios: no mean is zero or below."""
        return self.threshold > 0 and bool((self.mean[~np.isnan(self.mean)] > 0).all())

    @property
    def heights(self) -> Floats:
        """How far each mean is above the threshold: in powers of ten where all are positive."""
        if self.by_ratio:
            return np.log10(self.mean / self.threshold)
        return self.mean - self.threshold

    def value(self, height: float) -> float:
        """Return the value of the metric that is so far above the threshold."""
        return self.threshold * 10**height if self.by_ratio else self.threshold + height


@drawn_from("a sweep")
def phase_diagram(
    sweep: Swept,
    metric: str = "lost_share",
    x: str | None = None,
    y: str | None = None,
    threshold: float | str = THRESHOLD,
    ax: Axes | None = None,
    *,
    where: Mapping[str, Any] | None = None,
) -> Axes:
    """Draw two axes of a sweep as a plane, with the line where a metric passes a threshold.

    The line goes between the centres of cells, by ratios where all means are positive. Cells whose
    interval holds the threshold are hatched: the line may pass on either side of them.

    Parameters
    ----------
    sweep
        A sweep of `pmsim.sweep` or `pmsim.open`.
    metric
        A column of metrics.
    x, y
        The axes, by their dotted paths; the longest ones, numbers first, where not given.
    threshold
        A number in the unit of the metric, for a share a part of 1; or text with its unit, such as
        ``"1%"`` or ``"20us"``.
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
    UnitError
        If the threshold is text that is no value of the metric.
    """
    found = phases(sweep, metric, x, y, threshold, where)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def phases(
    sweep: Swept,
    metric: str,
    x: str | None = None,
    y: str | None = None,
    threshold: float | str = THRESHOLD,
    where: Mapping[str, Any] | None = None,
) -> Phases:
    """Take from a sweep what `draw` draws."""
    across, up = swept.choose(sweep, [x, y], where)
    table = swept.cells(sweep, metric, [across, up], where)
    mean, low, high = (swept.grid(table, name, across, up) for name in ("mean", "low", "high"))
    measure = measure_of(metric)
    limit = measure.read(threshold) if isinstance(threshold, str) else threshold
    return Phases(measure, across, up, limit, mean, low, high, swept.fixed(where))


def size(found: Phases) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return tiles.size(found.x, found.y)


def draw(found: Phases, ax: Axes) -> Axes:
    """Draw the plane on axes."""
    if np.isnan(found.mean).all():
        return look.nothing(ax, found.measure.title, "No replication tells it.")
    height = found.heights
    reach = np.nanmax(np.abs(height)) or 1.0
    reach = min(reach, _DECADES) if found.by_ratio else reach
    mesh = tiles.paint(ax, height, _COLOURS, Normalize(-reach, reach))
    tiles.name_axes(ax, found.x, found.y)
    line = _contour(height, ax)
    tiles.number(ax, mesh, found.mean, found.measure, found.value, line, found.undecided)
    tiles.hatch(ax, found.undecided, "////")
    look.say(ax, message(found), _detail(found))
    return ax


def message(found: Phases) -> str:
    """Return the sentence on top: where the metric passes the threshold."""
    limit = found.measure.tick(found.threshold)
    known = ~np.isnan(found.mean)
    count, total = int(found.above.sum()), int(known.sum())
    if count in (0, total):
        where = "nowhere" if count == 0 else "everywhere"
        return f"{found.measure.title}: above {limit} {where}"
    corner = _from_where_on(found)
    where = f"in {count} of {total} cells" if corner is None else corner
    return f"{found.measure.title}: above {limit} {where}"


def _from_where_on(found: Phases) -> str | None:
    """Return from which value of x on the threshold is passed, at the last y where it is."""
    for row in reversed(range(len(found.y.labels))):
        above = found.above[row]
        if not above.any():
            continue
        first = int(above.argmax())
        if not above[first:].all() or not found.x.numbers:
            return None
        on = f"from {found.x.in_words(found.x.labels[first])} on" if first else "throughout"
        return f"{on}, at {found.y.in_words(found.y.labels[row])}"
    return None


def _contour(height: Floats, ax: Axes) -> Floats | None:
    """Draw the line between the cells, out to the edges of the plane, and return points of it."""
    rows, columns = height.shape
    inner = height[~np.isnan(height)]
    if min(rows, columns) < 2 or not inner.min() < 0 < inner.max():
        return None
    x, y = (np.array([-0.5, *range(n), n - 0.5]) for n in (columns, rows))
    drawn = ax.contour(
        x, y, np.pad(height, 1, mode="edge"), levels=[0.0], colors=tiles.MARK, linewidths=2,
        zorder=3.8,
    )  # fmt: skip
    steps = np.linspace(0, 1, 16)[:, None, None]
    dense = [(one[:-1] + steps * np.diff(one, axis=0)).reshape(-1, 2) for one in drawn.allsegs[0]]
    return np.concatenate(dense)


def _detail(found: Phases) -> str:
    limit = found.measure.tick(found.threshold)
    line = "Line" if 0 < found.above.sum() < (~np.isnan(found.mean)).sum() else "Threshold"
    parts = [f"{found.note}{line}: {limit}."]
    if found.undecided.any():
        parts.append(f"Hatched: the 95 % interval holds {limit}.")
    unknown = np.isnan(found.low) & ~np.isnan(found.mean)
    if unknown.any():
        whose = "No cell has" if unknown.sum() == (~np.isnan(found.mean)).sum() else "Some have no"
        parts.append(f"{whose} an interval: that needs five replications.")
    return " ".join(parts)
