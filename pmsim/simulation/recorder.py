"""What a run leaves behind, written as it comes: from the machine and the kernel to the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pmsim.hardware.fabric import CROSSCALL_COLUMNS, SlowestReason
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.calls import Protocol
from pmsim.hardware.specimens import Specimen, specimens
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.tlbflush import Cause
from pmsim.simulation.store import TableStore, Values, none_where, words
from pmsim.simulation.tables import LATENCY_PARTS
from pmsim.simulation.timeline import Timeline

_KINDS = [kind.name.lower() for kind in CallKind]
_CAUSES = [cause.name.lower() for cause in Cause]
_PROTOCOLS = [protocol.name.lower() for protocol in Protocol]
_REASONS = [reason.name.lower() for reason in SlowestReason]
_NULLABLE = ("operation", "pages", "slowest_cpu")
_COUNTS = ("cpu", "task", "start_ps", "end_ps", "targets", "invalidations")
_PLAIN = (*_COUNTS, *(part.name for part in LATENCY_PARTS))


class Recorder:
    """Takes what one replication produces to the tables.

    Parameters
    ----------
    store
        The tables.
    replication
        The number of the run.
    interval
        Length of the timeline's intervals in picoseconds; `None` chooses one.
    """

    def __init__(self, store: TableStore, replication: int, interval: int | None) -> None:
        self.timeline = Timeline(interval)
        self.crosscalls_seen = 0
        self._store = store
        self._replication = replication

    def crosscalls(self, calls: npt.NDArray[np.int64]) -> None:
        """Record finished cross-calls, given as the fabric's rows."""
        self.crosscalls_seen += len(calls)
        self.timeline.count(calls)
        self._add("crosscalls", crosscall_columns(calls))

    def operations(self, rows: Mapping[str, Sequence[int | str]]) -> None:
        """Record finished operations, given column by column."""
        parent = none_where(np.array(rows["parent"], dtype=np.int64))
        self._add("operations", {**rows, "parent": parent})

    def cpus(self, machine: Machine) -> None:
        """Record the accounts of all CPUs, and the timelines that end with them."""
        accounts = machine.accounts()
        self._add("cpus", {"cpu": np.arange(machine.n_cpus), **accounts})
        self._add("timeline", self.timeline.columns(machine.now, accounts))
        self._add("cpu_timeline", self.timeline.cpu_columns(machine.now, accounts))

    def anatomy(self, machine: Machine) -> None:
        """Record what happened at each target of a few of the machine's cross-calls."""
        for which, specimen in specimens(machine.fabric).items():
            self._add("anatomy", anatomy_columns(which, specimen))

    def rows(self, table: str, rows: Sequence[Mapping[str, object]]) -> None:
        """Record rows of a short table."""
        self._store.add_rows(table, rows, self._replication)

    def _add(self, table: str, columns: Mapping[str, Values]) -> None:
        self._store.add(table, columns, self._replication)


def crosscall_columns(calls: npt.NDArray[np.int64]) -> dict[str, Values]:
    """Return the columns of ``crosscalls``: numbers as they are, codes as words, -1 as none."""
    column = {name: calls[:, i] for i, name in enumerate(CROSSCALL_COLUMNS)}
    return {
        **{name: column[name] for name in _PLAIN},
        **{name: none_where(column[name]) for name in _NULLABLE},
        "protocol": words(column["protocol"], _PROTOCOLS),
        "kind": words(column["kind"], _KINDS),
        "cause": words(column["cause"], _CAUSES),
        "slowest_reason": words(column["slowest_reason"], _REASONS),
    }


def anatomy_columns(which: str, specimen: Specimen) -> dict[str, Values]:
    """Return the columns of ``anatomy`` for one cross-call; what all rows share is repeated."""
    n = len(specimen.cpu)
    row = {name: np.full(n, value, dtype=np.int64) for name, value in specimen.row.items()}
    reason = specimen.reason
    rides = reason == SlowestReason.RIDE
    of_the_call = {
        "told_ps": specimen.told,
        "all_sent_ps": specimen.sent,
        "own_start_ps": specimen.own_start,
        "own_end_ps": specimen.own_end,
        "looks_ps": specimen.looks,
        "visited_ps": specimen.visited,
    }
    return {
        "which": [which] * n,
        "initiator": row["cpu"],
        **{name: row[name] for name in ("task", "start_ps", "end_ps")},
        "protocol": words(row["protocol"], _PROTOCOLS),
        "kind": words(row["kind"], _KINDS),
        "cause": words(row["cause"], _CAUSES),
        "operation": none_where(row["operation"]),
        **{name: np.full(n, value, dtype=np.int64) for name, value in of_the_call.items()},
        "cpu": specimen.cpu,
        "queued_ps": specimen.queued,
        "sent_ps": none_where(np.where(rides, -1, specimen.sent_to)),
        "arrives_ps": none_where(np.where(rides, -1, specimen.arrives)),
        "reason": words(reason, _REASONS),
        "handler_ps": specimen.handler,
        "taken_ps": specimen.taken,
        "runs_ps": specimen.runs,
        "ack_ps": specimen.ack,
        "exit_ps": specimen.exit,
        "seen_ps": specimen.seen,
    }
