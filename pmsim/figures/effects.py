"""What each axis of a sweep does to one metric, between its low and its high end."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.confidence import LEVEL, Estimate, mean_interval
from pmsim.errors import ResultError
from pmsim.figures import look, rows, swept
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.measures import Measure, measure_of
from pmsim.figures.swept import Swept
from pmsim.units import DECIMAL

_MOST_ROWS: Final = 15
_LONG_NAME: Final = 22
_LOW: Final = Mark("low end of the axis", look.BLUE)
_HIGH: Final = Mark("high end", look.VERMILION, "////")
_NUMBER: Final = re.compile(DECIMAL)


@dataclass(frozen=True, slots=True)
class End:
    """One end of an axis.

    Attributes
    ----------
    text
        The values of the axis there.
    estimate
        The mean of the metric over all cells there, with its interval over replications.
    """

    text: str
    estimate: Estimate

    @property
    def mean(self) -> float:
        """The mean, NaN where it is unknown."""
        return float("nan") if self.estimate.mean is None else self.estimate.mean


@dataclass(frozen=True, slots=True)
class Effect:
    """What one axis does.

    Attributes
    ----------
    name
        What the axis is called.
    low, high
        Its ends.
    gap
        The mean difference of the two, replication by replication, with its interval.
    """

    name: str
    low: End
    high: End
    gap: Estimate

    @property
    def change(self) -> float:
        """The mean at the high end less that at the low end."""
        return self.high.mean - self.low.mean


@dataclass(frozen=True, slots=True)
class Effects:
    """What is drawn: the effects, largest first, and the mean of all cells."""

    measure: Measure
    rows: tuple[Effect, ...]
    middle: float
    sampled: bool


@drawn_from("a sweep")
def tornado(sweep: Swept, metric: str = "lost_share", ax: Axes | None = None) -> Axes:
    """Draw what each axis of a sweep does to a metric, the axis that matters most on top.

    A bar goes from the mean of all cells at an axis's low end to that at its high end, whatever the
    values of the other axes there. Of chosen points, an end is the third of the cells with the
    lowest or highest values. Values that are no numbers go from the one with the lowest mean to the
    one with the highest.

    Parameters
    ----------
    sweep
        A sweep of `pmsim.sweep` or `pmsim.open`.
    metric
        A column of metrics.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.

    Raises
    ------
    ResultError
        If the sweep has no such metric, or varies nothing.
    """
    found = effects(sweep, metric)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def effects(sweep: Swept, metric: str) -> Effects:
    """Take from a sweep what `draw` draws."""
    swept.check_metric(sweep, metric)
    frame = _even(sweep.frame.dropna(subset=[metric]))
    paths = swept.varied(sweep)
    if not paths:
        raise ResultError("the sweep varies nothing: there is no effect to show")
    sampled = not swept.is_grid(sweep)
    found = [_effect(sweep, frame, metric, path, sampled) for path in paths]
    found.sort(key=lambda one: -abs(np.nan_to_num(one.change)))
    return Effects(measure_of(metric), tuple(found), float(frame[metric].mean()), sampled)


def size(found: Effects) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 8.4, 1.9 + 0.46 * max(min(len(found.rows), _MOST_ROWS), 2)


def draw(found: Effects, ax: Axes) -> Axes:
    """Draw the bars on axes."""
    shown = found.rows[: current().rows(_MOST_ROWS, lines=1)]
    ends = np.array([(row.low.mean, row.high.mean) for row in shown])
    if np.isnan(ends).all():
        return look.nothing(ax, found.measure.title, "No replication tells it.")
    for place, row in zip(rows.middles(len(shown)), shown, strict=True):
        for end, mark in ((row.low, _LOW), (row.high, _HIGH)):
            width = end.mean - found.middle
            ax.barh(place, width, left=found.middle, height=0.8 * rows.height(), **mark.area)
            _whisker(ax, place, end.estimate)
        _name_ends(ax, place, row)
    rows.line(ax, found.middle, len(shown))
    names = [row.name for row in shown]
    rows.name(ax, names if current().narrow else [_broken(name) for name in names])
    _make_room(ax, shown, found.middle)
    found.measure.on(ax.xaxis)
    _only_possible_ticks(ax, ends)
    look.say(ax, message(found), _detail(found, len(shown)), look.key(ax, (_LOW, _HIGH)))
    return ax


def message(found: Effects) -> str:
    """Return the sentence on top: which axis matters most, and how much."""
    row, say = found.rows[0], found.measure.say
    if not row.change:
        return f"{found.measure.title}: nothing that was varied matters"
    most = f"{row.name} matters most" if len(found.rows) > 1 else row.name
    low, high = f"{say(row.low.mean)} at {row.low.text}", f"{say(row.high.mean)} at {row.high.text}"
    return f"{found.measure.title}: {most}, {low} and {high}"


def _even(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the replications that every cell has: each of them weighs all cells the same."""
    counts = frame.groupby("replication")["cell"].nunique()
    whole = counts.index[counts == frame["cell"].nunique()]
    return frame[frame["replication"].isin(whole)]


