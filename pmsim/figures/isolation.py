"""What a day is to an isolated CPU by each protocol: interruptions, and the time they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.figures import look, rows, swept
from pmsim.figures.side_by_side import PROTOCOLS
from pmsim.figures.swept import Floats, Swept
from pmsim.units import S

DAY: Final = 86_400
"""Seconds of a day."""


@dataclass(frozen=True, slots=True)
class Told:
    """How a metric of isolated CPUs is told for a day.

    Attributes
    ----------
    beginning
        How a sentence about it begins.
    of_a_day
        What its value comes to in a day.
    say
        How that is written.
    """

    beginning: str
    of_a_day: Callable[[float], float]
    say: Callable[[float], str]


ISOLATED: Final[Mapping[str, Told]] = {
    "isolated_interrupts_per_s": Told(
        "Interrupts of an isolated CPU in a day", lambda rate: rate * DAY, formatting.number
    ),
    "isolated_own_share": Told(
        "Time that they take from it in a day", lambda own: (1 - own) * DAY * S, formatting.time
    ),
    "isolated_longest_ps": Told("Its longest interruption", float, formatting.time),
}
"""What is told of isolated CPUs, by metric."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """What is drawn: how a metric is told, and its value for a day by protocol."""

    told: Told
    names: tuple[str, ...]
    values: Floats


def of_isolated(sweep: Swept, metric: str) -> Isolation | None:
    """Take from a sweep over protocols, and nothing else, what `draw` draws; else None."""
    if swept.varied(sweep) != [PROTOCOLS] or metric not in swept.metrics_of(sweep):
        return None
    axis = swept.axis_of(sweep, PROTOCOLS)
    told = ISOLATED[metric]
    means = swept.cells(sweep, metric, [axis])["mean"].reindex(list(axis.labels))
    values = np.array([told.of_a_day(one) for one in means])
    return None if np.isnan(values).any() else Isolation(told, tuple(map(str, axis.labels)), values)


def size(found: Isolation | None) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 5.6, 1.8 + 0.46 * max(2, len(found.names) if found else 0)


def says(found: Isolation | None) -> bool:
    """Return whether protocols differ in it."""
    return found is not None and len(set(found.values.tolist())) > 1


def draw(found: Isolation, ax: Axes) -> Axes:
    """Draw a bar for each protocol, in the order of the sweep."""
    most = float(found.values.max())
    places = rows.middles(len(found.names))
    written = [found.told.say(value) for value in found.values.tolist()]
    for place, value, text in zip(places, found.values.tolist(), written, strict=True):
        ax.barh(place, value, height=rows.height(), color=look.BLUE)
        ax.annotate(
            text, (value, place), xytext=(4, 0), textcoords="offset points", va="center"
        )  # fmt: skip
    rows.name(ax, found.names)
    ax.set_xlim(0, most + rows.beside(ax, most, max(written, key=len)))
    ax.set_xticks([])
    ax.spines["bottom"].set_visible(False)
    look.say(ax, message(found), "")
    return ax


def message(found: Isolation) -> str:
    """Return the sentence on top: the least and the most."""
    ends = [
        f"{found.told.say(float(found.values[at]))} ({found.names[at]})"
        for at in (int(found.values.argmin()), int(found.values.argmax()))
    ]
    return f"{found.told.beginning}: {formatting.from_to(*ends)}"
