"""How long shootdowns took: the share that took longer, with the quantiles that matter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pmsim import formatting
from pmsim.figures import look, scales
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.source import Tables, batches


@dataclass(frozen=True, slots=True)
class Words:
    """How the things are spoken of whose times are drawn: one of them, and what their time is."""

    one: str
    axis: str


_SHOOTDOWNS: Final = Words("shootdown", "latency: from the call to its return")

QUANTILES: Final = ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9"))
"""Quantiles that are marked, each where there are enough calls to know it."""

_MOST_POINTS: Final = 2000
_KINDS: Final = tuple(
    Mark("", colour, line=stroke)
    for colour, stroke in zip(
        (look.BLUE, look.ORANGE, look.PURPLE, look.BROWN, look.SAND), look.STROKES, strict=False
    )
)
_ALL: Final = Mark("all", look.INK, line="-")


@drawn_from("a result")
def latency_distribution(result: Tables, *, ax: Axes | None = None) -> Axes:
    """Draw which share of the shootdowns took longer than a time, both axes logarithmic.

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
    calls = latencies(result)
    with look.drawing(ax, size(calls)) as axes:
        return draw(calls, axes)


Latencies = dict[str, npt.NDArray[np.int64]]
"""The sorted latencies of the calls of each kind, in picoseconds."""


def latencies(result: Tables) -> Latencies:
    """Return the sorted latencies of the calls of each kind, the most frequent kind first."""
    pieces: dict[str, list[npt.NDArray[np.int64]]] = {}
    for frame in batches(result, "crosscalls", ["kind", "start_ps", "end_ps"]):
        latency = (frame["end_ps"] - frame["start_ps"]).to_numpy(dtype=np.int64)
        for kind, places in frame.groupby(frame["kind"].astype(str)).indices.items():
            pieces.setdefault(str(kind), []).append(latency[places])
    calls = {kind: np.sort(np.concatenate(parts)) for kind, parts in pieces.items()}
    return dict(sorted(calls.items(), key=lambda item: -len(item[1])))


