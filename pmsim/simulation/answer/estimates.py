"""How well the means of a result are known: over its replications, or within its one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from pmsim.confidence import (
    LEVEL,
    Estimate,
    Values,
    batch_means,
    bootstrap_interval,
    mean_interval,
)
from pmsim.simulation.answer.metrics import absent, metric_of, ordered
from pmsim.simulation.answer.parts import SPENT, lost_ps
from pmsim.simulation.answer.summary import Summary
from pmsim.simulation.streams import MACHINE, stream
from pmsim.simulation.tables.arrays import filled
from pmsim.simulation.tables.source import TableSource, whole

PURPOSE: Final = "bootstrap"
"""The purpose under which bootstrap samples are drawn, apart from all that is drawn in runs."""


def estimate(column: str, values: Values, seed: int, level: float = LEVEL) -> Estimate:
    """Return the mean of a metric over replications with its interval.

    Parameters
    ----------
    column
        The metric's; it decides between t and bootstrap, and which draws the latter takes.
    values
        One per replication; those that are not a number are left out.
    seed
        The scenario's.
    level
        Of confidence.
    """
    metric, _label = metric_of(column)
    if not metric.skewed:
        return mean_interval(values, level)
    return bootstrap_interval(values, stream(seed, 0, MACHINE, f"{PURPOSE} {column}"), level)


def over_replications(rows: Sequence[Mapping[str, float]], seed: int) -> dict[str, Estimate]:
    """Return the interval of every mean over replications, by the metric's column.

    Parameters
    ----------
    rows
        What each of them measured.
    seed
        The scenario's.
    """
    return {
        name: estimate(name, [row.get(name, absent(name)) for row in rows], seed)
        for name in ordered({name for row in rows for name in row})
    }


def within(files: TableSource, summary: Summary) -> dict[str, Estimate]:
    """Return how well one run knows the means of its steady part; empty where it has none.

    Parameters
    ----------
    files
        Its tables.
    summary
        Its headline numbers.
    """
    found = summary.transients[0]
    end = found.end_ps
    if end is None or not found.broadcasts_after or not summary.duration_ps:
        return {}
    timeline = whole(
        files, "timeline", ("start_ps", "end_ps", "broadcasts_per_s", *SPENT, "windows_ps")
    )
    length = timeline["end_ps"] - timeline["start_ps"]
    # The last interval may have another length than all others, and its values another weight.
    chosen = (timeline["start_ps"] >= end) & (length == length[0])
    late = {name: values[chosen] for name, values in timeline.items()}
    series = {
        "after_per_s": late["broadcasts_per_s"],
        "after_lost_share": lost_ps(late, late["windows_ps"]) / (length[0] * summary.cpus),
        "after_latency_mean_ps": _latencies(files, end),
    }
    return {name: batch_means(values) for name, values in series.items()}


def _latencies(files: TableSource, start: int) -> npt.NDArray[np.float64]:
    """Return the latencies of the shootdowns that began after an instant, in order of their end."""
    pieces = [np.empty(0)]
    for batch in files.arrow_batches("crosscalls", ["start_ps", "end_ps"]):
        begin, end = (filled(batch.column(i)) for i in range(2))
        pieces.append((end - begin)[begin >= start].astype(np.float64))
    return np.concatenate(pieces)