def _effect(sweep: Swept, frame: pd.DataFrame, metric: str, path: str, sampled: bool) -> Effect:
    """Return what one axis does, all cells at an end of it taken together."""
    axis = swept.axis_of(sweep, path)
    labels, texts = list(axis.labels), axis.texts
    if not axis.numbers:
        means = frame.groupby(path)[metric].mean()
        labels = means.sort_values(kind="stable").index.tolist()
        texts = [swept.text_of(label) for label in labels]
    count = max(1, len(labels) // 3) if sampled and axis.numbers else 1
    parts = (slice(count), slice(-count, None))
    low, high = (_by_replication(frame, metric, path, labels[part]) for part in parts)
    first, last = (_values(texts[part], sampled) for part in parts)
    return Effect(
        axis.name,
        End(first, mean_interval(low.to_numpy())),
        End(last, mean_interval(high.to_numpy())),
        mean_interval((high - low).to_numpy()),
    )


def _values(texts: list[str], sampled: bool) -> str:
    """Write the first and the last of some values; chosen points, which have many digits, short."""
    written = [_rounded(text) for text in texts] if sampled else texts
    return written[0] if len(texts) == 1 else f"{written[0]} to {written[-1]}"


def _rounded(text: str) -> str:
    """Write a number before its unit to three digits; whole ones stay as they are."""
    found = _NUMBER.match(text)
    if found is None or "." not in found[0]:
        return text
    number, unit = float(found[0]), text[found.end() :]
    return f"{formatting.number(number)}{unit}"


def _broken(name: str) -> str:
    """Break a long name into two lines, at the gap next to its middle."""
    gaps = [place for place, letter in enumerate(name) if letter == " "]
    if len(name) <= _LONG_NAME or not gaps:
        return name
    middle = min(gaps, key=lambda place: abs(2 * place - len(name)))
    return f"{name[:middle]}\n{name[middle + 1 :]}"


def _only_possible_ticks(ax: Axes, means: npt.NDArray[np.float64]) -> None:
    """Leave out ticks below zero, where room is made for words, of what is never negative."""
    low, high = ax.get_xlim()
    if np.nanmin(means) >= 0 > low:
        ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= high])
        ax.spines["bottom"].set_bounds(0, high)


def _by_replication(
    frame: pd.DataFrame, metric: str, path: str, values: list[Any]
) -> pd.Series[float]:
    """Return the mean of a metric over the cells with these values, for each replication."""
    means: pd.Series[float] = frame[frame[path].isin(values)].groupby("replication")[metric].mean()
    return means


def _whisker(ax: Axes, place: float, estimate: Estimate) -> None:
    """Draw the interval of a mean, where there is one."""
    if estimate.low is not None and estimate.high is not None:
        ax.plot(
            [estimate.low, estimate.high], [place, place], color=look.INK, linewidth=1.1,
            marker="|", markersize=5,
        )  # fmt: skip


def _name_ends(ax: Axes, place: float, row: Effect) -> None:
    """Write the values of the axis beside the two ends of its bar."""
    left, right = sorted((row.low, row.high), key=lambda end: end.mean)
    for end, side in ((left, -1), (right, 1)):
        known = [end.mean, end.estimate.low, end.estimate.high]
        outer = [side * value for value in known if value is not None]
        ax.annotate(
            end.text, xy=(side * max(outer), place), xytext=(5 * side, 0),
            textcoords="offset points", ha="left" if side > 0 else "right", va="center",
        )  # fmt: skip


def _make_room(ax: Axes, shown: tuple[Effect, ...], middle: float) -> None:
    """Leave space for the values on both sides of the bars."""
    known = [
        value
        for row in shown
        for end in (row.low, row.high)
        for value in (end.mean, end.estimate.low, end.estimate.high)
        if value is not None and value == value
    ]
    left, right = min(known), max(known)
    span = (right - left) or abs(middle) or 1.0
    longest = max((end.text for row in shown for end in (row.low, row.high)), key=len)
    room = rows.beside(ax, span, longest)
    ax.set_xlim(left - room, right + room)


def _detail(found: Effects, shown: int) -> str:
    ends = "the lowest and the highest third of each" if found.sampled else "both ends of each"
    known = any(row.low.estimate.low is not None for row in found.rows)
    whisker = f"whiskers: {formatting.share(LEVEL)} intervals"
    sure = whisker if known else "no intervals: they need five replications"
    left = len(found.rows) - shown
    more = f" {left} axes more are not shown." if left > 0 else ""
    return f"Means of all cells at {ends} axis; line: of all cells; {sure}.{more}"
