"""What a shootdown cost, split into the parts of its latency, by cause."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.figures import look, rows, scales
from pmsim.figures.choice import along_axes
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.parts import MARKS
from pmsim.figures.source import Tables, batches
from pmsim.figures.swept import Swept
from pmsim.simulation.tables.protocols import SILENT, told
from pmsim.simulation.tables.tally import is_dominated

PARTS: Final = (
    "queue_ps", "send_ps", "local_ps", "delivery_ps", "irqs_off_ps", "idle_exit_ps",
    "busy_handler_ps", "ride_ps", "entry_ps", "function_ps", "visit_ps", "frozen_ps", "resume_ps",
)  # fmt: skip
"""The parts of a shootdown's latency, as columns of the table, in the order of stacking."""

HARDWARE: Final = {
    "queue_ps": "server_ps", "function_ps": "service_ps", "delivery_ps": "round_trip_ps",
}  # fmt: skip
"""Parts that mean something else where the hardware told the others."""

_OWN: Final = {"queue_ps", "send_ps", "local_ps", "frozen_ps", "resume_ps"}
"""Those that an initiator has who waits for nobody."""

STACKED: Final = (*HARDWARE.values(), *PARTS)
"""Everything that is drawn, in the order of stacking."""

_SPOKEN: Final = {
    "server": "waiting for the interconnect",
    "service": "invalidating on the interconnect",
    "round_trip": "the round trip of the barrier",
    "queue": "csd enqueue at every target",
    "send": "sending the interrupts",
    "local": "the initiator's own flush",
    "delivery": "the interrupt's flight to the slowest CPU",
    "irqs_off": "waiting for a CPU with interrupts off",
    "idle_exit": "waking an idle CPU",
    "busy_handler": "waiting behind another handler",
    "frozen": "waiting for virtual CPUs that do not run",
    "ride": "waiting for another call's interrupt",
    "entry": "IRQ entry at the slowest CPU",
    "function": "the flush on the slowest CPU",
    "visit": "visiting every csd lock",
    "resume": "handlers that delay the initiator",
}
_MOST_ROWS: Final = 12
_SMALLEST_PART, _SMALLEST_NARROW = 0.002, 0.01
"""Parts of the longest row from which on a part is named, on a screen and in a narrow figure."""


@drawn_from("a result", "a sweep")
def flush_cost(result: Tables | Swept, *, ax: Axes | None = None) -> Axes:
    """Draw the mean latency of shootdowns, by cause and kind, as a sum of its parts.

    The waiting parts are those of the CPU on the critical path, the one that answered last. Of a
    sweep it draws the mean latency along its axes; what each axis does to it, where there are more
    than two.

    Parameters
    ----------
    result
        A result of `pmsim.run`, or a sweep.
    ax
        Axes to draw on; a figure of its own where not given.

    Returns
    -------
    Axes
        The axes drawn on.
    """
    if isinstance(result, Swept):
        return along_axes(result, "latency_mean_ps", ax)
    causes = mean_parts(result)
    with look.drawing(ax, size(causes)) as axes:
        return draw(causes, axes)


def mean_parts(result: Tables) -> pd.DataFrame:
    """Average the parts of the shootdowns' latency.

    Returns
    -------
    DataFrame
        One row per cause, kind and protocol, those that took most time in total first: ``cause,
        kind, protocol, count, targets`` (the mean), everything `STACKED` (means),
        ``latency_ps``, their sum, and ``slowest_ps``, the longest latency.
    """
    keys = ["cause", "kind", "protocol"]
    numbers = ["targets", *STACKED]
    sums: pd.DataFrame | None = None
    slowest: pd.Series[Any] = pd.Series(dtype=float)
    for frame in batches(result, "crosscalls", [*keys, "targets", *PARTS]):
        told = _by_meaning(frame.astype(dict.fromkeys(keys, str)))
        told = told.assign(count=1, slowest=frame[list(PARTS)].sum(axis=1))
        groups = told.groupby(keys)
        grouped, longest = groups[["count", *numbers]].sum(), groups["slowest"].max()
        sums = grouped if sums is None else sums.add(grouped, fill_value=0)
        slowest = longest if slowest.empty else slowest.combine(longest, max, fill_value=0)
    if sums is None or sums.empty:
        return pd.DataFrame(columns=[*keys, "count", *numbers, "latency_ps", "slowest_ps"])
    sums = sums.astype(float)
    means = sums[numbers].div(sums["count"], axis=0)
    means.insert(0, "count", sums["count"].astype(int))
    means["latency_ps"] = means[list(STACKED)].sum(axis=1)
    means["slowest_ps"] = slowest.astype(float)
    total = means["latency_ps"] * means["count"]
    return means.loc[total.sort_values(ascending=False, kind="stable").index].reset_index()


