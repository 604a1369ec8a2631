"""How long isolated CPUs were interrupted at a time."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from pmsim.figures import latencies, look
from pmsim.figures.given import drawn_from
from pmsim.figures.latencies import Latencies, Words
from pmsim.figures.source import Tables, batches

_INTERRUPTIONS: Final = Words("interruption", "length: until the handler's end")


class IsolatedTables(Tables, Protocol):
    """A result that also knows what interrupted isolated CPUs."""

    @property
    def interruptions(self) -> pd.DataFrame: ...  # noqa: D102


@drawn_from("a result")
def interruption_lengths(result: IsolatedTables, *, ax: Axes | None = None) -> Axes:
    """Draw which share of isolated CPUs' interruptions were longer than a time, axes logarithmic.

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
    found = lengths(result)
    with look.drawing(ax, size(found)) as axes:
        return draw(found, axes)


def lengths(result: IsolatedTables) -> Latencies:
    """Return how long a CPU was away at a time, in picoseconds, by the cause that began it.

    Shootdowns that one handler served are one interruption: from when the CPU was away to the end
    of the last of them. The most frequent cause comes first.
    """
    columns = ["replication", "cpu", "start_ps", "from_ps", "end_ps", "opened", "cause"]
    pieces = list(batches(result, "interruptions", columns))
    if not pieces:
        return {}
    table = pd.concat(pieces)
    # The call that began a handler tells its cause; calls that were coalesced come behind it.
    table = table.assign(cause=table["cause"].astype(str)).sort_values(
        "opened", ascending=False, kind="stable"
    )
    handlers = table.groupby(["replication", "cpu", "start_ps"], sort=False).agg(
        from_ps=("from_ps", "min"), end_ps=("end_ps", "max"), cause=("cause", "first")
    )
    away = (handlers["end_ps"] - handlers["from_ps"]).to_numpy(dtype=np.int64)
    places = handlers["cause"].reset_index(drop=True).groupby(handlers["cause"].to_numpy()).indices
    found = {str(cause): np.sort(away[rows]) for cause, rows in places.items()}
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))


says = latencies.says
size = latencies.size


def draw(found: Latencies, ax: Axes) -> Axes:
    """Draw the distribution on axes."""
    if not found:
        return look.nothing(ax, "No isolated CPU was interrupted", "None had to answer.")
    return latencies.draw_tails(found, ax, _INTERRUPTIONS)
