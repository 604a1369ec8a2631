"""How much of a shootdown's latency is waking CPUs that sleep, along an axis of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.errors import ResultError
from pmsim.figures import look, scales, swept
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.swept import Axis, Floats, Swept

LATENCY, PART, WOKEN, CALLS = "latency_mean_ps", "waking_share", "woken", "broadcasts"
_REST: Final = Mark("all else: sending, flushing, answers", look.BLUE)
_WAKING: Final = Mark("the slowest target wakes up", look.VERMILION, "////")
_NOTABLE: Final = 0.1
"""The part from which on a picture of it says something."""


@dataclass(frozen=True, slots=True)
class Waking:
    """What is drawn, for each value of the axis.

    Attributes
    ----------
    along
        The axis.
    latency, waking
        Means of the latency of a shootdown, and of the part of it in which CPUs wake; picoseconds.
    woken
        Idle CPUs that a shootdown wakes, in the mean.
    """

    along: Axis
    latency: Floats
    waking: Floats
    woken: Floats


@drawn_from("a sweep")
def waking(sweep: Swept, ax: Axes | None = None) -> Axes:
    """Draw the latency of shootdowns along an axis, and what of it is waking CPUs.

    Parameters
    ----------
    sweep
        A sweep of `pmsim.sweep` or `pmsim.open` over one axis of numbers.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.

    Raises
    ------
    ResultError
        If the sweep varies something else.
    """
    found = parts(sweep)
    if found is None:
        raise ResultError("this figure needs a sweep over one axis of numbers, with shootdowns")
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def parts(sweep: Swept) -> Waking | None:
    """Take from a sweep what `draw` draws; None where it varies something else."""
    varied = swept.varied(sweep)
    known = swept.metrics_of(sweep)
    if len(varied) != 1 or not {LATENCY, PART, WOKEN, CALLS} <= set(known):
        return None
    axis = swept.axis_of(sweep, varied[0])
    if not axis.numbers:
        return None
    latency, part, woken, calls = (
        swept.cells(sweep, metric, [axis])["mean"].reindex(list(axis.labels)).to_numpy(dtype=float)
        for metric in (LATENCY, PART, WOKEN, CALLS)
    )
    return Waking(axis, latency, part * latency, woken / calls)


def size(_found: Waking | None) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 7.2, 4.4


def says(found: Waking | None) -> bool:
    """Return whether waking is a notable part anywhere."""
    return found is not None and bool(np.nanmax(found.waking / found.latency) >= _NOTABLE)


def draw(found: Waking, ax: Axes) -> Axes:
    """Draw a bar for each value of the axis, in two parts."""
    places = np.arange(len(found.latency))
    rest = found.latency - found.waking
    ax.bar(places, rest, width=0.7, **_REST.area)
    ax.bar(places, found.waking, bottom=rest, width=0.7, **_WAKING.area)
    for place, total, part in zip(places, found.latency, found.waking, strict=True):
        ax.annotate(
            formatting.share(part / total), (place, total), xytext=(0, 3),
            textcoords="offset points", ha="center", fontsize=current().text,
        )  # fmt: skip
    ax.set_ylim(0, 1.15 * float(np.nanmax(found.latency)))
    scales.time_axis(ax.yaxis, float(np.nanmax(found.latency)), "Mean latency of a shootdown")
    ax.set_xticks(places, found.along.texts)
    ax.set_xlabel(found.along.name)
    look.fit_labels(ax)
    look.say(ax, message(found), _detail(found), look.key(ax, (_REST, _WAKING)))
    return ax


def message(found: Waking) -> str:
    """Return the sentence on top: how much is waking where that is most."""
    most = int(np.nanargmax(found.waking / found.latency))
    part = formatting.share(found.waking[most] / found.latency[most])
    where = found.along.in_words(found.along.labels[most])
    return (
        f"{part} of a shootdown's {formatting.time(found.latency[most])} is waking CPUs at {where}"
    )


def _detail(found: Waking) -> str:
    woken = formatting.number(float(np.nanmax(found.woken)))
    return f"In per cent: the part of waking. A shootdown wakes up to {woken} idle CPUs."
