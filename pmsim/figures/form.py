"""How large a figure and its letters are: for a screen, or for the column of a paper."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any, Final

from matplotlib.axes import Axes

from pmsim.errors import UnitError

POINTS: Final = 72
"""Points of an inch."""


@dataclass(frozen=True, slots=True)
class Form:
    """The sizes of a figure.

    Attributes
    ----------
    width
        In inches; `None` where each figure is as wide as suits it.
    text, title
        The sizes of letters, and of those of the message, in points.
    dpi
        Pixels of an inch, of formats that have pixels.
    headed
        Whether the figure says its message: not on axes that somebody else heads.
    """

    width: float | None = None
    text: float = 8.5
    title: float = 11.0
    dpi: float = 150.0
    headed: bool = True

    @property
    def narrow(self) -> bool:
        """Whether there is no room for names beside what they name."""
        return self.width is not None and self.width < _NARROW

    @property
    def small(self) -> float:
        """The size of letters where there is little room, in points."""
        return max(6.5, self.text - 1.0)

    @property
    def line(self) -> float:
        """The height of a line of text, in points."""
        return 1.3 * self.text

    def fit(self, size: tuple[float, float]) -> tuple[float, float]:
        """Return the width and height of a figure, in inches, that would have this size."""
        if self.width is None:
            return size
        if self.narrow:
            return self.width, self.width * _HEIGHT / _COLUMN
        return self.width, size[1] * self.text / SCREEN.text

    def rows(self, most: int, lines: int = 0) -> int:
        """Return how many rows of bars have room, at most so many, below some lines of a key."""
        if not self.narrow:
            return most
        _, height = self.fit((0.0, 0.0))
        around = (5 if self.headed else 3) + 1.25 * lines
        return max(1, min(most, int((height * POINTS / self.line - around) / _LINES_OF_A_ROW)))

    @property
    def settings(self) -> Mapping[str, Any]:
        """The sizes as Matplotlib knows them."""
        return {
            "axes.labelsize": self.text,
            "axes.titlesize": self.title,
            "font.size": self.text,
            "hatch.linewidth": 0.5 if self.narrow else 0.8,
            "legend.fontsize": self.text,
            "lines.linewidth": 1.1 if self.narrow else 1.6,
            "xtick.labelsize": self.text,
            "ytick.labelsize": self.text,
            "xtick.major.size": 2.5 if self.narrow else 3.5,
            "ytick.major.size": 2.5 if self.narrow else 3.5,
        }


_COLUMN: Final = 3.3
_HEIGHT: Final = 2.4
"""Inches: the column of a page of two, and a figure's usual height in it."""
_NARROW: Final = 4.5
_LEAST, _MOST = 2.5, 20.0
_LINES_OF_A_ROW: Final = 1.9
"""A row's name above its bar, in lines of text."""

SCREEN: Final = Form()
COLUMN: Final = Form(_COLUMN, 7.0, 8.0, 300.0)
FORMS: Final[Mapping[str, Form]] = {"screen": SCREEN, "column": COLUMN}
_INCHES: Final = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4, "pt": 1 / POINTS}
_LENGTH: Final = re.compile(rf"\s*(\d+(?:\.\d*)?|\.\d+)\s*({'|'.join(_INCHES)})\s*")

CHOSEN: ContextVar[Form] = ContextVar("form", default=SCREEN)


def current() -> Form:
    """Return the form that figures have now."""
    return CHOSEN.get()


def form_of(name: str) -> Form:
    """Return a form by its name, or by a width such as ``3.3in`` or ``84mm``.

    Raises
    ------
    UnitError
        If it is neither, or figures cannot be so narrow or wide.
    """
    if name in FORMS:
        return FORMS[name]
    found = _LENGTH.fullmatch(name)
    if found is None:
        raise UnitError(
            f"'{name}' is no width: one is written with in, cm, mm or pt, as in 3.3in or 84mm"
        )
    width = float(found[1]) * _INCHES[found[2]]
    if not _LEAST <= width <= _MOST:
        raise UnitError(f"figures are {_LEAST}in to {_MOST:g}in wide, not {name.strip()}")
    if width < _NARROW:
        return replace(COLUMN, width=width)
    return Form(width, 8.0, 9.0, COLUMN.dpi)


@contextmanager
def formed(form: Form) -> Iterator[None]:
    """Give figures a form for as long as the block runs."""
    before = CHOSEN.set(form)
    try:
        yield
    finally:
        CHOSEN.reset(before)


def on_axes(ax: Axes) -> Form:
    """Return the form for somebody's own axes: that of a column where they are so narrow."""
    form = current()
    box: Any = ax.get_subplotspec()
    figure = ax.figure.canvas.figure
    share = ax.get_position().width / _USUAL_SHARE
    if box is not None:
        share = len(box.colspan) / box.get_gridspec().ncols
    width = share * float(figure.get_size_inches()[0])
    if width < _NARROW:
        form = replace(COLUMN, width=width)
    return replace(form, headed=False)


_USUAL_SHARE: Final = 0.775
"""Part of a figure's width that axes alone in it take, as Matplotlib places them."""
