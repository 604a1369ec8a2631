"""What workloads asked of the kernel: their own calls, without those made inside of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from pmsim.simulation.answer.summary import Calls
from pmsim.simulation.tables.arrays import coded, filled
from pmsim.simulation.tables.source import TableSource
from pmsim.simulation.tables.tally import Tally
from pmsim.units import S

Ints = npt.NDArray[np.int64]

_COLUMNS = (
    "parent", "workload", "kind", "start_ps", "end_ps", "crosscalls", "lock_wait_ps", "delay_ps",
)  # fmt: skip


@dataclass(slots=True)
class _Sum:
    """Calls of one kind by one workload, added up."""

    times: Tally = field(default_factory=Tally)
    broadcasts: int = 0
    lock_wait: int = 0
    delay: int = 0
    longest: int = -1
    longest_at: int = 0

    def add(self, start: Ints, end: Ints, crosscalls: Ints, lock_wait: Ints, delay: Ints) -> None:
        length = end - start
        self.times.add(length)
        self.broadcasts += int(crosscalls.sum())
        self.lock_wait += int(lock_wait.sum())
        self.delay += int(delay.sum())
        place = int(length.argmax())
        if length[place] > self.longest:
            self.longest = int(length[place])
            self.longest_at = int(start[place])


KERNEL_WORKER: Final = "kernel worker"
"""What stands for the tasks that no workload has."""


def kernel_calls(
    files: TableSource, workloads: Collection[str], duration: int
) -> tuple[Calls, ...]:
    """Return the calls that workloads made, by workload and kind, the costliest first.

    Parameters
    ----------
    files
        The tables of the result.
    workloads
        Their names; calls of others are the kernel's own.
    duration
        Simulated picoseconds, all replications together.
    """
    sums: dict[tuple[str, str], _Sum] = {}
    for batch in files.arrow_batches("operations", _COLUMNS):
        outermost = filled(batch.column(0)) == -1
        (by, names), (what, kinds) = coded(batch.column(1)), coded(batch.column(2))
        columns = [filled(batch.column(place))[outermost] for place in range(3, 8)]
        both = by[outermost] * np.int64(len(kinds)) + what[outermost]
        for pair in np.unique(both).tolist():
            workload, kind = names[pair // len(kinds)], kinds[pair % len(kinds)]
            who = workload if workload in workloads else KERNEL_WORKER
            rows = both == pair
            sums.setdefault((who, kind), _Sum()).add(*(column[rows] for column in columns))
    ordered = sorted(sums.items(), key=lambda item: item[1].delay - item[1].times.total)
    return tuple(
        Calls(
            workload=workload,
            kind=kind,
            count=one.times.count,
            per_s=one.times.count * S / duration if duration else 0.0,
            mean_ps=round(one.times.total / one.times.count),
            median_ps=one.times.at((one.times.count + 1) // 2),
            total_ps=one.times.total,
            delay_ps=one.delay,
            broadcasts=one.broadcasts,
            lock_wait_ps=one.lock_wait,
            longest_ps=one.longest,
            longest_at_ps=one.longest_at,
        )
        for (workload, kind), one in ordered
    )
