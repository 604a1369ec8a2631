"""How all figures look: light paper, the petroff colours, the message on top.

Colours are Matthew Petroff's ten of *Accessible Color Sequences for Data Visualization* (2021,
arXiv:2107.02270), which people with the common colour vision deficiencies can tell apart. They are
listed here because Matplotlib ships them only from 3.10 on. What has to be told apart in print,
where two of them may be one grey, differs in lightness, in hatching, or in the stroke of its line.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import PolyCollection
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, NullFormatter

from pmsim.figures.form import POINTS, current, formed, on_axes
from pmsim.figures.layout import PAD, OneRow

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
    "axes.prop_cycle": cycler(color=PETROFF),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "figure.dpi": 110,
    "figure.facecolor": PAPER,
    "font.family": "DejaVu Sans",
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.7,
    "pdf.fonttype": 42,  # letters stay letters, and their face is in the file
    "ps.fonttype": 42,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "xtick.color": FAINT,
    "xtick.labelcolor": INK,
    "ytick.color": FAINT,
    "ytick.labelcolor": INK,
}
MONOSPACE: Final = "DejaVu Sans Mono"
"""The face of names that come from the kernel."""

# A number and its unit stay on one line.
_UNIT: Final = re.compile(r"(?<=\d) (?=(?:ps|ns|µs|ms|s|%|million|×)(?!\w))")
_GLUE: Final = "\N{NO-BREAK SPACE}"

# Width of an average bold character, in parts of the font size (measured on DejaVu Sans).
_CHARACTER: Final = 0.6
_PLAIN: Final = 0.56
"""The same of one that is not bold."""
_LEADING: Final = 1.25
"""From line to line of a message, in parts of its size."""
_UNEVEN: Final = 6
"""Letters by which the first line of an axis's name may be longer than half of it."""
_TRIES: Final = 3


class Mark(NamedTuple):
    """How a thing is drawn, and what it is called: its colour, and what tells it from its grey.

    Attributes
    ----------
    label
        What the key calls it.
    colour, hatch
        Of areas.
    line, dot
        The stroke of a line, and the marker of a point, where it is no area.
    """

    label: str
    colour: str
    hatch: str = ""
    line: Any = ""
    dot: str = ""

    @property
    def area(self) -> dict[str, Any]:
        """How Matplotlib draws an area of it."""
        red, green, blue = to_rgb(self.colour)
        light = 0.3 * red + 0.59 * green + 0.11 * blue > _LIGHT
        strokes = to_hex((0.5 * red, 0.5 * green, 0.5 * blue)) if light else PAPER
        return {
            "facecolor": self.colour, "edgecolor": strokes, "hatch": self.hatch, "linewidth": 0.0,
        }  # fmt: skip


_LIGHT: Final = 0.6
"""Lightness from which white strokes would not be seen on a colour."""
STROKES: Final = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (1, 2)))
"""Strokes of lines that stand for different things."""


