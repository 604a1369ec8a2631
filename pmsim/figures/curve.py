"""A metric along one axis of a sweep, a line for each value of another, with its intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_hex

from pmsim.figures import look, swept
from pmsim.figures.form import POINTS, current
from pmsim.figures.given import drawn_from
from pmsim.figures.measures import Measure, measure_of
from pmsim.figures.swept import Axis, Floats, Swept

_MOST_LINES: Final = 10
_FEW_LINES: Final = 3
"""Lines up to which their bands can be told apart where they overlap."""
_THINNEST: Final = 2.0
"""Points that a band is wide where it can be seen beside its line."""
_MOST_TICKS, _MOST_NARROW = 9, 6
_WIDE: Final = 50
"""The ratio of the largest to the smallest mean from which on the metric's axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Curves:
    """What is drawn: the means of a metric, and their intervals, line by line."""

    measure: Measure
    x: Axis
    by: Axis | None
    table: pd.DataFrame
    note: str

    def line(self, value: Any) -> pd.DataFrame:
        """Return the points of one line, in the order of x."""
        rows = self.table
        if self.by is not None:
            rows = rows[rows.index.get_level_values(self.by.path) == value].droplevel(self.by.path)
        return rows.reindex(list(self.x.labels))

    @property
    def values(self) -> tuple[Any, ...]:
        """The values of the lines, at most ten of them, evenly chosen."""
        if self.by is None:
            return (None,)
        labels = self.by.labels
        few = np.linspace(0, len(labels) - 1, min(len(labels), _MOST_LINES)).round().astype(int)
        return tuple(labels[i] for i in few)