def known_quantiles(calls: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Return the `QUANTILES` that so many calls can tell.

    A quantile needs at least one call beyond it: p99 needs 100 calls, p99.9 a thousand.

    Returns
    -------
    DataFrame
        ``share`` (of the calls beyond it), ``name`` and ``latency_ps``: the smallest latency that
        occurred and that at least that part of the calls did not exceed.
    """
    rows = [
        (1 - q, name, int(np.quantile(calls, q, method="inverted_cdf")))
        for q, name in QUANTILES
        if len(calls) * (1 - q) >= 1 - 1e-9
    ]
    return pd.DataFrame(rows, columns=["share", "name", "latency_ps"])


def says(calls: Latencies) -> bool:
    """Return whether latencies differ: it takes no picture to say that all were the same."""
    return len({int(some[place]) for some in calls.values() for place in (0, -1)}) > 1


def size(_calls: Latencies) -> tuple[float, float]:
    """Return the width and height of the figure, in inches."""
    return 7.5, 4.6


def draw(calls: Latencies, ax: Axes) -> Axes:
    """Draw the distribution on axes."""
    if not calls:
        return look.nothing(ax, "There was no shootdown", "No CPU had to be told anything.")
    return draw_tails(calls, ax, _SHOOTDOWNS)


def draw_tails(calls: Latencies, ax: Axes, words: Words) -> Axes:
    """Draw the share of things that took longer than a time, a curve for each kind and for all."""
    everything = np.sort(np.concatenate(list(calls.values())))
    if len(calls) > 1:
        for (kind, some), mark in zip(calls.items(), _KINDS, strict=False):
            x, y = _tail(some)
            ax.step(x, y, where="post", color=mark.colour, linestyle=mark.line, label=kind)
    x, y = _tail(everything)
    thick = 1.4 * mpl.rcParams["lines.linewidth"]
    ax.step(x, y, where="post", color=_ALL.colour, linewidth=thick, label="all", zorder=1.9)
    _axes(ax, everything, words)
    marks = known_quantiles(everything)
    _mark(ax, marks)
    room = look.key(ax, _key(calls))
    look.say(ax, message(everything, marks, words), _detail(everything, words), room)
    return ax


def message(calls: npt.NDArray[np.int64], marks: pd.DataFrame, words: Words) -> str:
    """Return the sentence on top: the middle of the distribution and the end of its tail."""
    if len(calls) == 1:
        return f"The only {words.one} took {formatting.time(calls[0])}"
    if calls[0] == calls[-1]:
        every = formatting.counted(len(calls), words.one)
        return f"All {every} took {formatting.time(calls[0])} each"
    middle, last = marks.iloc[0], marks.iloc[-1]
    text = f"Half of the {words.one}s take at most {formatting.time(middle['latency_ps'])}"
    same = formatting.time(middle["latency_ps"]) == formatting.time(last["latency_ps"])
    if len(marks) == 1 or same:
        return f"{text}; the slowest {formatting.time(calls[-1])}"
    # Many calls may have exactly that latency, so the share is counted, not taken from the name.
    share = float((calls >= last["latency_ps"]).mean())
    return f"{text}; {formatting.share(share)} take {formatting.time(last['latency_ps'])} or more"


def _detail(calls: npt.NDArray[np.int64], words: Words) -> str:
    every = formatting.counted(len(calls), words.one)
    text = f"{every}; the slowest took {formatting.time(calls[-1])}."
    for share, name in ((1 - q, name) for q, name in QUANTILES[1:]):
        if len(calls) * share < 1 - 1e-9:
            return f"{text} {name} needs at least {formatting.count(round(1 / share))}."
    return text


def _key(calls: Latencies) -> list[Mark]:
    if len(calls) == 1:
        return []
    named = [
        mark._replace(label=f"{kind} ({formatting.count(len(some))})")
        for (kind, some), mark in zip(calls.items(), _KINDS, strict=False)
    ]
    return [_ALL, *named]


def _tail(calls: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return times and the share of calls that took longer, thinned evenly along the curve.

    The last point, that no call exceeds, has no place on a logarithmic axis: the curve ends in
    half a call.
    """
    n = len(calls)
    values, first = np.unique(calls, return_index=True)
    beyond = np.append(n - first[1:], 0.5) / n
    if len(values) > _MOST_POINTS:
        ranks = np.geomspace(beyond[0], beyond[-1], _MOST_POINTS)
        keep = np.unique(np.searchsorted(-beyond, -ranks).clip(0, len(values) - 1))
        values, beyond = values[keep], beyond[keep]
    start = np.array([max(values[0] * 0.999, 0.5)])
    return np.concatenate([start, values]).astype(float), np.concatenate([[1.0], beyond])


def _mark(ax: Axes, marks: pd.DataFrame) -> None:
    """Mark quantiles on the curve, and write them right of the axes, at their heights."""
    for mark in marks.to_dict("records"):
        x, y = float(mark["latency_ps"]), float(mark["share"])
        ax.plot(x, y, "o", color=look.RED, markersize=0.6 * current().text, zorder=4)
        ax.hlines(y, x, ax.get_xlim()[1], color=look.RED, linewidth=0.8, linestyle=":")
        ax.annotate(
            f"{mark['name']}\n{formatting.time(mark['latency_ps'])}",
            xy=(1, y),
            xycoords=ax.get_yaxis_transform(),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            color=look.RED,
            fontweight="bold",
            linespacing=1.0,
        )


def _axes(ax: Axes, calls: npt.NDArray[np.int64], words: Words) -> None:
    low, high = max(float(calls[0]), 1.0), max(float(calls[-1]), 1.0)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(low / 1.15, high * 1.15)
    ax.set_ylim(0.45 / len(calls), 1.25)
    scales.log_time_axis(ax.xaxis, words.axis)
    ax.yaxis.set_major_locator(LogLocator(base=10, numticks=12))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _place: formatting.tick_share(share)))
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylabel(f"share {'' if current().narrow else f'of {words.one}s '}that take longer")
    ax.grid(visible=True)
