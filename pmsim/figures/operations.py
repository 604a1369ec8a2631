"""What each kernel operation cost, and where its time went: a call tree of stacked bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pmsim import formatting
from pmsim.figures import look, rows, scales
from pmsim.figures.calltree import PARTS, CallTree, call_tree
from pmsim.figures.form import current
from pmsim.figures.given import drawn_from
from pmsim.figures.look import Mark
from pmsim.figures.source import Tables
from pmsim.simulation.tables.tally import is_dominated

_SPOKEN: Final = {
    "run_ps": Mark("kernel work", look.BLUE),
    "lock_wait_ps": Mark("lock wait", look.ORANGE),
    "crosscall_ps": Mark("shootdowns", look.RED),
    "delay_ps": Mark("delay", "#dde2e1"),
}
_COSTS: Final = PARTS[:-1]
_WORTH_TELLING: Final = 0.001
_ROOM_FOR_DELAY: Final = 1.15
"""Where the picture ends, in lengths of the dearest row."""


@drawn_from("a result")
def operation_cost(result: Tables, *, ax: Axes | None = None) -> Axes:
    """Draw what each kind of kernel operation cost in total, split into its parts.

    A row stands for all operations of one kind under one caller; what runs inside another operation
    is indented below it and is part of its length. Cost is kernel work, lock wait and shootdowns.
    Delay follows it in grey, and is cut off where it is longer than the picture is wide: a task
    that sleeps through a grace period costs nobody anything.

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
    tree = call_tree(result)
    with look.drawing(ax, size(tree)) as axes:
        return draw(tree, axes)


def says(tree: CallTree) -> bool:
    """Return whether any operation ran."""
    return not tree.rows.empty


def size(tree: CallTree) -> tuple[float, float]:
    """Return the width and height, in inches, that the tree needs."""
    return 9.0, 1.9 + 0.27 * max(len(tree.rows), 3)


def draw(tree: CallTree, ax: Axes) -> Axes:
    """Draw a call tree on axes, its first rows where there is no room for all."""
    shown = tree.rows.head(current().rows(len(tree.rows), lines=1))
    if shown.empty:
        return look.nothing(ax, "No kernel operation ran", "This run called nothing in the kernel.")
    longest = max(float(shown["cost_ps"].max()), 1.0)
    places, left = rows.middles(len(shown)), np.zeros(len(shown))
    for part in PARTS:
        ax.barh(
            places, shown[part], left=left, height=rows.height(), label=part, **_SPOKEN[part].area
        )
        left += shown[part].to_numpy(dtype=float)
    records = shown.to_dict("records")
    names = ["  " * row["depth"] + row["kind"] for row in records]
    rows.name(ax, names, [_times(row) for row in records], even=True)
    if not current().narrow:
        beside = ax.get_yaxis_transform()
        for place, row in enumerate(records):
            ax.text(1.01, place, _label(row), va="center", transform=beside)
    ax.set_xlim(0, longest * _ROOM_FOR_DELAY)
    scales.round_ticks(ax.xaxis, 5 if current().narrow else 8, longest)
    scales.time_axis(ax.xaxis, longest, "cost of all operations of the row, nested ones included")
    ax.spines["bottom"].set_bounds(0, longest)
    present = [part for part in PARTS if shown[part].sum() > 0]
    room = look.key(ax, [_SPOKEN[part] for part in present])
    look.say(ax, message(tree.rows), _detail(tree, len(shown)), room)
    return ax


def message(chains: pd.DataFrame) -> str:
    """Return the sentence on top: what the outermost operations cost, and what for."""
    outermost = chains[chains["depth"] == 0]
    total = float(outermost["cost_ps"].sum())
    if total == 0:
        return "Kernel operations cost no time"
    sums = {part: float(outermost[part].sum()) for part in _COSTS}
    largest = sorted(_COSTS, key=lambda part: -sums[part])
    told = [
        f"{formatting.share(sums[part] / total)} {_SPOKEN[part].label}"
        for part in largest
        if sums[part] > _WORTH_TELLING * total
    ]
    return f"Kernel operations cost {formatting.time(total)}: {', '.join(told)}"


def _detail(tree: CallTree, shown: int) -> str:
    detail = (
        "Indented: called by the operation above, and part of its cost. Delay: asleep,"
        " interrupted, or waiting for the CPU."
    )
    left_out = tree.left_out + len(tree.rows) - shown
    return detail + (
        f" {formatting.counted(left_out, 'cheaper row')} not shown." if left_out else ""
    )


def _times(row: Mapping[Any, Any]) -> str:
    count, cost = int(row["count"]), float(row["cost_ps"])
    if is_dominated(count, cost, float(row["longest_ps"])):
        return f"{formatting.count(count)}, one {formatting.time(row['longest_ps'])}"
    return f"{formatting.count(count)} × {formatting.time(cost / count)}"


def _label(row: Mapping[Any, Any]) -> str:
    count, cost, delay = int(row["count"]), float(row["cost_ps"]), float(row["delay_ps"])
    text = _times(row)
    if delay > 0.05 * cost:
        text += f" + {formatting.time(delay / count)} delay"
    calls = int(row["crosscalls"])
    return f"{text}, {formatting.counted(calls, 'shootdown')}" if calls else text