@drawn_from("a sweep")
def curves(
    sweep: Swept,
    metric: str = "lost_share",
    x: str | None = None,
    by: str | None = None,
    ax: Axes | None = None,
    *,
    where: Mapping[str, Any] | None = None,
) -> Axes:
    """Draw a metric along one axis of a sweep, with a band for the interval of each mean.

    Values that are no numbers have a bar each instead of a band: nothing lies between them.

    Parameters
    ----------
    sweep
        A sweep of `pmsim.sweep` or `pmsim.open`.
    metric
        A column of metrics, such as ``lost_share`` or ``operation_mean_ps[load_module]``.
    x
        The axis, by its dotted path; the longest one, of numbers if there is one, where not given.
    by
        The axis whose values have a line each; the one that is left where not given.
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
    found = lines(sweep, metric, x, by, where)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def lines(
    sweep: Swept,
    metric: str,
    x: str | None = None,
    by: str | None = None,
    where: Mapping[str, Any] | None = None,
) -> Curves:
    """Take from a sweep what `draw` draws."""
    fixed = {**(where or {}), **({} if by is None else {by: None})}
    (along,) = swept.choose(sweep, [x], fixed)
    taken = {along.path, *(where or {})}
    left = [path for path in sweep.axes if path not in taken and len(sweep.axes[path]) > 1]
    if by is None and len(left) == 1:
        by = left[0]
    lined = swept.axis_of(sweep, by) if by is not None else None
    axes = [along] if lined is None else [along, lined]
    table = swept.cells(sweep, metric, axes, where)
    return Curves(measure_of(metric), along, lined, table, swept.fixed(where))


def size(_found: Curves) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 7.2, 4.4


def draw(found: Curves, ax: Axes) -> Axes:
    """Draw the lines on axes."""
    if found.table["mean"].isna().all():
        return look.nothing(ax, found.measure.title, "No replication tells it.")
    ends: list[tuple[str, float, str]] = []
    faint = 0.22 if len(found.values) <= _FEW_LINES else 0.1
    for value, colour, stroke in zip(found.values, _colours(found), _strokes(found), strict=True):
        rows = found.line(value).dropna(subset=["mean"])
        if rows.empty:
            continue
        x = _positions(found, rows)
        low, high, mean = (rows[name].to_numpy(dtype=float) for name in ("low", "high", "mean"))
        if found.x.numbers:
            ax.fill_between(x, low, high, color=colour, alpha=faint, linewidth=0)
        else:
            ax.vlines(x, low, high, color=colour, linewidth=1.2)
        ax.plot(
            x, mean, color=colour, marker="o", markersize=0.4 * current().text, label=str(value),
            linestyle=stroke,
        )  # fmt: skip
        if found.by is not None:
            ends.append((found.by.in_words(value), mean[-1], colour))
    _scale(found, ax)
    found.measure.on(ax.yaxis)
    ax.grid(visible=True, axis="y")
    name_lines(ax, ends)
    look.say(ax, message(found), _detail(found, ax))
    return ax


def message(found: Curves) -> str:
    """Return the sentence on top: from where to where the metric goes along the axis."""
    title, say = found.measure.title, found.measure.say
    known = [value for value in found.values if found.line(value)["mean"].notna().any()]
    value = known[-1]
    means = found.line(value)["mean"].dropna()
    along = found.x.in_words(means.index[-1])
    by = "" if found.by is None else f", {found.by.in_words(value)}"
    if len(means) < 2:
        return f"{title}{by}: {say(means.iloc[-1])} at {along}"
    start = found.x.in_words(means.index[0])
    first, last = say(means.iloc[0]), say(means.iloc[-1])
    if first == last:
        both = "and" if last[0] in "<>" else "as"  # values below what is written may differ
        return f"{title}{by}: {last} at {start} {both} at {along}"
    return f"{title}{by}: from {first} at {start} to {last} at {along}"


def _positions(found: Curves, rows: pd.DataFrame) -> Floats:
    place = dict(zip(found.x.labels, found.x.positions, strict=True))
    return np.array([place[one] for one in rows.index])


def _colours(found: Curves) -> list[str]:
    """Return a colour for each line: tones of one where their values have an order."""
    count = len(found.values)
    if found.by is None or not found.by.numbers or count > len(look.PETROFF):
        return [look.PETROFF[i] for i in range(count)]
    tones = look.shades(look.BLUE)(np.linspace(0.3, 0.8, count))
    return [to_hex(tone) for tone in tones]


def _strokes(found: Curves) -> list[Any]:
    """Return a stroke for each line: their colours tell them apart where they are tones of one."""
    if not found.x.numbers:
        return [":"] * len(found.values)
    if found.by is None or found.by.numbers:
        return ["-"] * len(found.values)
    return [look.STROKES[i % len(look.STROKES)] for i in range(len(found.values))]


def _scale(found: Curves, ax: Axes) -> None:
    """Scale both axes, and put ticks at values of the sweep, as many as there is room for."""
    means = found.table["mean"].dropna()
    if means.min() > 0 and means.max() > _WIDE * means.min():
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(means.min() / 1.6, means.max() * 1.6)
    elif means.min() >= 0:
        # Where no interval is known, the means alone say how high.
        top = float(np.nanmax([found.table["high"].max(), means.max()]))
        ax.set_ylim(0, top * 1.05 if top > 0 else 1)
    if found.x.logarithmic:
        ax.set_xscale("log")
    ticks = _spaced(ax, found.x)
    ax.set_xticks(found.x.positions[ticks], [found.x.texts[i] for i in ticks])
    ax.set_xticks([], minor=True)
    ax.set_xlabel(found.x.name)
    look.fit_labels(ax)


def _spaced(ax: Axes, axis: Axis) -> list[int]:
    """Return which values get a tick: words all, numbers that do not stand too near to another."""
    if not axis.numbers:
        return list(range(len(axis.labels)))
    screen = np.log(axis.positions) if ax.get_xscale() == "log" else axis.positions
    least = (screen[-1] - screen[0]) / (_MOST_NARROW if current().narrow else _MOST_TICKS)
    chosen = [len(screen) - 1]
    for place in range(len(screen) - 2, -1, -1):
        if screen[chosen[-1]] - screen[place] >= least:
            chosen.append(place)
    return chosen[::-1]


def draw_lines(ax: Axes, along: Axis, named: Mapping[str, Floats]) -> list[tuple[str, float, str]]:
    """Draw a line for each name, told apart by colour and stroke; what is not known is left out.

    Returns
    -------
    list
        What `name_lines` writes at the end of each.
    """
    x = along.positions
    ends: list[tuple[str, float, str]] = []
    for place, (name, row) in enumerate(named.items()):
        known = ~np.isnan(row)
        if not known.any():
            continue
        colour = look.PETROFF[place % len(look.PETROFF)]
        stroke = look.STROKES[place % len(look.STROKES)]
        ax.plot(x[known], row[known], color=colour, linestyle=stroke, marker="o", markersize=3.4)
        ends.append((name, float(row[known][-1]), colour))
    return ends


def finish_lines(ax: Axes, along: Axis, label: str, ends: list[tuple[str, float, str]]) -> None:
    """Put a tick at each value of the axis, name it and the lines."""
    ax.grid(visible=True, axis="y")
    ax.set_xticks(along.positions, along.texts)
    ax.set_xticks([], minor=True)
    ax.set_xlabel(label)
    look.fit_labels(ax)
    name_lines(ax, ends)


def name_lines(ax: Axes, ends: list[tuple[str, float, str]]) -> None:
    """Write each line's name right of its end, moved apart where they would overlap."""
    if not ends:
        return
    ends = sorted(ends, key=lambda end: end[1])
    to_share = ax.transData + ax.transAxes.inverted()
    right = max(float(np.max(line.get_xdata())) for line in ax.get_lines())
    wanted = [float(to_share.transform((right, value))[1]) for _text, value, _colour in ends]
    # The message, which is still to come, leaves less of the height.
    height = 1.25 * current().line / (ax.bbox.height / ax.figure.dpi * POINTS)
    for (text, value, colour), place in zip(ends, _apart(wanted, height), strict=True):
        ax.annotate(
            text, xy=(right, value), xytext=(1.02, place), textcoords="axes fraction",
            va="center", annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": colour, "linewidth": 1.2, "shrinkA": 1,
                        "shrinkB": 3, "relpos": (0, 0.5)},
        )  # fmt: skip


