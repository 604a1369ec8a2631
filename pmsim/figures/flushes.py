"""What a shootdown cost, split into the parts of its latency, by cause."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.figures import look
from pmsim.figures.choice import along_axes
from pmsim.figures.given import drawn_from
from pmsim.figures.source import Tables, batches
from pmsim.figures.swept import Swept
from pmsim.simulation.tables.protocols import SILENT, TOLD

PARTS: Final = (
    "queue_ps", "send_ps", "local_ps", "delivery_ps", "irqs_off_ps", "idle_exit_ps",
    "busy_handler_ps", "ride_ps", "entry_ps", "function_ps", "visit_ps", "resume_ps",
)  # fmt: skip
"""The parts of a shootdown's latency, as columns of the table, in the order of stacking."""

HARDWARE: Final = {
    "queue_ps": "server_ps", "function_ps": "service_ps", "delivery_ps": "round_trip_ps",
}  # fmt: skip
"""Parts that mean something else where the hardware told the others."""

STACKED: Final = (*HARDWARE.values(), *PARTS)
"""Everything that is drawn, in the order of stacking."""

_SPOKEN: Final = {
    "server_ps": ("interconnect busy", look.ORANGE, "waiting for the interconnect"),
    "service_ps": ("invalidating", look.BROWN, "invalidating on the interconnect"),
    "round_trip_ps": ("round trip", look.GREY, "the round trip of the barrier"),
    "queue_ps": ("csd enqueue", look.BLUE, "csd enqueue at every target"),
    "send_ps": ("send", look.CYAN, "sending the interrupts"),
    "local_ps": ("own flush", "#d8c4bd", "the initiator's own flush"),
    "delivery_ps": ("in flight", look.GREY, "the interrupt's flight to the slowest CPU"),
    "irqs_off_ps": ("interrupts off", look.RED, "waiting for a CPU with interrupts off"),
    "idle_exit_ps": ("idle exit", look.VERMILION, "waking an idle CPU"),
    "busy_handler_ps": ("busy handler", look.ORANGE, "waiting behind another handler"),
    "ride_ps": ("coalesced", look.SAND, "waiting for another call's interrupt"),
    "entry_ps": ("IRQ entry", look.PURPLE, "IRQ entry at the slowest CPU"),
    "function_ps": ("function", look.BROWN, "the flush on the slowest CPU"),
    "visit_ps": ("visit", look.SLATE, "visiting every csd lock"),
    "resume_ps": ("resume", "#c9cbd1", "handlers that delay the initiator"),
}
_MOST_ROWS: Final = 12
_SMALLEST_PART: Final = 0.002


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
    rows = mean_parts(result)
    with look.drawing(ax, size(rows)) as axes:
        return draw(rows, axes)


def mean_parts(result: Tables) -> pd.DataFrame:
    """Average the parts of the shootdowns' latency.

    Returns
    -------
    DataFrame
        One row per cause, kind and protocol, those that took most time in total first: ``cause,
        kind, protocol, count, targets`` (the mean), everything `STACKED` (means) and
        ``latency_ps``, their sum.
    """
    keys = ["cause", "kind", "protocol"]
    numbers = ["targets", *STACKED]
    sums: pd.DataFrame | None = None
    for frame in batches(result, "crosscalls", [*keys, "targets", *PARTS]):
        told = _by_meaning(frame.astype(dict.fromkeys(keys, str)))
        grouped = told.assign(count=1).groupby(keys)[["count", *numbers]].sum()
        sums = grouped if sums is None else sums.add(grouped, fill_value=0)
    if sums is None or sums.empty:
        return pd.DataFrame(columns=[*keys, "count", *numbers, "latency_ps"])
    sums = sums.astype(float)
    means = sums[numbers].div(sums["count"], axis=0)
    means.insert(0, "count", sums["count"].astype(int))
    means["latency_ps"] = means[list(STACKED)].sum(axis=1)
    total = means["latency_ps"] * means["count"]
    return means.loc[total.sort_values(ascending=False, kind="stable").index].reset_index()


def _by_meaning(frame: pd.DataFrame) -> pd.DataFrame:
    """Give the parts of TLB broadcasts columns of their own."""
    by_hardware = frame["protocol"].isin(SILENT)
    own = {ours: frame[part].where(by_hardware, 0) for part, ours in HARDWARE.items()}
    others = {part: frame[part].where(~by_hardware, 0) for part in HARDWARE}
    return frame.assign(**own, **others)


def says(rows: pd.DataFrame) -> bool:
    """Return whether there was a shootdown."""
    return not rows.empty


def size(rows: pd.DataFrame) -> tuple[float, float]:
    """Return the width and height, in inches, that so many rows need."""
    return 9.0, 2.2 + 0.36 * max(min(len(rows), _MOST_ROWS), 2)


def draw(rows: pd.DataFrame, ax: Axes) -> Axes:
    """Draw the means on axes."""
    if rows.empty:
        return look.nothing(ax, "There was no shootdown", "No CPU had to be told anything.")
    shown = rows.head(_MOST_ROWS)
    longest = max(float(shown["latency_ps"].max()), 1.0)
    left = np.zeros(len(shown))
    for part in STACKED:
        width = shown[part].to_numpy(dtype=float)
        ax.barh(range(len(shown)), width, left=left, height=0.7, color=_SPOKEN[part][1], label=part)
        left += width
    records = shown.to_dict("records")
    for place, row in enumerate(records):
        text = f"{formatting.count(row['count'])} × {formatting.time(row['latency_ps'])}"
        ax.text(left[place] + 0.008 * longest, place, text, va="center", fontsize=8.5)
    ax.set_yticks(range(len(shown)), [_row(row) for row in records])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    ax.spines["left"].set_visible(False)
    ax.set_xlim(0, longest * 1.25)
    look.round_ticks(ax.xaxis, 9, longest)
    look.time_axis(ax.xaxis, longest, "mean time from the call to its return")
    visible = [part for part in STACKED if shown[part].max() > _SMALLEST_PART * longest]
    room = look.key(ax, [_SPOKEN[part][:2] for part in visible])
    look.say(ax, message(rows), _detail(rows), room)
    return ax


def message(rows: pd.DataFrame) -> str:
    """Return the sentence on top: the mean latency of all calls, and its largest part."""
    count = rows["count"].to_numpy(dtype=float)
    mean = float((rows["latency_ps"] * count).sum() / count.sum())
    if mean == 0:
        return "Shootdowns took no time"
    sums = {part: float((rows[part] * count).sum()) for part in STACKED}
    part = max(sums, key=lambda name: sums[name])
    share = sums[part] / sum(sums.values())
    what = "The only shootdown took" if count.sum() == 1 else "A shootdown takes"
    average = "" if count.sum() == 1 else " on average"
    said = f"{what} {formatting.time(mean)}{average}"
    return f"{said}; {formatting.share(share)} of it is {_SPOKEN[part][2]}"


def _row(row: Mapping[Hashable, Any]) -> str:
    """Name a row; that it was an IPI call goes without saying."""
    told = f" · {row['protocol']}" if row["protocol"] in TOLD else ""
    return f"{row['cause']} · {row['kind']}{told}"


def _detail(rows: pd.DataFrame) -> str:
    left_out = len(rows) - _MOST_ROWS
    answering = (~rows["protocol"].isin(SILENT)).any()
    waits = (
        "Waits are those of the CPU that answered last." if answering else "Nobody has to answer."
    )
    cheaper = f" {formatting.counted(left_out, 'cheaper row')} not shown." if left_out > 0 else ""
    return f"Rows: cause · kind. {waits}{cheaper}"
