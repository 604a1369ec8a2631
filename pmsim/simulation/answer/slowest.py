"""The slowest shootdown of a result: when it was, who waited, and for whom."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pmsim.simulation.answer.kernelcalls import KERNEL_WORKER
from pmsim.simulation.answer.summary import Slowest
from pmsim.simulation.tables.arrays import filled
from pmsim.simulation.tables.source import TableSource

_COLUMNS = (
    "start_ps", "end_ps", "cpu", "task", "cause", "protocol", "slowest_cpu", "slowest_reason",
)  # fmt: skip


def find_slowest(files: TableSource, names: Mapping[tuple[int, int], str]) -> Slowest | None:
    """Return the shootdown that took longest, the first of several; `None` if there is none.

    Parameters
    ----------
    files
        The tables of the result.
    names
        The workload of each task, by CPU and number.
    """
    longest, row = -1, None
    for batch in files.arrow_batches("crosscalls", _COLUMNS):
        latency = filled(batch.column(1)) - filled(batch.column(0))
        place = int(np.argmax(latency))
        if latency[place] > longest:
            longest, row = int(latency[place]), batch.slice(place, 1).to_pylist()[0]
    if row is None:
        return None
    return Slowest(
        at_ps=row["start_ps"],
        latency_ps=longest,
        cpu=row["cpu"],
        workload=names.get((row["cpu"], row["task"]), KERNEL_WORKER),
        cause=row["cause"],
        protocol=row["protocol"],
        slowest_cpu=row["slowest_cpu"],
        slowest_reason=row["slowest_reason"],
    )
