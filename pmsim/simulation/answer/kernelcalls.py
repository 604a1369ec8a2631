"""What workloads asked of the kernel: their own calls, without those made inside of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from pmsim.simulation.tables.files import TableFiles
from pmsim.units import S

_COLUMNS = ("parent", "workload", "kind", "start_ps", "end_ps", "crosscalls", "lock_wait_ps")


@dataclass(slots=True)
class _Sum:
    """Calls of one kind by one workload, added up."""

    count: int = 0
    total: int = 0
    broadcasts: int = 0
    lock_wait: int = 0
    longest: int = -1
    longest_at: int = 0

    def add(self, rows: pd.DataFrame) -> None:
        length = rows["end_ps"] - rows["start_ps"]
        self.count += len(rows)
        self.total += int(length.sum())
        self.broadcasts += int(rows["crosscalls"].sum())
        self.lock_wait += int(rows["lock_wait_ps"].sum())
        place = int(length.argmax())
        if length.iloc[place] > self.longest:
            self.longest = int(length.iloc[place])
            self.longest_at = int(rows["start_ps"].iloc[place])


KERNEL_WORKER: Final = "kernel worker"
"""What stands for the tasks that no workload has."""


def kernel_calls(
    files: TableFiles, workloads: Collection[str], duration: int
) -> list[dict[str, Any]]:
    """Return the calls that workloads made, by workload and kind, the costliest first.

    Parameters
    ----------
    files
        The tables of the result.
    workloads
        Their names; calls of others are the kernel's own.
    duration
        Simulated picoseconds, all replications together.

    Returns
    -------
    list of dict
        ``workload``, ``kind``, ``count``, ``per_s``, ``mean_ps``, ``total_ps``, ``broadcasts`` and
        ``lock_wait_ps`` (sums), ``longest_ps`` and ``longest_at_ps``, of each.
    """
    sums: dict[tuple[str, str], _Sum] = {}
    for frame in files.batches("operations", _COLUMNS):
        outermost = frame[frame["parent"].isna()]
        for (workload, kind), rows in outermost.groupby(["workload", "kind"], observed=True):
            who = str(workload) if str(workload) in workloads else KERNEL_WORKER
            sums.setdefault((who, str(kind)), _Sum()).add(rows)
    ordered = sorted(sums.items(), key=lambda item: -item[1].total)
    return [
        {
            "workload": workload,
            "kind": kind,
            "count": one.count,
            "per_s": one.count * S / duration if duration else 0.0,
            "mean_ps": round(one.total / one.count),
            "total_ps": one.total,
            "broadcasts": one.broadcasts,
            "lock_wait_ps": one.lock_wait,
            "longest_ps": one.longest,
            "longest_at_ps": one.longest_at,
        }
        for (workload, kind), one in ordered
    ]
