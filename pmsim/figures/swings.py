"""How far each constant moves a figure from one end of its range to the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.figures import look, rows
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.measures import Measure, measure_of

_LOW: Final = Mark("lower end of the range", look.BLUE)
_HIGH: Final = Mark("upper end", look.VERMILION, "////")
_MOST_ROWS: Final = 15


class Swinging(Protocol):
    """The part of a constant of a `pmsim.Sensitivity` that is drawn."""

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def low(self) -> str: ...  # noqa: D102
    @property
    def high(self) -> str: ...  # noqa: D102
    @property
    def basis(self) -> str: ...  # noqa: D102
    @property
    def total(self) -> float | None: ...  # noqa: D102
    @property
    def at_low(self) -> float | None: ...  # noqa: D102
    @property
    def at_high(self) -> float | None: ...  # noqa: D102


class FoundSwings(Protocol):
    """The part of what a sensitivity found that is drawn."""

    @property
    def metric(self) -> str: ...  # noqa: D102
    @property
    def value(self) -> float: ...  # noqa: D102
    @property
    def constants(self) -> Sequence[Swinging]: ...  # noqa: D102


@runtime_checkable
class Sensitive(Protocol):
    """A sensitivity."""

    @property
    def found(self) -> FoundSwings: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Swing:
    """One bar: a constant, the figure at both ends of its range, and its index."""

    name: str
    low: str
    high: str
    basis: str
    total: float
    at_low: float
    at_high: float


@dataclass(frozen=True, slots=True)
class Swings:
    """What is drawn: the constants that matter, the largest swing first, and the figure itself."""

    measure: Measure
    value: float
    rows: tuple[Swing, ...]


@drawn_from("a sensitivity")
def constants(sensitivity: Sensitive, ax: Axes | None = None) -> Axes:
    """Draw how far each constant that matters moves a figure, all others as they are.

    A bar goes from the figure at the lower end of the constant's range to that at the upper end;
    behind it stands the Sobol' index: the constant's share of the spread when all of them vary.

    Parameters
    ----------
    sensitivity
        A `pmsim.Sensitivity`.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.
    """
    found = swings(sensitivity)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def swings(sensitivity: Sensitive) -> Swings:
    """Take from a sensitivity what `draw` draws."""
    found = sensitivity.found
    moving = [
        Swing(one.name, formatting.written(one.low), formatting.written(one.high), one.basis,
              one.total, one.at_low, one.at_high)
        for one in found.constants
        if one.total is not None and one.at_low is not None and one.at_high is not None
    ]  # fmt: skip
    moving.sort(key=lambda one: -abs(one.at_high - one.at_low))
    return Swings(measure_of(found.metric), found.value, tuple(moving))


def size(found: Swings) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 8.4, 1.9 + 0.46 * max(min(len(found.rows), _MOST_ROWS), 2)


def says(found: Swings) -> bool:
    """Return whether there is a constant that moves anything."""
    return bool(found.rows)


def draw(found: Swings, ax: Axes) -> Axes:
    """Draw the bars on axes."""
    if not found.rows:
        return look.nothing(ax, found.measure.title, "No constant moves it.")
    shown = found.rows[: current().rows(_MOST_ROWS, lines=1)]
    for place, row in zip(rows.middles(len(shown)), shown, strict=True):
        for end, mark in ((row.at_low, _LOW), (row.at_high, _HIGH)):
            width = end - found.value
            ax.barh(place, width, left=found.value, height=0.8 * rows.height(), **mark.area)
        _name_ends(ax, place, row)
    rows.line(ax, found.value, len(shown))
    rows.name(ax, [_named(row) for row in shown])
    _make_room(ax, found)
    found.measure.on(ax.xaxis)
    look.say(ax, message(found), _DETAIL, look.key(ax, (_LOW, _HIGH)))
    return ax


_DETAIL: Final = (
    "Each constant at both ends of its range, all others as they are; line: as the scenario is."
    " In per cent: its share of the spread when all vary (Sobol' total index)."
)


def message(found: Swings) -> str:
    """Return the sentence on top: which constant matters most, and how much."""
    row = found.rows[0]
    low, high = found.measure.say(row.at_low), found.measure.say(row.at_high)
    return (
        f"{found.measure.title} hangs most on {row.name}: {low} at {row.low}, {high} at {row.high}"
    )


def _named(row: Swing) -> str:
    between = ", " if current().narrow else "\n"
    return f"{row.name}{between}{row.basis or 'no source'}, {100 * min(1.0, row.total):.0f} %"


def _name_ends(ax: Axes, place: float, row: Swing) -> None:
    """Write the ends of the range beside the two ends of the bar."""
    ends = sorted(((row.at_low, row.low), (row.at_high, row.high)))
    for (at, text), side in zip(ends, (-1, 1), strict=True):
        ax.annotate(
            text, xy=(at, place), xytext=(5 * side, 0), textcoords="offset points",
            ha="left" if side > 0 else "right", va="center",
        )  # fmt: skip


def _make_room(ax: Axes, found: Swings) -> None:
    """Leave space for the values on both sides of the bars."""
    known = [end for row in found.rows for end in (row.at_low, row.at_high)] + [found.value]
    left, right = min(known), max(known)
    span = (right - left) or abs(found.value) or 1.0
    longest = max((text for row in found.rows for text in (row.low, row.high)), key=len)
    room = rows.beside(ax, span, longest)
    ax.set_xlim(left - room, right + room)
    if left >= 0 > left - room:
        high = ax.get_xlim()[1]
        ax.set_xticks([tick for tick in ax.get_xticks() if 0 <= tick <= high])
        ax.spines["bottom"].set_bounds(0, high)
