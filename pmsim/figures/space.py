"""Address ranges over time: what is taken of them, what is lazily freed, the largest hole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from pmsim import formatting
from pmsim.figures import look, scales
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.source import Tables

Which = Literal["vmalloc", "modules"]
"""The range."""

_NAMES: Final[dict[Which, str]] = {"vmalloc": "vmalloc range", "modules": "modules' range"}
_TAKEN: Final = Mark("taken", look.CYAN)
_LAZY: Final = Mark("lazily freed", look.ORANGE, "////")
_HOLE: Final = Mark("largest hole", look.RED, line="-")
_NEAR: Final = 10
"""Up to so many times of what is taken a hole is drawn: a larger one would flatten the rest."""


@dataclass(frozen=True, slots=True)
class Space:
    """A range of addresses over time, in pages, as it stood at the ends of intervals.

    Attributes
    ----------
    which
        The range.
    edges_ps
        Where the intervals begin, and the last one's end.
    taken, hole
        Pages taken, guards and lazily freed ones included, and those of the largest hole.
    lazy
        Pages freed and not yet purged, in any range; `None` of the modules' range, as the table
        does not tell which of them are there.
    again
        Whether it is the modules' range of a kernel that has none of its own, and so the other one.
    """

    which: Which
    edges_ps: npt.NDArray[np.int64]
    taken: npt.NDArray[np.int64]
    hole: npt.NDArray[np.int64]
    lazy: npt.NDArray[np.int64] | None
    again: bool = False

    @property
    def tight(self) -> bool:
        """Whether the largest hole is small enough to be drawn beside what is taken."""
        return int(self.hole.min()) <= _NEAR * int(self.taken.max())


@drawn_from("a result")
def address_space(result: Tables, which: Which = "vmalloc", *, ax: Axes | None = None) -> Axes:
    """Draw what is taken of a range of kernel addresses over time, and its largest hole.

    Parameters
    ----------
    result
        A result of `pmsim.run`.
    which
        The range: ``"vmalloc"`` or ``"modules"``, which may be the same.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.
    """
    found = space(result, which)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def space(result: Tables, which: Which) -> Space:
    """Take a range from the timeline of the first replication."""
    table = result.timeline
    if len(table):
        table = table[table["replication"] == table["replication"].min()]
    table = table.sort_values("start_ps")

    def column(name: str) -> npt.NDArray[np.int64]:
        return table[name].to_numpy(dtype=np.int64)

    edges = np.append(column("start_ps"), column("end_ps")[-1:])
    lazy = column("lazy_pages") if which == "vmalloc" else None
    taken, hole = column(f"{which}_pages"), column(f"{which}_hole_pages")
    again = which == "modules" and all(
        np.array_equal(mine, column(f"vmalloc_{name}"))
        for mine, name in ((taken, "pages"), (hole, "hole_pages"))
    )
    return Space(which, edges, taken, hole, lazy, again)


def says(found: Space) -> bool:
    """Return whether what is taken changes more than once: of one change the tables tell all."""
    return not found.again and int(np.count_nonzero(np.diff(found.taken))) > 1


def size(_found: Space) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 7.5, 4.0


def draw(found: Space, ax: Axes) -> Axes:
    """Draw a range on axes."""
    if not found.taken.any():
        return look.nothing(ax, f"Nothing of the {_NAMES[found.which]} is taken", "No area.")
    marks = [_TAKEN]
    ax.stairs(found.taken, found.edges_ps, fill=True, **_TAKEN.area)
    top = int(found.taken.max())
    if found.lazy is not None and found.lazy.any():
        ax.stairs(found.lazy, found.edges_ps, fill=True, **_LAZY.area)
        marks.append(_LAZY)
        top = max(top, int(found.lazy.max()))
    if found.tight:
        ax.stairs(found.hole, found.edges_ps, baseline=None, color=_HOLE.colour, linewidth=1.4)
        marks.append(_HOLE)
        top = max(top, int(found.hole.max()))
    ax.set_xlim(found.edges_ps[0], found.edges_ps[-1])
    ax.set_ylim(0, 1.08 * top)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda pages, _: formatting.tick_count(pages)))
    ax.set_ylabel("pages")
    ax.grid(visible=True, axis="y")
    scales.round_ticks(ax.xaxis, 4 if current().narrow else 8)
    scales.time_axis(ax.xaxis, float(found.edges_ps[-1]), "simulated time")
    look.say(ax, message(found), _detail(found), look.key(ax, marks))
    return ax


def message(found: Space) -> str:
    """Return the sentence on top: the most that was taken, and what that left."""
    most, name = int(found.taken.max()), _NAMES[found.which]
    text = f"At most {formatting.counted(most, 'page')} of the {name} taken"
    if found.tight:
        least = formatting.counted(int(found.hole.min()), "page")
        return f"{text}; the largest hole shrinks to {least}"
    return f"{text}: far from full"


def _detail(found: Space) -> str:
    """Say what is not seen: the hole where it is not drawn, and the most that was lazily freed."""
    told = ["Guards and lazily freed areas count as taken."]
    if found.lazy is not None:
        told.append(f"At most {formatting.counted(int(found.lazy.max()), 'page')} lazily freed.")
    if not found.tight:
        told.append(f"The largest hole has {formatting.number(float(found.hole.min()))} or more.")
    return " ".join(told)
