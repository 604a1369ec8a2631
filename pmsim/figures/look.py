"""How all figures look: light paper, the petroff colours, the message on top.

Colours are Matthew Petroff's ten of *Accessible Color Sequences for Data Visualization* (2021,
arXiv:2107.02270), which people with the common colour vision deficiencies can tell apart. They are
listed here because Matplotlib ships them only from 3.10 on.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pmsim import formatting
from pmsim.figures.layout import OneRow

BLUE: Final = "#3f90da"
ORANGE: Final = "#ffa90e"
RED: Final = "#bd1f01"
GREY: Final = "#94a4a2"
PURPLE: Final = "#832db6"
BROWN: Final = "#a96b59"
VERMILION: Final = "#e76300"
SAND: Final = "#b9ac70"
SLATE: Final = "#717581"
CYAN: Final = "#92dadd"
PETROFF: Final = (BLUE, ORANGE, RED, GREY, PURPLE, BROWN, VERMILION, SAND, SLATE, CYAN)

INK: Final = "#222222"
FAINT: Final = "#6b6b6b"
PAPER: Final = "#ffffff"

STYLE: Final[Mapping[str, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": FAINT,
    "axes.facecolor": PAPER,
    "axes.grid": False,
    "axes.labelcolor": INK,
    "axes.labelsize": 9,
    "axes.prop_cycle": cycler(color=PETROFF),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "figure.dpi": 110,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "xtick.labelsize": 8.5,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
    "ytick.labelsize": 8.5,
}
MONOSPACE: Final = "DejaVu Sans Mono"
"""The face of names that come from the kernel."""

# A number and its unit stay on one line.
_UNIT: Final = re.compile(r"(?<=\d) (?=(?:ps|ns|µs|ms|s|%|million|×)(?!\w))")
_GLUE: Final = "\N{NO-BREAK SPACE}"

# Width of an average bold character, in parts of the font size (measured on DejaVu Sans).
_CHARACTER: Final = 0.6


@contextmanager
def themed() -> Iterator[None]:
    """Give a context in which new artists take the style of the project."""
    settings: Any = dict(STYLE)
    with mpl.rc_context(settings):
        yield
        interactive = mpl.is_interactive()
    # A notebook's backend makes itself interactive as it draws its first figure. If the theme's
    # end undid that, no later figure would be shown.
    mpl.interactive(interactive)


@contextmanager
def drawing(ax: Axes | None, size: tuple[float, float]) -> Iterator[Axes]:
    """Yield axes to draw on, in the style of the project.

    Parameters
    ----------
    ax
        Axes to draw on; ``None`` makes a figure of its own, which notebooks then show.
    size
        Width and height of that figure, in inches.
    """
    with themed():
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.figure(figsize=size, layout=OneRow()).add_subplot()
        yield ax


def canvas(size: tuple[float, float], dpi: float = 100) -> Figure:
    """Return a figure that no window and no notebook knows of, for files; in a `themed` block.

    Parameters
    ----------
    size
        Width and height in inches.
    dpi
        Pixels of an inch.
    """
    return Figure(figsize=size, dpi=dpi, layout=OneRow(once=True))


def say(ax: Axes, message: str, detail: str = "", room: float = 0.0) -> None:
    """Put the message above the axes, and a quieter line of detail below it.

    Parameters
    ----------
    message
        What the figure shows, one sentence; broken into lines where it is long.
    detail
        What is drawn and of how many things.
    room
        Points to leave free between the text and the axes, for a `key`.
    """
    width = _width(ax)
    wrapped = _wrapped(width, message, float(STYLE["axes.titlesize"]))
    quiet = _wrapped(width, detail, 9 * 0.92) if detail else ""
    lines = quiet.count("\n") + 1 if quiet else 0
    title = ax.set_title(wrapped, loc="left", pad=8 + room + 12 * lines, linespacing=1.25)
    layout = ax.figure.canvas.figure.get_layout_engine()
    if isinstance(layout, OneRow):
        layout.headed(ax, title)
    if quiet:
        ax.annotate(
            quiet,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(0, 6 + room),
            textcoords="offset points",
            color=FAINT,
            va="bottom",
            linespacing=1.25,
        )


def key(ax: Axes, parts: Sequence[tuple[str, str]]) -> float:
    """Name the colours of stacked parts in one line above the axes, in the order of stacking.

    Returns
    -------
    float
        The room it takes above the axes, in points: to be given to `say`.
    """
    if not parts:
        return 0.0
    columns = _columns(ax, [label for label, _colour in parts])
    ax.legend(
        handles=[
            Patch(facecolor=colour, label=label) for label, colour in _by_rows(parts, columns)
        ],
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        frameon=False,
        borderaxespad=0.0,
        borderpad=0.25,
        handlelength=0.9,
        handleheight=0.9,
        handletextpad=0.4,
        columnspacing=1.1,
        labelspacing=0.3,
        fontsize=8.5,
    )
    return 16.0 * -(-len(parts) // columns)


def time_axis(axis: Axis, largest: float, label: str) -> None:
    """Let an axis whose data are picoseconds speak the unit that fits its largest value."""
    unit, factor = formatting.time_unit(largest)
    axis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value / factor:,g}"))
    axis.set_label_text(f"{label} ({unit})")


_DECADES_WITH_STEPS: Final = 10**4
"""Up to this ratio of its ends a logarithmic axis has room for labels between its decades."""


def log_time_axis(axis: Axis, label: str) -> None:
    """Let a logarithmic axis whose data are picoseconds write a time with its unit at each tick."""
    low, high = axis.get_view_interval()
    few = high <= _DECADES_WITH_STEPS * low
    subs = (1.0, 2.0, 5.0) if few else (1.0,)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=16))
    axis.set_major_formatter(FuncFormatter(lambda value, _position: formatting.tick_time(value)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_label_text(label)


def fit_labels(ax: Axes) -> None:
    """Slant the labels below the axes where they do not fit beside each other."""
    labels = ax.get_xticklabels()
    size = float(STYLE["xtick.labelsize"])
    longest = max((len(label.get_text()) for label in labels), default=0)
    if longest * size * _CHARACTER * len(labels) > _width(ax):
        for label in labels:
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    layout = ax.figure.canvas.figure.get_layout_engine()
    if isinstance(layout, OneRow):
        layout.forget(ax)  # other axes' labels and the names of lines are still to come


def nothing(ax: Axes, message: str, reason: str) -> Axes:
    """Say on empty axes that there is nothing to draw, and why."""
    ax.set_axis_off()
    say(ax, message)
    ax.text(
        0.5, 0.5, reason, ha="center", va="center", transform=ax.transAxes, color=FAINT, fontsize=10
    )
    return ax


def shades(colour: str) -> LinearSegmentedColormap:
    """Return a colour map from the paper to a colour, and on to a dark tone of it."""
    red, green, blue = to_rgb(colour)
    dark = to_hex((0.4 * red, 0.4 * green, 0.4 * blue))
    return LinearSegmentedColormap.from_list("pmsim", [PAPER, colour, dark])


def colour_bar(ax: Axes, coloured: ScalarMappable, label: str, say: Callable[[float], str]) -> None:
    """Say right of the axes what colours mean.

    Parameters
    ----------
    coloured
        What is coloured.
    label
        What the values are.
    say
        Writes one of them.
    """
    place = ax.inset_axes((1.02, 0.0, 0.03, 1.0))
    bar = ax.figure.colorbar(coloured, cax=place)
    bar.set_label(label)
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: say(value)))
    bar.ax.yaxis.set_minor_formatter(NullFormatter())
    bar.outline.set_visible(False)


def bars(ax: Axes, stretches: Sequence[tuple[float, float, float, float]], colours: Any) -> None:
    """Draw many bars as one artist, which costs a fiftieth of as many bars of Matplotlib's.

    Parameters
    ----------
    stretches
        Of each bar its left and right end, and its middle and height, on the axes' scales.
    colours
        One, or one for each.
    """
    if not len(stretches):
        return
    left, right, middle, height = np.asarray(stretches, dtype=float).T
    low, high = middle - height / 2, middle + height / 2
    corners = np.stack([[left, low], [right, low], [right, high], [left, high]]).transpose(2, 0, 1)
    ax.add_collection(PolyCollection(list(corners), facecolors=colours, linewidths=0))


def round_ticks(axis: Axis, most: int, largest: float | None = None) -> None:
    """Put ticks at round values, none beyond the largest value of the data where that is given."""
    locator = MaxNLocator(most, steps=[1, 2, 5, 10])
    axis.set_major_locator(locator)
    if largest is not None:
        axis.set_ticks([tick for tick in locator.tick_values(0, largest) if 0 <= tick <= largest])


def _columns(ax: Axes, labels: Sequence[str]) -> int:
    """Return how many labels of a key stand beside each other, as many as the axes are wide."""
    room = _width(ax)
    for columns in range(len(labels), 1, -1):
        widest = (max(len(label) for label in labels[i::columns]) for i in range(columns))
        if sum(4.7 * width + 23 for width in widest) < room:
            return columns
    return 1


def _by_rows(parts: Sequence[tuple[str, str]], columns: int) -> list[tuple[str, str]]:
    """Reorder so that a legend, which fills its columns first, reads along its rows."""
    return [part for column in range(columns) for part in parts[column::columns]]


def _wrapped(width: float, text: str, size: float) -> str:
    letters = int(width / (size * _CHARACTER))
    lines = textwrap.wrap(_UNIT.sub(_GLUE, text), max(24, letters))
    return "\n".join(lines).replace(_GLUE, " ")


def _width(ax: Axes) -> float:
    """Return how wide axes are, in points, once all that is written around them has its room."""
    figure = ax.figure.canvas.figure
    layout = figure.get_layout_engine()
    if isinstance(layout, OneRow):
        return layout.width(ax)
    if layout is not None:
        layout.execute(figure)
    return ax.bbox.width / ax.figure.dpi * 72