def _widest(intervals: pd.DataFrame, ax: Axes) -> float:
    """Return the width of the widest interval as it is drawn, in points."""
    ends = [[(0, value) for value in intervals[name]] for name in ("low", "high")]
    low, high = (ax.transData.transform(pairs)[:, 1] for pairs in ends)
    return float(np.nanmax(high - low)) / ax.figure.dpi * 72


def _apart(places: list[float], least: float) -> list[float]:
    """Return ascending places, each at least so far above the one before, near where they were."""
    moved = [max(0.0, places[0])]
    for place in places[1:]:
        moved.append(max(place, moved[-1] + least))
    down = max(0.0, moved[-1] - 1.0)
    if not down:
        return moved
    moved[-1] = 1.0
    for i in range(len(moved) - 2, -1, -1):
        moved[i] = min(moved[i], moved[i + 1] - least)
    return moved


def _detail(found: Curves, ax: Axes) -> str:
    known = found.table.dropna(subset=["low", "high"])
    bands = "Bands" if found.x.numbers else "Bars"
    band = f"{bands}: 95 % intervals of the means."
    if known.empty:
        band = f"No {bands.lower()}: an interval needs five replications."
    elif _widest(known, ax) < _THINNEST:
        band = "The 95 % intervals of the means are narrower than the lines."
    left = 0 if found.by is None else len(found.by.labels) - len(found.values)
    more = f" {left} lines more are not shown." if left else ""
    named = "" if found.by is None else f"Lines: {found.by.name}. "
    return f"{found.note}{named}{band}{more}"