@contextmanager
def themed() -> Iterator[None]:
    """Give a context in which new artists take the style of the project."""
    settings: Any = {**STYLE, **current().settings}
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
        Axes to draw on, on which no message is put; ``None`` makes a figure of its own, which
        notebooks then show.
    size
        Width and height of that figure, in inches, where it has the form of a screen.
    """
    with formed(current() if ax is None else on_axes(ax)), themed():
        if ax is None:
            from matplotlib import pyplot as plt

            ax = plt.figure(figsize=current().fit(size), layout=OneRow()).add_subplot()
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


def say(ax: Axes, message: str, detail: str = "", below: float = 0.0) -> None:
    """Put the message above the axes, and a quieter line of detail below it.

    Both together are the axes' label (``ax.get_label()``), a caption: somebody's own axes get no
    more than that, and where there is little room the detail stands there alone.

    Parameters
    ----------
    message
        What the figure shows, one sentence; broken into lines where it is long.
    detail
        What is drawn and of how many things.
    below
        Points to leave free between the text and the axes, for a `key`.
    """
    form = current()
    ax.set_label(f"{message}. {detail}".strip())
    if not form.headed:
        return
    quiet = "" if form.narrow else _wrapped(room(ax), detail, form.text * _PLAIN)
    lines = quiet.count("\n") + 1 if quiet else 0
    above = (5 if form.narrow else 8) + below + 1.4 * form.text * lines
    wrapped = _wrapped(room(ax), message, form.title * _CHARACTER)
    _break_name(ax, above + _LEADING * form.title * (wrapped.count("\n") + 1))
    title = ax.set_title(wrapped, loc="left", pad=above, linespacing=_LEADING)
    _fit(ax, title, message)
    title.set_x(_left(ax))
    layout = ax.figure.canvas.figure.get_layout_engine()
    if isinstance(layout, OneRow):
        layout.headed(ax, title)
    if quiet:
        ax.annotate(
            quiet,
            xy=(0, 1),
            xycoords="axes fraction",
            xytext=(0, 6 + below),
            textcoords="offset points",
            color=FAINT,
            va="bottom",
            linespacing=1.25,
        )


def _fit(ax: Axes, title: Text, message: str) -> None:
    """Break a message anew where its letters are wider than the average, and it is cut."""
    figure: Any = ax.figure.canvas.figure
    across, letter = room(ax), current().title * _CHARACTER
    for _ in range(_TRIES):
        wide = title.get_window_extent(figure._get_renderer()).width / figure.dpi * POINTS
        if wide <= across:
            return
        letter *= max(1.02, wide / across)
        title.set_text(_wrapped(across, message, letter))


def _break_name(ax: Axes, above: float) -> None:
    """Break the vertical axis's name into lines where it is longer than the axes are high.

    Parameters
    ----------
    above
        How much stands above the axes, in points.
    """
    figure, name = ax.figure.canvas.figure, ax.yaxis.label
    layout = figure.get_layout_engine()
    if not isinstance(layout, OneRow):
        return
    high = (figure.get_size_inches()[1] - 2 * PAD - layout.below(ax)) * POINTS - above
    letters = max(12, int(high / (_PLAIN * current().text)))
    text = name.get_text()
    lines = -(-len(text) // letters)
    if lines > 1:
        even = min(letters, len(text) // lines + _UNEVEN)
        name.set_text(textwrap.fill(text, even))
        layout.forget(ax)  # it takes more of the width now


def key(ax: Axes, marks: Sequence[Mark]) -> float:
    """Name what is drawn in lines above the axes, in the order of stacking.

    Returns
    -------
    float
        The room it takes above the axes, in points: to be given to `say`.
    """
    if not marks:
        return 0.0
    form = current()
    columns = _columns(ax, [mark.label for mark in marks])
    ax.legend(
        handles=[_handle(mark) for mark in _by_rows(marks, columns)],
        ncols=columns,
        loc="lower left",
        bbox_to_anchor=(_left(ax), 1.0),
        frameon=False,
        borderaxespad=0.0,
        borderpad=0.25,
        handlelength=_handle_length(marks),
        handleheight=0.9,
        handletextpad=0.4,
        columnspacing=1.1,
        labelspacing=0.3,
    )
    return (1.55 + 1.25 * (key_lines(ax, marks) - 1)) * form.text


def key_lines(ax: Axes, marks: Sequence[Mark]) -> int:
    """Return how many lines a key of some marks has."""
    return -(-len(marks) // _columns(ax, [mark.label for mark in marks]))


def _handle(mark: Mark) -> Patch | Line2D:
    if mark.line or mark.dot:
        return Line2D(
            [], [], color=mark.colour, linestyle=mark.line or "none", marker=mark.dot or "none",
            markersize=0.5 * current().text, label=mark.label,
        )  # fmt: skip
    return Patch(label=mark.label, **mark.area)


def _handle_length(marks: Sequence[Mark]) -> float:
    """Return the length of what stands beside the words of a key, in parts of their size."""
    return 2.2 if any(mark.line for mark in marks) else 1.2


def part_of(ax: Axes, text: str) -> float:
    """Return how wide a text will be, as a part of the axes' width."""
    part = _PLAIN * current().text * len(text) / width(ax)
    layout = ax.figure.canvas.figure.get_layout_engine()
    if isinstance(layout, OneRow):
        layout.forget(ax)  # what is written around them is still to come
    return part


