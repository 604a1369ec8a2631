"""The slowest shootdown of a result: when it was, who waited, and for whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pmsim.simulation.answer.kernelcalls import KERNEL_WORKER
from pmsim.simulation.answer.summary import Slowest

SLOWEST_COLUMNS = (
    "start_ps", "end_ps", "cpu", "task", "cause", "protocol", "slowest_cpu", "slowest_reason",
)  # fmt: skip
"""What a batch of ``crosscalls`` must have."""


class SlowestCall:
    """The shootdown that took longest, the first of several, of all batches looked at so far."""

    def __init__(self) -> None:
        self._longest = -1
        self._row: dict[str, Any] = {}

    def look(self, batch: pa.RecordBatch, latency: npt.NDArray[np.int64]) -> None:
        """Look at the next rows of ``crosscalls``, and at how long each of them took."""
        place = int(np.argmax(latency))
        if latency[place] > self._longest:
            self._longest = int(latency[place])
            self._row = batch.slice(place, 1).to_pylist()[0]

    def told(self, names: Mapping[tuple[int, int], str]) -> Slowest | None:
        """Return it; `None` if there was none.

        Parameters
        ----------
        names
            The workload of each task, by CPU and number.
        """
        row = self._row
        if not row:
            return None
        return Slowest(
            at_ps=row["start_ps"],
            latency_ps=self._longest,
            cpu=row["cpu"],
            workload=names.get((row["cpu"], row["task"]), KERNEL_WORKER),
            cause=row["cause"],
            protocol=row["protocol"],
            slowest_cpu=row["slowest_cpu"],
            slowest_reason=row["slowest_reason"],
        )
