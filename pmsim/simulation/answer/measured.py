"""What metrics are taken from: one replication, its headline numbers and a few sums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pmsim.simulation.answer.isolation import Isolated
from pmsim.simulation.answer.summary import Cost, Parts, Summary
from pmsim.simulation.tables.arrays import coded, filled
from pmsim.simulation.tables.source import TableSource, whole
from pmsim.simulation.tables.tally import Tally

_LOST_BYTES = ("slack", "wasted", "relinquished")
"""What is lost of a pool, by the columns of the table ``pools``."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One replication.

    Attributes
    ----------
    summary
        Its headline numbers, as of a run of this replication alone.
    operations
        The times of each kind of kernel operation in picoseconds.
    handlers
        Interrupt handlers run.
    pools
        Sums over its pools.
    sent
        Operations of TLB broadcasts by the cause of these; empty where there were none.
    """

    summary: Summary
    operations: Mapping[str, Tally]
    handlers: int
    pools: Mapping[str, float]
    sent: Mapping[str, int]

    @property
    def cpu_time(self) -> int:
        """All CPU time, in picoseconds."""
        return self.summary.duration_ps * self.summary.cpus

    def share(self, spent: int) -> float | None:
        """Return a part of all CPU time as a share of it."""
        return spent / self.cpu_time if self.cpu_time else None

    def isolated(self, what: Callable[[Isolated], Any]) -> Any:
        """Return something of the isolated CPUs; None where there are none."""
        return None if self.summary.isolated is None else what(self.summary.isolated)

    @property
    def parts(self) -> Parts:
        """The replication before and after its transient."""
        return self.summary.transients[0]

    def of_a_shootdown(self, what: Callable[[Cost], int]) -> float | None:
        """Return a part of the cost for each shootdown, unrounded; None without any."""
        total = self.summary.broadcasts.total
        return what(self.summary.cost) / total if total else None

    def mean_latency(self) -> float | None:
        """Return the mean latency of shootdowns, unrounded."""
        return self.of_a_shootdown(lambda cost: cost.initiators_ps)


def measured(files: TableSource, summary: Summary) -> Measured:
    """Read what metrics are taken from.

    Parameters
    ----------
    files
        Its tables, with the rows of this replication alone.
    summary
        Their headline numbers.
    """
    handlers = int(whole(files, "cpus", ("handlers",))["handlers"].sum())
    operations, pools = _operation_times(files), _pools(files)
    return Measured(summary, operations, handlers, pools, _sent(files))


def _operation_times(files: TableSource) -> dict[str, Tally]:
    """Return the times of each kind of operation."""
    times: dict[str, Tally] = {}
    for batch in files.arrow_batches("operations", ("kind", "start_ps", "end_ps")):
        codes, kinds = coded(batch.column(0))
        taken = filled(batch.column(2)) - filled(batch.column(1))
        for code in np.unique(codes).tolist():
            times.setdefault(kinds[code], Tally()).add(taken[codes == code])
    return dict(sorted(times.items()))


def _sent(files: TableSource) -> dict[str, int]:
    """Return the operations of TLB broadcasts by cause, without causes that sent none."""
    sent: Counter[str] = Counter()
    for batch in files.arrow_batches("crosscalls", ("cause", "invalidations")):
        codes, causes = coded(batch.column(0))
        operations = filled(batch.column(1))
        for code in np.unique(codes[operations > 0]).tolist():
            sent[causes[code]] += int(operations[codes == code].sum())
    return dict(sorted(sent.items()))


def _pools(files: TableSource) -> dict[str, float]:
    pools = whole(files, "pools", ("pages", *_LOST_BYTES, "exposed_byte_s"))
    if not len(pools["pages"]):
        return {}
    lost = sum(int(pools[name].sum()) for name in _LOST_BYTES)
    exposed = float(pools["exposed_byte_s"].sum())
    return {"pages": int(pools["pages"].sum()), "lost": lost, "exposed": exposed}