def _by_meaning(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the parts of TLB broadcasts columns of their own."""
    by_hardware = frame["protocol"].isin(SILENT)
    own = {ours: frame[part].where(by_hardware, 0) for part, ours in HARDWARE.items()}
    others = {part: frame[part].where(~by_hardware, 0) for part in HARDWARE}
    return frame.assign(**own, **others)


def says(causes: pd.DataFrame) -> bool:
    """Return whether there was a shootdown."""
    return not causes.empty


def size(causes: pd.DataFrame) -> tuple[float, float]:
    """Return the width and height, in inches, that so many rows need."""
    return 9.0, 2.2 + 0.36 * max(min(len(causes), _MOST_ROWS), 2)


def draw(causes: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the means on axes, of the first causes where there is no room for all."""
    if causes.empty:
        return look.nothing(ax, "There was no shootdown", "No CPU had to be told anything.")
    longest = max(float(causes.head(_MOST_ROWS)["latency_ps"].max()), 1.0)
    least = (_SMALLEST_NARROW if current().narrow else _SMALLEST_PART) * longest
    seen = [part for part in STACKED if causes.head(_MOST_ROWS)[part].max() > least]
    marks = [_mark(part) for part in seen]
    lines = look.key_lines(ax, marks) if current().narrow else 0
    shown = causes.head(current().rows(_MOST_ROWS, lines))
    places, left = rows.middles(len(shown)), np.zeros(len(shown))
    for part in STACKED:
        width = shown[part].to_numpy(dtype=float)
        ax.barh(places, width, left=left, height=rows.height(), label=part, **_mark(part).area)
        left += width
    records = shown.to_dict("records")
    told = [_times(row) for row in records]
    rows.name(ax, [_row(row) for row in records], told)
    if not current().narrow:
        for place, text in enumerate(told):
            ax.text(left[place] + 0.008 * longest, place, text, va="center")
    ax.set_xlim(0, longest * (1.02 if current().narrow else 1.25))
    scales.round_ticks(ax.xaxis, 5 if current().narrow else 9, longest)
    scales.time_axis(ax.xaxis, longest, "mean time from the call to its return")
    room = look.key(ax, marks)
    look.say(ax, message(causes), _detail(causes, len(shown)), room)
    return ax


def message(causes: pd.DataFrame) -> str:
    """Return the sentence on top: the mean latency of all calls, and its largest part."""
    count = causes["count"].to_numpy(dtype=float)
    mean = float((causes["latency_ps"] * count).sum() / count.sum())
    if mean == 0:
        return "Shootdowns took no time"
    sums = {part: float((causes[part] * count).sum()) for part in STACKED}
    part = max(sums, key=lambda name: sums[name])
    share = sums[part] / sum(sums.values())
    what = "The only shootdown took" if count.sum() == 1 else "A shootdown takes"
    average = "" if count.sum() == 1 else " on average"
    said, of = f"{what} {formatting.time(mean)}{average}", "it"
    slowest = float(causes["slowest_ps"].max())
    if is_dominated(int(count.sum()), mean * count.sum(), slowest):
        others = formatting.counted(int(count.sum()) - 1, "other")
        said = f"One shootdown took {formatting.time(slowest)}, as long as the {others} together"
        of = "all"
    return f"{said}; {formatting.share(share)} of {of} is {_SPOKEN[part.removesuffix('_ps')]}"


def _row(row: Mapping[Hashable, Any]) -> str:
    """Name a row; that it was an IPI call goes without saying."""
    way = f" · {row['protocol']}" if told(row["protocol"]) else ""
    return f"{row['cause']} · {row['kind']}{way}"


def _times(row: Mapping[Hashable, Any]) -> str:
    """Say how many shootdowns a row stands for, and what one of them takes."""
    count, mean, slowest = int(row["count"]), row["latency_ps"], row["slowest_ps"]
    if is_dominated(count, mean * count, slowest):
        return f"{formatting.count(count)}, one {formatting.time(slowest)}"
    return f"{formatting.count(count)} × {formatting.time(mean)}"


def _mark(part: str) -> Mark:
    return MARKS[part.removesuffix("_ps")]


def _detail(causes: pd.DataFrame, shown: int) -> str:
    left_out = len(causes) - shown
    answering = causes[~causes["protocol"].isin(SILENT)]
    if answering.empty:
        waits = "Nobody has to answer."
    elif answering[list(set(PARTS) - _OWN)].to_numpy().any():
        waits = "Waits are those of the CPU that answered last."
    else:
        waits = "Nobody waits for answers."
    cheaper = f" {formatting.counted(left_out, 'cheaper row')} not shown." if left_out > 0 else ""
    return f"Rows: cause · kind. {waits}{cheaper}"
