"""Exposure against cost: which designs of a pool no other one beats in both.

The sentences of a sweep's answer and its figure read the same numbers here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from pmsim.errors import ResultError
from pmsim.figures import look, swept
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.measures import Measure, measure_of
from pmsim.figures.swept import Axis, Swept

COST: Final = "pool_paid_ps"
"""What a design costs: the metric."""
EXPOSURE: Final = "pool_open_byte_s"
"""How long what is in a pool can be overwritten: the metric."""
_POOL: Final = (".pool.", ".protect")
"""What paths of axes have in them that are about the design of a pool."""


@dataclass(frozen=True, slots=True)
class Design:
    """One cell of a sweep.

    Attributes
    ----------
    name, short
        The values of what is varied, in words: with what each is, and alone.
    cost, exposure
        Their means.
    """

    name: str
    short: str
    cost: float
    exposure: float


@dataclass(frozen=True, slots=True)
class Designs:
    """All designs of a sweep.

    Attributes
    ----------
    cost, exposure
        The metrics.
    all
        Every design, in the order of the sweep.
    """

    cost: Measure
    exposure: Measure
    all: tuple[Design, ...]

    @property
    def front(self) -> list[Design]:
        """Return the designs that no other one beats, the cheapest first.

        None that costs as little is exposed less. Of those that are alike in both, the first.
        """
        found: list[Design] = []
        for one in sorted(self.all, key=lambda one: (one.cost, one.exposure)):
            if not found or one.exposure < found[-1].exposure:
                found.append(one)
        return found


@drawn_from("a sweep")
def pareto(
    sweep: Swept, cost: str = COST, exposure: str = EXPOSURE, ax: Axes | None = None
) -> Axes:
    """Draw all cells of a sweep by what they cost and how exposed they are, and name the front.

    Parameters
    ----------
    sweep
        A sweep of `pmsim.sweep` or `pmsim.open`.
    cost, exposure
        Columns of metrics; of both, less is better.
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
    for metric in (cost, exposure):
        swept.check_metric(sweep, metric)
    found = _designs(sweep, cost, exposure)
    if not says(found):
        raise ResultError("this figure needs a sweep with two cells that differ, or more")
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def designs(sweep: Swept) -> Designs | None:
    """Return the designs of pools that a sweep compares; None where it varies nothing of pools."""
    varied = swept.varied(sweep)
    known = swept.metrics_of(sweep)
    if COST not in known or EXPOSURE not in known:
        return None
    if not any(part in path for path in varied for part in _POOL):
        return None
    return _designs(sweep, COST, EXPOSURE)


def _designs(sweep: Swept, cost: str, exposure: str) -> Designs:
    axes = [swept.axis_of(sweep, path) for path in sweep.axes if len(set(sweep.axes[path])) > 1]
    costs, exposures = sweep.intervals(cost), sweep.intervals(exposure)
    found = []
    for (_, cell), open_for in zip(costs.iterrows(), exposures["mean"], strict=True):
        if not np.isnan(cell["mean"]) and not np.isnan(open_for):
            values = {axis.path.rpartition(".")[2]: _said(axis, cell[axis.path]) for axis in axes}
            name = ", ".join(f"{what} {value}" for what, value in values.items())
            mean = float(cell["mean"])
            found.append(Design(name, ", ".join(values.values()), mean, float(open_for)))
    return Designs(measure_of(cost), measure_of(exposure), tuple(found))


def _said(axis: Axis, value: Any) -> str:
    """Return a value of an axis as it reads: ``4 KiB``, ``every 500``."""
    return axis.texts[axis.labels.index(value)].replace("=", " ")


def size(_found: Designs | None) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 6.6, 4.6


def says(found: Designs | None) -> bool:
    """Return whether designs differ in both."""
    if found is None:
        return False
    return len({one.cost for one in found.all}) > 1 and len({one.exposure for one in found.all}) > 1


def draw(found: Designs, ax: Axes) -> Axes:
    """Draw a dot for each design, those of the front joined by steps and named."""
    front = found.front
    others = [one for one in found.all if one not in front]
    ax.set_xscale("log")
    _scale(found, ax)
    ax.plot(*_places(others), "o", color=look.GREY, markersize=4)
    ax.step(*_places(front), where="post", color=look.BLUE, linewidth=1)
    ax.plot(*_places(front), "D", color=look.BLUE, markersize=5.5)
    for number, one in enumerate(front, 1):
        ax.annotate(
            str(number), (one.cost, one.exposure), xytext=(5, 5), textcoords="offset points"
        )
    found.cost.on(ax.xaxis)
    look.fit_labels(ax)
    names = "\n".join(f"{number}  {one.short}" for number, one in enumerate(front, 1))
    # Above and to the right of the front lies what is beaten.
    ax.text(
        0.99, 0.99, names, transform=ax.transAxes, va="top", ha="right", ma="left",
        fontsize=current().small, linespacing=1.2, zorder=1,
    )  # fmt: skip
    ax.grid(visible=True)
    look.say(ax, message(found), f"{len(others)} others cost more and are no less exposed")
    return ax


def _places(some: list[Design]) -> tuple[list[float], list[float]]:
    return [one.cost for one in some], [one.exposure for one in some]


def _scale(found: Designs, ax: Axes) -> None:
    """Scale exposure by ratios; near nothing it is linear, because some are never exposed."""
    heights = [one.exposure for one in found.all if one.exposure > 0]
    # The names of the front stand on top; where there is little room they take half of it.
    room = 10.0 ** (0.25 * len(found.front)) if current().narrow else 2.0
    if len(heights) == len(found.all):
        ax.set_yscale("log")
        ax.set_ylim(min(heights) / 2, room * max(heights))
        found.exposure.on(ax.yaxis)
        return
    found.exposure.on(ax.yaxis)
    if heights:
        least = 10.0 ** np.floor(np.log10(min(heights)))
        ax.set_yscale("symlog", linthresh=least, linscale=0.3)
        ax.set_ylim(-0.2 * least, room * max(heights))
        found.exposure.on(ax.yaxis)
        last = int(np.floor(np.log10(max(heights))))
        ax.set_yticks([0.0, *(10.0**n for n in range(int(np.log10(least)), last + 1))])
        ax.set_yticks([], minor=True)


def message(found: Designs) -> str:
    """Return the sentence on top: from the cheapest of the front to the least exposed."""
    front = found.front
    say, tell = found.cost.say, found.exposure.say
    first, last = front[0], front[-1]
    if first is last:
        return f"One design beats all others: {tell(first.exposure)} for {say(first.cost)}"
    return (
        f"From {tell(first.exposure)} for {say(first.cost)} to {tell(last.exposure)} for"
        f" {say(last.cost)}: {len(front)} designs of {len(found.all)} are not beaten"
    )


def front_words(found: Designs) -> Mapping[str, Any]:
    """Return the front as sentences tell it: each design with its cost and its exposure."""
    return {
        one.name: (found.cost.say(one.cost), found.exposure.say(one.exposure))
        for one in found.front
    }
