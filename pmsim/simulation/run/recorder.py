"""What a run leaves behind, written as it comes: from the machine and the kernel to the tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pmsim.hardware.detail import Detail, Stretch
from pmsim.hardware.fabric import ACCOUNT_COLUMNS, CROSSCALL_COLUMNS, SlowestReason
from pmsim.hardware.interruptions import COLUMNS as INTERRUPTION_COLUMNS
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.hardware.specimens import WholeCalls
from pmsim.hardware.tlb import CallKind
from pmsim.kernel.kernel import AddressLevels
from pmsim.kernel.operation_rows import OperationColumns, Words
from pmsim.kernel.tlbflush import Cause
from pmsim.simulation.run.timeline import Timeline
from pmsim.simulation.tables.arrays import none_where, words
from pmsim.simulation.tables.columns import DETAILED, LATENCY_PARTS
from pmsim.simulation.tables.store import TableSink, Values

_KINDS = [kind.name.lower() for kind in CallKind]
_CAUSES = [cause.name.lower() for cause in Cause]
_REASONS = [reason.name.lower() for reason in SlowestReason]
_NULLABLE = ("operation", "pages", "slowest_cpu", "gone_ps")
_COUNTS = ("cpu", "task", "start_ps", "end_ps", "targets", "left_out", "invalidations")
_PLAIN = (*_COUNTS, *(part.name for part in LATENCY_PARTS))


class Recorder:
    """Takes what one replication produces to the tables.

    Parameters
    ----------
    store
        Where the rows go.
    replication
        The number of the run.
    interval
        Length of the timeline's intervals in picoseconds; `None` chooses one.

    Attributes
    ----------
    windows, levels
        Tell how many picoseconds workloads spent in windows with interrupts off up to now, and how
        the kernel's address ranges stand at present; there is nothing of it without workloads and a
        kernel.
    """

    def __init__(self, store: TableSink, replication: int, interval: int | None) -> None:
        self.timeline = Timeline(interval)
        self.windows: Callable[[], int] = lambda: 0
        self.levels: Callable[[], AddressLevels] = AddressLevels
        self.crosscalls_seen = 0
        self._store = store
        self._replication = replication
        self._interval = interval

    def expect(self, least: int) -> None:
        """Be told, before the run, how long it is at least, in picoseconds."""
        self.timeline = Timeline(self._interval, least)

    def crosscalls(self, calls: npt.NDArray[np.int64]) -> None:
        """Record finished shootdowns, given as the fabric's rows."""
        self.crosscalls_seen += len(calls)
        self.timeline.count(calls)
        self._add("crosscalls", crosscall_columns(calls))

    def operations(self, rows: OperationColumns) -> None:
        """Record finished operations, given column by column."""
        columns = {
            name: words(column.codes, column.names) if isinstance(column, Words) else column
            for name, column in rows.items()
        }
        for name in ("parent", "page"):
            columns[name] = none_where(columns[name])
        self._add("operations", columns)

    def sample(self, machine: Machine) -> None:
        """Note how things stand at the end of an interval of the timeline."""
        self.timeline.sample(machine.account_rows(), self.windows(), self.levels())

    def cpus(self, machine: Machine) -> None:
        """Record the accounts of all CPUs, and the timelines that end with them."""
        end, accounts = machine.now, machine.account_rows()
        columns = dict(zip(ACCOUNT_COLUMNS, accounts[:-1].T, strict=True))
        columns["holding_frozen_ps"] = machine.holding_frozen
        self._add("cpus", {"cpu": np.arange(machine.n_cpus), **columns})
        levels = self.windows(), self.levels()
        self._add("timeline", self.timeline.columns(end, accounts, *levels))
        self._add("cpu_timeline", self.timeline.cpu_columns(end, accounts))

    def anatomy(self, machine: Machine) -> None:
        """Record what happened at each target of a few of the machine's IPI calls."""
        for which, calls in machine.kept_calls().items():
            self._add("anatomy", anatomy_columns(which, calls))

    def whole_calls(self, calls: WholeCalls) -> None:
        """Record the same of calls of the part of the run that is kept in detail."""
        self._add("anatomy", anatomy_columns(DETAILED, calls))

    def stretches(self, stretches: Sequence[Stretch]) -> None:
        """Record waits and windows with interrupts off in that part."""
        columns = zip(*stretches, strict=True)
        self._add("stretches", dict(zip(Stretch._fields, columns, strict=True)))

    def interruptions(self, rows: npt.NDArray[np.int64]) -> None:
        """Record what interrupted isolated CPUs."""
        column = dict(zip(INTERRUPTION_COLUMNS, rows.T, strict=True))
        told = {
            "protocol": words(column["protocol"], PROTOCOLS.names()),
            "kind": words(column["kind"], _KINDS),
            "cause": words(column["cause"], _CAUSES),
            "operation": none_where(column["operation"]),
            "opened": column["opened"] > 0,
        }
        self._add("interruptions", column | told)

    def detail(self, detail: Detail) -> None:
        """Record how much of that part was kept."""
        row = {
            "start_ps": detail.start,
            "end_ps": detail.end,
            "cut_ps": detail.cut_ps,
            "calls": detail.calls,
            "targets": detail.targets,
            "stretches": detail.stretches,
        }
        self.rows("detail", [row])

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
        "protocol": words(column["protocol"], PROTOCOLS.names()),
        "kind": words(column["kind"], _KINDS),
        "cause": words(column["cause"], _CAUSES),
        "slowest_reason": words(column["slowest_reason"], _REASONS),
    }


def anatomy_columns(which: str, calls: WholeCalls) -> dict[str, Values]:
    """Return the columns of ``anatomy``, a row per target; what is a call's own is repeated."""
    row = {name: values[calls.call] for name, values in calls.row.items()}
    rides = calls.reason == SlowestReason.RIDE
    of_the_call = {
        "told_ps": calls.told,
        "all_sent_ps": calls.sent,
        "own_start_ps": calls.own_start,
        "own_end_ps": calls.own_end,
        "looks_ps": calls.looks,
        "visited_ps": calls.visited,
    }
    return {
        "which": [which] * len(calls.call),
        "initiator": row["cpu"],
        **{name: row[name] for name in ("task", "start_ps", "end_ps")},
        "protocol": words(row["protocol"], PROTOCOLS.names()),
        "kind": words(row["kind"], _KINDS),
        "cause": words(row["cause"], _CAUSES),
        "operation": none_where(row["operation"]),
        **{name: none_where(values[calls.call]) for name, values in of_the_call.items()},
        "cpu": calls.cpu,
        "queued_ps": calls.queued,
        "sent_ps": none_where(np.where(rides, -1, calls.sent_to)),
        "arrives_ps": none_where(np.where(rides, -1, calls.arrives)),
        "reason": words(calls.reason, _REASONS),
        "handler_ps": calls.handler,
        "taken_ps": calls.taken,
        "frozen_ps": calls.frozen,
        "runs_ps": calls.runs,
        "ack_ps": calls.ack,
        "done_ps": calls.done,
        "exit_ps": calls.exit,
        "seen_ps": none_where(calls.seen),
    }