def fit_labels(ax: Axes) -> None:
    """Slant the labels below the axes where they do not fit beside each other."""
    labels = ax.get_xticklabels()
    longest = max((len(label.get_text()) for label in labels), default=0)
    if longest * current().text * _CHARACTER * len(labels) > width(ax):
        for label in labels:
            label.set(rotation=30, ha="right", rotation_mode="anchor")
    layout = ax.figure.canvas.figure.get_layout_engine()
    if isinstance(layout, OneRow):
        layout.forget(ax)  # other axes' labels and the names of lines are still to come


def nothing(ax: Axes, message: str, reason: str) -> Axes:
    """Say on empty axes that there is nothing to draw, and why."""
    ax.set_axis_off()
    say(ax, message)
    ax.text(0.5, 0.5, reason, ha="center", va="center", transform=ax.transAxes, color=FAINT)
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


def bars(ax: Axes, stretches: Sequence[tuple[float, float, float, float]], mark: Mark) -> None:
    """Draw many bars as one artist, which costs a fiftieth of as many bars of Matplotlib's.

    Parameters
    ----------
    stretches
        Of each bar its left and right end, and its middle and height, on the axes' scales.
    mark
        How they look.
    """
    if not len(stretches):
        return
    left, right, middle, height = np.asarray(stretches, dtype=float).T
    low, high = middle - height / 2, middle + height / 2
    corners = np.stack([[left, low], [right, low], [right, high], [left, high]]).transpose(2, 0, 1)
    ax.add_collection(PolyCollection(list(corners), **mark.area))


def _columns(ax: Axes, labels: Sequence[str]) -> int:
    """Return how many labels of a key stand beside each other, as many as the axes are wide."""
    most, size = room(ax), current().text
    for columns in range(len(labels), 1, -1):
        widest = (max(len(label) for label in labels[i::columns]) for i in range(columns))
        if sum((_PLAIN * letters + 2.8) * size for letters in widest) < most:
            return columns
    return 1


def _by_rows(marks: Sequence[Mark], columns: int) -> list[Mark]:
    """Reorder so that a legend, which fills its columns first, reads along its rows."""
    return [mark for column in range(columns) for mark in marks[column::columns]]


def _wrapped(width: float, text: str, letter: float) -> str:
    """Break text into lines, of letters that are so wide."""
    lines = textwrap.wrap(_UNIT.sub(_GLUE, text), max(24, int(width / letter)))
    return "\n".join(lines).replace(_GLUE, " ")


def room(ax: Axes) -> float:
    """Return how wide that may be, in points, which stands above the axes.

    In a narrow figure it begins at the figure's edge, above the names of what is drawn.
    """
    figure = ax.figure.canvas.figure
    if current().narrow and isinstance(figure.get_layout_engine(), OneRow):
        return (float(figure.get_size_inches()[0]) - 2 * PAD) * POINTS
    return width(ax)


def _left(ax: Axes) -> float:
    """Return where that begins, as a part of the axes' width."""
    layout = ax.figure.canvas.figure.get_layout_engine()
    if not isinstance(layout, OneRow) or not current().narrow:
        return 0.0
    return -layout.left(ax) * POINTS / width(ax)


def width(ax: Axes) -> float:
    """Return how wide axes are, in points, once all that is written around them has its room."""
    figure = ax.figure.canvas.figure
    layout = figure.get_layout_engine()
    if isinstance(layout, OneRow):
        return layout.width(ax)
    if layout is not None:
        layout.execute(figure)
    return ax.bbox.width / ax.figure.dpi * 72
