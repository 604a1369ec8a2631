"""Shootdowns per second over time, and where the transient ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from pmsim import formatting
from pmsim.figures import look, scales
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.source import Tables
from pmsim.simulation.words.calm import come_every

_MOST_BINS: Final = 500
_FEWEST_BINS: Final = 16
_ENOUGH: Final = 8
"""Shootdowns that a bin should have: their number then says how often they come, not whether one
fell into it."""
_LOG_BEYOND: Final = 50.0
"""Ratio of the highest to the usual rate from which the axis is logarithmic."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Shootdowns per second over time.

    Attributes
    ----------
    edges_ps
        Where the intervals begin, and the last one's end.
    counts
        Shootdowns in each interval.
    transient_end_ps
        Where the transient ends; ``None`` where no steady part was found.
    steady_per_second
        Shootdowns per second after it.
    """

    edges_ps: npt.NDArray[np.int64]
    counts: npt.NDArray[np.int64]
    transient_end_ps: int | None
    steady_per_second: float
    verdict: str
    period_ps: int | None

    @property
    def per_second(self) -> npt.NDArray[np.float64]:
        """The rate in each interval."""
        return self.counts / (np.diff(self.edges_ps) / 1e12)

    @property
    def mean_per_second(self) -> float:
        """The rate of the whole run."""
        return float(self.counts.sum()) / float(self.edges_ps[-1] - self.edges_ps[0]) * 1e12


@drawn_from("a result")
def broadcast_timeline(result: Tables, *, ax: Axes | None = None) -> Axes:
    """Draw the rate of shootdowns over time, with the end of the transient marked.

    Parameters
    ----------
    result
        A result of `pmsim.run`.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.
    """
    found = rates(result)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def rates(result: Tables) -> Rates:
    """Take the rates from the timeline of the first replication.

    Bins fit the gaps between shootdowns, before and after the end of the transient for themselves.
    """
    table = result.timeline
    if len(table):
        table = table[table["replication"] == table["replication"].min()]
    table = table.sort_values("start_ps")
    starts = table["start_ps"].to_numpy(dtype=np.int64)
    counts = table["broadcasts"].to_numpy(dtype=np.int64)
    parts = result.summary.transients[0]
    split = 0 if parts.end_ps is None else int(np.searchsorted(starts, parts.end_ps))
    first = np.append(_bins(counts[:split]), split + _bins(counts[split:]))
    edges = np.append(starts[first], table["end_ps"].iloc[-1:].to_numpy(dtype=np.int64))
    counts = np.add.reduceat(counts, first) if len(counts) else counts
    if len(edges) > 2 and edges[-1] - edges[-2] < (edges[-2] - edges[-3]) / 2:
        # One shootdown in a rest of an interval would be a tower; the rest joins the one before.
        edges = np.delete(edges, -2)
        counts = np.append(counts[:-2], counts[-2:].sum())
    calm = result.summary.calm
    period = calm.period_ps if parts.verdict == calm.verdict else None
    return Rates(edges, counts, parts.end_ps, parts.per_s_after or 0.0, parts.verdict, period)


def _bins(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where bins begin, of as many intervals each as hold enough shootdowns."""
    intervals, total = len(counts), int(counts.sum())
    enough = -(-int(_ENOUGH * intervals) // total) if total else 1
    width = max(min(enough, intervals // _FEWEST_BINS), -(-intervals // _MOST_BINS), 1)
    return np.arange(0, intervals, width)


def says(found: Rates) -> bool:
    """Return whether shootdowns began in more than one interval: of one the table tells all."""
    return int(np.count_nonzero(found.counts)) > 1


def size(_found: Rates) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 9.0, 4.0


def draw(found: Rates, ax: Axes) -> Axes:
    """Draw the rates on axes."""
    if not len(found.counts) or not found.counts.any():
        return look.nothing(ax, "There was no shootdown", "No CPU had to be told anything.")
    rate = found.per_second
    floor = _scale(ax, found)
    ax.stairs(
        np.maximum(rate, floor), found.edges_ps, baseline=floor, fill=True, color=look.BLUE,
        alpha=0.75, linewidth=0,
    )  # fmt: skip
    ax.set_xlim(found.edges_ps[0], found.edges_ps[-1])
    ax.set_ylabel("shootdowns per second")
    ax.grid(visible=True, axis="y")
    scales.round_ticks(ax.xaxis, 4 if current().narrow else 8)
    scales.time_axis(ax.xaxis, float(found.edges_ps[-1]), "simulated time")
    look.say(ax, message(found), _detail(found), _mark_transient(ax, found))
    return ax


def message(found: Rates) -> str:
    """Return the sentence on top: when shootdowns calm down, and what rate stays."""
    end = found.transient_end_ps
    if end is None:
        rate = formatting.number(found.mean_per_second)
        few = found.verdict == "too_few"
        why = "too few to tell whether they calm down" if few else "still changing at the end"
        return f"{rate} shootdowns per second on average, {why}"
    if found.period_ps is not None:
        rate = formatting.number(found.steady_per_second)
        come = come_every(found.period_ps, found.steady_per_second)
        return f"{come}; {rate} per second on average"
    if end <= found.edges_ps[0]:
        rate = formatting.number(found.mean_per_second)
        return f"There is no transient: {rate} shootdowns per second from the start"
    if not found.steady_per_second:
        return f"The transient ends at {formatting.time(end)}; no shootdown comes after it"
    rate = formatting.number(found.steady_per_second)
    return f"The transient ends at {formatting.time(end)}; after it {rate} shootdowns per second"


def _detail(found: Rates) -> str:
    widths = np.diff(found.edges_ps)
    told = list(dict.fromkeys(formatting.time(float(one)) for one in (widths[0], widths[-2:][0])))
    length = formatting.time(found.edges_ps[-1] - found.edges_ps[0])
    calls = formatting.counted(int(found.counts.sum()), "shootdown")
    return f"{calls} in {length}, by intervals of {', then '.join(told)}."


def _scale(ax: Axes, found: Rates) -> float:
    """Choose the vertical scale, and return the rate at its bottom."""
    rate = found.per_second
    some = rate[rate > 0]
    top = float(some.max())
    usual = [float(np.median(some))] + [found.steady_per_second] * (found.steady_per_second > 0)
    if len(some) < 2 or top / min(usual) < _LOG_BEYOND:
        ax.set_ylim(0, top * 1.08)
        ax.yaxis.set_major_formatter(
            FuncFormatter(lambda value, _place: formatting.tick_count(value))
        )
        return 0.0
    floor = min(float(some.min()), *usual) / 3
    ax.set_yscale("log")
    ax.set_ylim(floor, top * (top / floor) ** 0.05)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: formatting.tick_count(value)))
    ax.yaxis.set_minor_formatter(NullFormatter())
    return floor


def _mark_transient(ax: Axes, found: Rates) -> float:
    """Mark the end of the transient, and the mean rate after it; both are named beside the axes.

    Returns
    -------
    float
        The room that is taken above the axes, in points.
    """
    end, stop = found.transient_end_ps, int(found.edges_ps[-1])
    _name_mean(ax, found)
    if end is None or not found.edges_ps[0] < end < stop:
        return 0.0
    ax.axvspan(float(found.edges_ps[0]), end, color=look.ORANGE, alpha=0.18, linewidth=0, zorder=0)
    ax.axvline(end, color=look.RED)
    late = end > found.edges_ps[0] + 0.5 * (stop - found.edges_ps[0])
    ax.annotate(
        f"transient ends: {formatting.time(end)}",
        xy=(end, 1),
        xycoords=ax.get_xaxis_transform(),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right" if late else "left",
        va="bottom",
        color=look.RED,
        fontweight="bold",
        annotation_clip=False,
    )
    return current().line + 2


def _name_mean(ax: Axes, found: Rates) -> None:
    """Draw the mean rate of what comes after the transient, or of all where none ends."""
    end, stop = found.transient_end_ps, int(found.edges_ps[-1])
    rate = found.mean_per_second if end is None else found.steady_per_second
    if not rate or (end is not None and end >= stop):
        return
    begin = max(end or 0, int(found.edges_ps[0]))
    ax.hlines(rate, begin, stop, color=look.INK, linestyle=(0, (4, 2)))
    ax.annotate(
        f"mean\n{formatting.rate(rate)}",
        xy=(1, rate),
        xycoords=ax.get_yaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        fontweight="bold",
        linespacing=1.0,
        annotation_clip=False,
    )
