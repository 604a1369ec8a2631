"""Cells of a calibration: measured against what the fitted constants make of them."""

from __future__ import annotations

from typing import Final

import pandas as pd
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.figures import diagonal, look
from pmsim.figures.form import current
from pmsim.figures.gallery import Drawing
from pmsim.figures.panels import Panel
from pmsim.units import NS

CALLS: Final = diagonal.marks(
    {
        "mprotect": (look.BLUE, "o"),
        "madvise": (look.ORANGE, "s"),
        "munmap": (look.PURPLE, "^"),
        "munmap_tables": (look.RED, "v"),
        "membarrier": (look.VERMILION, "D"),
    }
)
"""Colour and marker of each call, told apart by either."""
NEAR: Final = 1.15
FACTOR: Final = 1.5


def measured_against_fitted(points: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Draw the cells of a calibration: what they were measured to take, and what the fit says.

    Parameters
    ----------
    points
        The points of a `pmsim.Calibration`.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.
    """
    found = drawn(points)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def calibration_drawing(points: pd.DataFrame, name: str) -> Drawing:
    """Return the figure of a calibration, ready to be drawn into a file of that name."""
    panel = Panel(drawn, size, draw)
    return Drawing(name, ((panel, panel.take(points)),))


def drawn(points: pd.DataFrame) -> pd.DataFrame:
    """Take the cells that count."""
    return points[points["predicted_ns"].notna()]


def size(_found: pd.DataFrame) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 7.2, 6.4


def draw(found: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the cells on axes."""
    if found.empty:
        return look.nothing(ax, "Measured against fitted", "No cell counts.")
    times = found[["measured_ns", "predicted_ns"]].to_numpy(float) * NS
    low, high = float(times.min()) / 2, float(times.max()) * 2
    diagonal.bands(ax, low, high, NEAR, FACTOR)
    for call, mark in CALLS.items():
        for held_out in (False, True):
            rows = found[(found["call"] == call) & (found["held_out"] == held_out)]
            ax.plot(
                rows["measured_ns"] * NS, rows["predicted_ns"] * NS, linestyle="none",
                marker=mark.dot, color=mark.colour, markersize=0.7 * current().text,
                markeredgewidth=1.2, markeredgecolor=mark.colour,
                markerfacecolor=look.PAPER if held_out else mark.colour,
            )  # fmt: skip
    diagonal.scale(ax, low, high, "measured", "simulated with fitted constants")
    here = [call for call in CALLS if (found["call"] == call).any()]
    room = look.key(ax, [CALLS[call] for call in here])
    look.say(ax, message(found), detail(found), room)
    return ax


def message(found: pd.DataFrame) -> str:
    """Return the sentence on top."""
    held = found.loc[found["held_out"], "error"].abs()
    if held.empty:
        return f"{formatting.counted(len(found), 'cell')}, none of them held out"
    half, near = float(held.median()), int((held <= NEAR - 1).sum())
    return (
        f"Half of {len(held)} held-out cells are met within {formatting.share(half)}, {near} within"
        " 15 %"
    )


def detail(found: pd.DataFrame) -> str:
    """Return the quieter line below it."""
    fitted = int((~found["held_out"]).sum())
    return (
        f"Open: held out; filled: {formatting.counted(fitted, 'cell')} that"
        f" {'was' if fitted == 1 else 'were'} fitted. Dark band: within 15 %; light: within 50 %."
    )
