"""What a guest gets done, and what a shootdown takes, by how many virtual CPUs share one.

The sentences of a sweep's answer and its figure read the same numbers here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.errors import ResultError
from pmsim.figures import look, swept
from pmsim.figures.curve import draw_lines, finish_lines
from pmsim.figures.given import drawn_from
from pmsim.figures.measures import Measure, measure_of
from pmsim.figures.swept import Axis, Floats, Swept

OVERCOMMIT: Final = "machine.host.overcommit"
"""The axis along which everything is drawn."""
PV_FLUSH: Final = "machine.host.pv_flush"
RATE, LATENCY = "broadcasts_per_s", "latency_mean_ps"
HELD_UP: Final = "held_up_ps"
"""How long frozen CPUs held locks that others waited for; none where no CPU is frozen."""
_EXIT: Final = "machine.host.exit"
_MOST_LINES: Final = 6
_ALIKE: Final = 0.1
"""An axis whose values differ by less than this part anywhere has no lines of its own."""


@dataclass(frozen=True, slots=True)
class Guests:
    """A metric along `OVERCOMMIT`, a line for each combination of all else that is varied.

    Attributes
    ----------
    measure
        The metric.
    along
        The axis.
    others
        What else is varied, and makes a difference.
    values
        Means by their values, in the order of the sweep; one for each value of the axis.
    same
        What is varied and makes next to none: means over its values are told.
    """

    measure: Measure
    along: Axis
    others: tuple[Axis, ...]
    values: Mapping[tuple[Any, ...], Floats]
    same: tuple[Axis, ...]

    @property
    def done(self) -> dict[tuple[Any, ...], Floats]:
        """What is got done in a second of running time, as parts of that with a CPU for each.

        Of the metric `RATE`: what a guest does in a second, shootdowns, times how many virtual CPUs
        share one, by the same without sharing. 1 is all of its share.
        """
        return {line: row * self.along.positions / row[0] for line, row in self.values.items()}

    def name(self, line: tuple[Any, ...]) -> str:
        """Return what a line is called; nothing where it is the only one."""
        pairs = zip(self.others, line, strict=True)
        return ", ".join(_named(axis, value) for axis, value in pairs)

    @property
    def gains(self) -> Floats | None:
        """How many times as much paravirtual flushes get done, along the axis; the mean of lines.

        `None` where they are not varied.
        """
        at = next((i for i, axis in enumerate(self.others) if axis.path == PV_FLUSH), None)
        if at is None:
            return None
        ordinary = {_without(line, at): row for line, row in self.values.items() if not line[at]}
        ratios = [
            row / ordinary[_without(line, at)] for line, row in self.values.items() if line[at]
        ]
        gains: Floats = np.mean(ratios, axis=0)
        return gains


@drawn_from("a sweep")
def guests(sweep: Swept, metric: str = RATE, ax: Axes | None = None) -> Axes:
    """Draw what a guest gets done of its share of a host, or what a shootdown takes there.

    Parameters
    ----------
    sweep
        A sweep of `pmsim.sweep` or `pmsim.open` over ``machine.host.overcommit`` from 1 on.
    metric
        ``broadcasts_per_s``: what it gets done, in parts of what it would alone in as much running
        time; ``latency_mean_ps``: what a shootdown takes; ``held_up_ps``: how long CPUs were frozen
        while their tasks held locks that others waited for.
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
    found = of_guests(sweep, metric)
    if found is None:
        raise ResultError(f"this figure needs a sweep over {OVERCOMMIT}, from 1 on")
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def of_guests(sweep: Swept, metric: str) -> Guests | None:
    """Take from a sweep what `draw` draws; None where it does not vary how many share a CPU."""
    varied = swept.varied(sweep)
    if OVERCOMMIT not in varied or not swept.is_grid(sweep):
        return None
    along = swept.axis_of(sweep, OVERCOMMIT)
    others = tuple(swept.axis_of(sweep, path) for path in varied if path != OVERCOMMIT)
    count = math.prod(len(axis.labels) for axis in others)
    if along.numbers[0] != 1 or count > _MOST_LINES or metric not in swept.metrics_of(sweep):
        return None
    table = swept.cells(sweep, metric, [*others, along])["mean"]
    shape = [len(axis.labels) for axis in (*others, along)]
    keys = [key if others else key[0] for key in product(*(a.labels for a in (*others, along)))]
    heights = table.reindex(keys).to_numpy(dtype=float).reshape(shape)
    if metric == HELD_UP:
        heights = np.nan_to_num(heights)
    if np.isnan(heights).any() or not (heights.any() if metric == HELD_UP else heights.all()):
        return None
    same = [place for place in range(len(others)) if _alike(heights, place)]
    heights = heights.mean(axis=tuple(same))
    telling = tuple(axis for place, axis in enumerate(others) if place not in same)
    lines = list(product(*(axis.labels for axis in telling)))
    values = dict(zip(lines, heights.reshape(len(lines), -1), strict=True))
    return Guests(
        measure_of(metric), along, telling, values, tuple(others[place] for place in same)
    )


