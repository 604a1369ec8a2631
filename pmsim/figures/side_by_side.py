"""Protocols side by side: what a shootdown costs whom, and leaves open, by CPUs or the like.

The sentences of a sweep's answer and its figure read the same numbers here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.errors import ResultError
from pmsim.figures import look, swept
from pmsim.figures.curve import draw_lines, finish_lines
from pmsim.figures.given import drawn_from
from pmsim.figures.measures import Measure, measure_of
from pmsim.figures.swept import Axis, Floats, Swept

PROTOCOLS: Final = "kernel.shootdown"
"""The axis whose values are protocols."""
TOGETHER: Final = "together"
"""The axis whose values are several keys: machines and kernels, such as two architectures."""
COSTS: Final[Mapping[str, str]] = {
    "latency_mean_ps": "A shootdown's initiator waits",
    "taken_mean_ps": "A shootdown takes from all others",
    "pool_stale_ps": "What was protected can be written for up to",
}
"""What a shootdown costs, and leaves open: the metric, and how sentences and axes speak of it."""
ACROSS: Final[Mapping[str, str]] = {
    "operation_mean_ps[pmalloc_protect_pool]": "Protecting a pool takes its owner",
    "pool_stale_ps": "What was protected can be written for up to",
}
"""What is compared of variants that make shootdowns of other kinds and numbers."""
_SPOKEN: Final = {**COSTS, **ACROSS}
_SMALL: Final = 10_000
"""Picoseconds below which an axis is linear: some protocols take nothing at all."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """Where one protocol becomes cheaper than another.

    Attributes
    ----------
    cheaper, dearer
        Which is the cheaper one beyond it.
    at
        The value of the axis, interpolated.
    """

    cheaper: str
    dearer: str
    at: float


@dataclass(frozen=True, slots=True)
class SideBySide:
    """One cost of each protocol, along an axis of numbers.

    Attributes
    ----------
    measure
        The metric.
    along
        The axis, such as CPUs.
    values
        Means by protocol, in the order of the sweep; one for each value of the axis.
    """

    measure: Measure
    along: Axis
    values: Mapping[str, Floats]

    def ranking(self, place: int) -> list[tuple[str, float]]:
        """Return protocols and what they cost at one value of the axis, the cheapest first."""
        known = [(name, float(row[place])) for name, row in self.values.items()]
        return sorted((one for one in known if not np.isnan(one[1])), key=lambda one: one[1])

    @property
    def spoken(self) -> str:
        """How a sentence about it begins."""
        return _SPOKEN.get(self.measure.column, self.measure.title)

    @property
    def crossings(self) -> list[Crossing]:
        """Where one becomes cheaper than another that was cheaper, in the order of the axis."""
        found = [
            one for a, b in combinations(self.values, 2) for one in self._between(a, b)
        ]  # fmt: skip
        return sorted(found, key=lambda one: one.at)

    def _between(self, a: str, b: str) -> Iterator[Crossing]:
        """Yield where two protocols meet; between two values costs grow by as much for each CPU."""
        gaps, x = self.values[a] - self.values[b], self.along.positions
        known = [place for place, gap in enumerate(gaps.tolist()) if gap and not np.isnan(gap)]
        for low, high in pairwise(known):
            if np.sign(gaps[low]) != np.sign(gaps[high]):
                names = (a, b) if gaps[high] < 0 else (b, a)
                part = gaps[low] / (gaps[low] - gaps[high])
                yield Crossing(*names, float(x[low] + part * (x[high] - x[low])))


@drawn_from("a sweep")
def protocols(sweep: Swept, metric: str = "latency_mean_ps", ax: Axes | None = None) -> Axes:
    """Draw what a shootdown costs by each protocol, along the number that the sweep varies too.

    Parameters
    ----------
    sweep
        A sweep of `pmsim.sweep` or `pmsim.open` over ``kernel.shootdown``, or ``together``, and one
        axis of numbers.
    metric
        A column of metrics: ``latency_mean_ps``, what the initiator waits; ``taken_mean_ps``, what
        a shootdown takes from all others; or another one.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.

    Raises
    ------
    ResultError
        If the sweep has no such metric, or varies something else.
    """
    swept.check_metric(sweep, metric)
    found = side_by_side(sweep, metric) or side_by_side(sweep, metric, TOGETHER)
    if found is None:
        raise ResultError(f"this figure needs a sweep over {PROTOCOLS} and one axis of numbers")
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def varies(sweep: Swept, path: str = PROTOCOLS) -> bool:
    """Return whether a sweep varies an axis, and at most one other thing, a number."""
    varied = swept.varied(sweep)
    if path not in varied or not swept.is_grid(sweep):
        return False
    others = [one for one in varied if one != path]
    return not others or (len(others) == 1 and bool(swept.axis_of(sweep, others[0]).numbers))


def along(sweep: Swept, path: str = PROTOCOLS) -> Axis | None:
    """Return the axis of numbers that a sweep varies besides one, if it does."""
    others = (one for one in swept.varied(sweep) if one != path)
    return next((swept.axis_of(sweep, one) for one in others), None)


def side_by_side(sweep: Swept, metric: str, of: str = PROTOCOLS) -> SideBySide | None:
    """Return a cost of each protocol along the axis of numbers; None where there is no such.

    Parameters
    ----------
    sweep, metric
        As of `protocols`.
    of
        The axis whose values are put side by side: `PROTOCOLS`, or `TOGETHER`.
    """
    if not varies(sweep, of) or metric not in swept.metrics_of(sweep):
        return None
    axis = along(sweep, of)
    if axis is None:
        return None
    compared = swept.axis_of(sweep, of)
    table = swept.cells(sweep, metric, [axis, compared])
    heights = swept.grid(table, "mean", axis, compared)
    names = map(str, compared.labels)
    return SideBySide(measure_of(metric), axis, dict(zip(names, heights, strict=True)))


def size(_found: SideBySide | None) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 5.8, 4.2


def says(found: SideBySide | None) -> bool:
    """Return whether there are two protocols or more to be told apart."""
    return found is not None and len(found.values) > 1 and len(found.along.labels) > 1


def draw(found: SideBySide, ax: Axes) -> Axes:
    """Draw a line for each protocol."""
    named = {_short(name): row for name, row in found.values.items()}
    ends = draw_lines(ax, found.along, named)
    _scale(found, ax)
    ax.set_ylabel(_SPOKEN.get(found.measure.column, found.measure.label))
    finish_lines(ax, found.along, found.along.name, ends)
    look.say(ax, message(found), "")
    return ax


def _short(name: str) -> str:
    """Write a protocol without the names of its options: ``tlbi, per_sync``."""
    protocol, *options = name.split(",")
    return ", ".join([protocol, *(one.strip().partition("=")[2] or one.strip() for one in options)])


def _scale(found: SideBySide, ax: Axes) -> None:
    """Scale both axes by ratios; that of costs is linear near nothing, where some take nothing."""
    heights = np.concatenate([row[~np.isnan(row)] for row in found.values.values()])
    top, low = float(heights.max()), float(heights.min())
    if found.along.logarithmic:
        ax.set_xscale("log")
    if low > 0:
        ax.set_yscale("log")
        ax.set_ylim(low / 2, 2 * top)
        found.measure.on(ax.yaxis)
        return
    found.measure.on(ax.yaxis)
    if top > _SMALL:
        ax.set_yscale("symlog", linthresh=_SMALL, linscale=0.3)
        ax.set_ylim(-0.1 * _SMALL, 2 * top)
        found.measure.on(ax.yaxis)
        ax.set_yticks([0.0, *(10.0**n for n in range(4, int(np.log10(top)) + 1))])
        ax.set_yticks([], minor=True)


def message(found: SideBySide) -> str:
    """Return the sentence on top: what the cheapest and the dearest cost at the far end."""
    last = len(found.along.labels) - 1
    ranking, say = found.ranking(last), found.measure.say
    where = found.along.in_words(found.along.labels[last])
    ends = [f"{say(value)} ({_short(name)})" for name, value in (ranking[0], ranking[-1])]
    return f"{found.spoken}: {formatting.from_to(*ends)} at {where}"
