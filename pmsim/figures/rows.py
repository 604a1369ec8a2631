"""Rows of bars with names: beside the bars where there is room, above them in a narrow figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from pmsim.figures import look
from pmsim.figures.form import current
from pmsim.figures.swept import Floats

_THICK: Final = 0.72
_THIN, _BELOW, _ABOVE = 0.36, 0.24, 0.2
"""In a narrow figure: how high a bar is, how far below its row's middle, and its name above that,
all in parts of a row."""
_FEWEST: Final = 3
"""Rows that a narrow figure has room for at least: one alone is no higher than others."""
_LETTER, _EVEN_LETTER = 0.56, 0.605
"""Widths of an average letter, and of one of a face whose letters are all as wide, in parts of
their size."""


def height() -> float:
    """Return how high a bar is, in parts of a row."""
    return _THIN if current().narrow else _THICK


def middles(count: int) -> Floats:
    """Return where the middles of so many bars are."""
    return np.arange(float(count)) + (_BELOW if current().narrow else 0.0)


def name(
    ax: Axes, names: Sequence[str], told: Sequence[str] | None = None, *, even: bool = False
) -> None:
    """Write the names of the rows, and set up the axis that they stand on.

    Parameters
    ----------
    names
        From the top.
    told
        What a narrow figure says at the right of each name.
    even
        Whether letters are all as wide: names of the kernel, which are indented by spaces.
    """
    narrow = current().narrow
    if narrow:
        _name_above(ax, names, told or [""] * len(names), even=even)
    else:
        width = max(map(len, names)) if even else 0
        ax.set_yticks(range(len(names)), [one.ljust(width) for one in names], **_face(even))
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(max(_FEWEST, len(names)) - 0.5 if narrow else len(names) - 0.4, -0.6)
    ax.spines["left"].set_visible(False)


def _name_above(ax: Axes, names: Sequence[str], told: Sequence[str], *, even: bool) -> None:
    ax.set_yticks([])
    size = current().text
    room = look.room(ax)
    for place, (name, beside) in enumerate(zip(names, told, strict=True)):
        left = room - _LETTER * size * (len(beside) + 2 * bool(beside))
        letters = int(left / (size * (_EVEN_LETTER if even else _LETTER)))
        at: dict[str, Any] = {"transform": ax.get_yaxis_transform(), "va": "center"}
        ax.text(0, place - _ABOVE, shortened(name, letters), **at, **_face(even))
        if beside:
            ax.text(1, place - _ABOVE, beside, ha="right", **at)


def line(ax: Axes, at: float, count: int) -> None:
    """Draw an upright line at a value of all rows, which passes no name."""
    if not current().narrow:
        ax.axvline(at, color=look.INK, linewidth=1)
        return
    ax.vlines(
        [at] * count, middles(count) - height() / 2, middles(count) + height() / 2,
        color=look.INK, linewidth=1,
    )  # fmt: skip


def beside(ax: Axes, span: float, text: str) -> float:
    """Return how much of an axis a text needs at either side of what spans so much of it."""
    part = min(0.3, look.part_of(ax, text) + 0.03)
    return span * part / (1 - 2 * part)


def shortened(name: str, letters: int) -> str:
    """Return a name of at most so many letters, its middle left out where it has more."""
    if len(name) <= letters:
        return name
    end = max(1, (letters - 1) // 2)
    return f"{name[: max(1, letters - 1 - end)]}…{name[-end:]}"


def _face(even: bool) -> dict[str, Any]:
    return {"fontfamily": look.MONOSPACE} if even else {}