def _alike(heights: Floats, place: int) -> bool:
    """Return whether it makes next to no difference which value of an axis it is."""
    return bool((heights.max(axis=place) <= (1 + _ALIKE) * heights.min(axis=place)).all())


def size(_found: Guests | None) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 6.2, 4.0


def says(found: Guests | None) -> bool:
    """Return whether there is anything to be drawn."""
    return found is not None


def draw(found: Guests, ax: Axes) -> Axes:
    """Draw a line for each combination."""
    rows = found.done if found.measure.column == RATE else found.values
    ends = draw_lines(ax, found.along, {found.name(line): row for line, row in rows.items()})
    if found.measure.column == RATE:
        measure = Measure(RATE, "done of its share of the host", formatting.SHARE)
        ax.set_ylim(0, 1.15 * max(1.0, *(float(row.max()) for row in rows.values())))
        measure.on(ax.yaxis)
    elif found.measure.column == HELD_UP:
        ax.set_ylim(0, 1.15 * max(float(row.max()) for row in rows.values()))
        found.measure.on(ax.yaxis)
    else:
        ax.set_yscale("log")
        found.measure.on(ax.yaxis)
    named = ends if len(ends) > 1 else []
    finish_lines(ax, found.along, "virtual CPUs to one of the host's", named)
    look.say(ax, message(found), _detail(found))
    return ax


def _detail(found: Guests) -> str:
    """Name what makes no difference."""
    return "".join(
        f"{axis.name[:1].upper()}{axis.name[1:]} ({', '.join(axis.texts)}) makes less than"
        f" {formatting.share(_ALIKE)} of difference. "
        for axis in found.same
    ).rstrip()


def message(found: Guests) -> str:
    """Return the sentence on top: the least and the most at the far end."""
    rate = found.measure.column == RATE
    last = {line: float(row[-1]) for line, row in (found.done if rate else found.values).items()}
    ordered = sorted(last, key=last.__getitem__)
    say = part if rate else found.measure.say
    ends = [f"{say(last[line])}{_of(found.name(line))}" for line in (ordered[0], ordered[-1])]
    what = "Done of a guest's share" if rate else found.measure.title
    told = formatting.from_to(*ends) if len(ordered) > 1 else ends[0]
    return f"{what} with {found.along.texts[-1]} to a CPU: {told}"


def part(value: float) -> str:
    """Write a part of a share, which may be more than all of it."""
    return formatting.share(value) if value < 1 else f"{formatting.number(100 * value)} %"


def _of(name: str) -> str:
    return f" ({name})" if name else ""


def _named(axis: Axis, value: Any) -> str:
    if axis.path == PV_FLUSH:
        return "paravirtual flushes" if value else "ordinary flushes"
    if axis.path == _EXIT and axis.numbers:
        sends = axis.numbers[axis.labels.index(value)] == 0
        return "interrupts virtualised" if sends else f"exit {value}"
    return axis.in_words(value)


def _without(line: tuple[Any, ...], at: int) -> tuple[Any, ...]:
    return (*line[:at], *line[at + 1 :])
