"""What happened on each CPU, as spans that nest: operations and shootdowns, handlers and waits."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from pmsim.errors import OutputError
from pmsim.report import handlers, stretches
from pmsim.report.handlers import Answer
from pmsim.report.span import Span, facts_of, parts_of, put_in_order
from pmsim.simulation.answer.kernelcalls import KERNEL_WORKER
from pmsim.simulation.tables.columns import DETAILED, LATENCY_PARTS
from pmsim.simulation.tables.protocols import SHIPPED_NAMES, SILENT

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result

MOST_ROWS: Final = 100_000
"""Operations, shootdowns, targets and waits of one timeline: half a million spans, 50 MB."""

_PARTS: Final = tuple(column.name for column in LATENCY_PARTS)
_AFTER_THE_VISIT: Final = ("local_ps", "resume_ps")
_COSTS: Final = ("run_ps", "lock_wait_ps", "crosscall_ps", "delay_ps")
_OPERATION: Final = (
    "id", "parent", "workload", "kind", "cpu", "task", "start_ps", "end_ps", "pages", "crosscalls",
    *_COSTS,
)  # fmt: skip
_CROSSCALL: Final = (
    "cpu", "task", "start_ps", "end_ps", "protocol", "kind", "cause", "operation", "targets",
    "pages", "invalidations", "slowest_cpu", "slowest_reason", *_PARTS,
)  # fmt: skip

Row = Mapping[str, Any]


@dataclass(slots=True)
class Spans:
    """All spans of a replication, or of a part of it.

    Attributes
    ----------
    tasks
        The outermost spans of each task, in order, by CPU and number of the task.
    handlers
        What interrupted each CPU, in order, as far as it is known: all of it in the part of the run
        that was kept in detail; else the answers to the median, the p99 and the slowest call, and
        of each other call that of the slowest target, where no virtual CPU was frozen on the way.
    irqs_off
        The windows in which each CPU had interrupts off, in order: of that part alone.
    names
        The workload of each task.
    """

    tasks: dict[tuple[int, int], list[Span]]
    names: dict[tuple[int, int], str]
    handlers: dict[int, list[Span]] = field(default_factory=dict)
    irqs_off: dict[int, list[Span]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """The part of a result that a timeline shows.

    Attributes
    ----------
    replication
        Number of the run.
    start_ps, end_ps
        What lies in between, if only in part, is shown; `None`: to the end.
    """

    replication: int = 0
    start_ps: int = 0
    end_ps: int | None = None

    def rows(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Return those rows of a table that are in the window."""
        kept = (frame["replication"] == self.replication) & (frame["end_ps"] >= self.start_ps)
        if self.end_ps is not None:
            kept &= frame["start_ps"] < self.end_ps
        return frame[kept]


@dataclass(frozen=True)
class _Rows:
    """The rows in a window; those of ``anatomy`` by initiator and start of their call."""

    operations: list[dict[str, Any]]
    crosscalls: list[dict[str, Any]]
    stretches: list[dict[str, Any]]
    targets: dict[tuple[int, int], list[dict[str, Any]]]

    def targets_of(self, shootdown: Row) -> list[dict[str, Any]]:
        """Return the rows of ``anatomy`` of the calls that make a shootdown: one, or several.

        Of pmsim's own protocols it is one, which begins when the shootdown does.
        """
        cpu, start = int(shootdown["cpu"]), int(shootdown["start_ps"])
        if shootdown["protocol"] in SHIPPED_NAMES:
            return self.targets.get((cpu, start), [])
        starts = self._starts.get(cpu, [])
        first, last = bisect_left(starts, start), bisect_left(starts, int(shootdown["end_ps"]))
        return [row for at in starts[first:last] for row in self.targets[cpu, at]]

    @cached_property
    def _starts(self) -> dict[int, list[int]]:
        """When the calls of each CPU began whose targets are known, ascending."""
        found: dict[int, list[int]] = {}
        for cpu, start in sorted(self.targets):
            found.setdefault(cpu, []).append(start)
        return found


def spans_of(result: Result, window: Window) -> Spans:
    """Return the spans of a replication in a window.

    Raises
    ------
    OutputError
        If there is no such replication, or there are too many rows for one timeline.
    """
    runs = result.summary.replications
    if window.replication >= runs:
        there = "is only replication 0" if runs == 1 else f"are replications 0 to {runs - 1}"
        raise OutputError(f"there is no replication {window.replication}; there {there}")
    rows = _rows(result, window)
    spans = Spans({}, _names(result, window.replication))
    by_id = _add_operations(spans, rows.operations)
    serial = result.manifest["scenario"]["kernel"]["crosscall_order"] == "serial"
    calls = _add_crosscalls(spans, by_id, rows.crosscalls, serial=serial)
    for listed in _lists(spans):
        put_in_order(listed)
    stretches.add_waits(spans.tasks, rows.stretches)
    costs = handlers.handler_costs(result, window.replication)
    spans.handlers = handlers.handler_spans(_answers(rows, calls, costs))
    spans.irqs_off = _windows(result, rows, window.replication)
    return spans


def _rows(result: Result, window: Window) -> _Rows:
    """Return the rows in the window, as long as there are not too many of them."""
    found: dict[str, list[dict[str, Any]]] = {}
    tables = {
        "operations": _OPERATION,
        "crosscalls": _CROSSCALL,
        "stretches": stretches.COLUMNS,
        "anatomy": handlers.ANATOMY,
    }
    for table, columns in tables.items():
        listed = found[table] = []
        for batch in result.batches(table, ("replication", *columns)):
            rows: Any = window.rows(batch).to_dict("records")
            listed += rows
            if sum(len(one) for one in found.values()) > MOST_ROWS:
                raise OutputError(
                    f"this part of {result.path} has more operations, shootdowns, targets and waits"
                    f" than the {MOST_ROWS:,} that a timeline takes: choose a shorter one"
                    " (--from TIME --to TIME)"
                )
    targets: dict[tuple[int, int], dict[int, dict[str, Any]]] = {}
    for row in found["anatomy"]:  # one call may be several of median, p99, slowest and detail
        call = targets.setdefault((int(row["initiator"]), int(row["start_ps"])), {})
        call.setdefault(int(row["cpu"]), row)
    listed_targets = {call: list(rows.values()) for call, rows in targets.items()}
    return _Rows(found["operations"], found["crosscalls"], found["stretches"], listed_targets)


def _names(result: Result, replication: int) -> dict[tuple[int, int], str]:
    tasks = result.tasks
    rows = tasks[tasks["replication"] == replication]
    return {
        (int(cpu), int(task)): str(name)
        for cpu, task, name in zip(rows["cpu"], rows["task"], rows["workload"], strict=True)
    }


def _add_operations(spans: Spans, rows: list[dict[str, Any]]) -> dict[int, Span]:
    """Add the operations, each where its caller is; return them by their ids."""
    by_id: dict[int, Span] = {}
    rows.sort(key=lambda row: row["id"])  # a caller begins before what it calls
    for row in rows:
        span = Span(
            row["kind"], "operation", int(row["start_ps"]), int(row["end_ps"]),
            facts_of(row, ("id", "pages", "crosscalls", *_COSTS)),
        )  # fmt: skip
        by_id[int(row["id"])] = span
        task = (int(row["cpu"]), int(row["task"]))
        spans.names.setdefault(task, str(row["workload"]))
        _caller(spans, by_id, row["parent"], task).append(span)
    return by_id


def _add_crosscalls(
    spans: Spans, by_id: dict[int, Span], rows: Sequence[Row], *, serial: bool
) -> list[Span]:
    """Add the shootdowns, each where the operation is that made it; return them, row by row."""
    calls = []
    for row in rows:
        span = Span(
            f"{row['protocol']} {row['kind']}", "shootdown",
            int(row["start_ps"]), int(row["end_ps"]),
            facts_of(row, ("cause", "targets", "pages", "invalidations", "slowest_cpu",
                           "slowest_reason")),
            _parts(row, _order(row["protocol"], serial=serial)),
        )  # fmt: skip
        task = (int(row["cpu"]), int(row["task"]))
        spans.names.setdefault(task, KERNEL_WORKER)
        _caller(spans, by_id, row["operation"], task).append(span)
        calls.append(span)
    return calls


def _caller(spans: Spans, by_id: dict[int, Span], number: Any, task: tuple[int, int]) -> list[Span]:
    """Return where the spans go that an operation made: what has no row, the run was cut in."""
    caller = None if pd.isna(number) else by_id.get(int(number))
    return spans.tasks.setdefault(task, []) if caller is None else caller.inside


def _order(protocol: str, *, serial: bool) -> tuple[str, ...]:
    """Return the parts of a latency in the order of time; none where nobody knows it.

    A row of a protocol that is not pmsim's own is a sum over all that its code did.
    """
    if protocol not in SHIPPED_NAMES:
        return ()
    if protocol in SILENT:
        return ("queue_ps", "function_ps", "delivery_ps", "resume_ps")
    if not serial:
        return _PARTS
    # The initiator runs the function itself after the visit.
    return (*(name for name in _PARTS if name not in _AFTER_THE_VISIT), *_AFTER_THE_VISIT)


def _parts(row: Row, names: tuple[str, ...]) -> list[Span]:
    """Return the parts of a latency one after the other."""
    edges = [int(row["start_ps"])]
    for name in names:
        edges.append(edges[-1] + int(row[name]))
    said = [name.removesuffix("_ps").replace("_", " ") for name in names]
    return parts_of(
        (name, start, end) for name, (start, end) in zip(said, pairwise(edges), strict=True)
    )


def _answers(rows: _Rows, calls: list[Span], costs: handlers.HandlerCosts) -> Iterator[Answer]:
    """Yield the answers to each shootdown that are known, at the end of an arrow from it."""
    arrow = 0
    for row, call in zip(rows.crosscalls, calls, strict=True):
        targets = rows.targets_of(row)
        for target in targets:
            call.begins.append(arrow := arrow + 1)
            yield handlers.of_target(target, arrow)
        told = not pd.isna(row["slowest_cpu"]) and row["protocol"] in SHIPPED_NAMES
        if not targets and told:
            slowest = handlers.of_slowest(row, costs, arrow + 1)
            if slowest is not None:
                call.begins.append(arrow := arrow + 1)
                yield slowest


def _windows(result: Result, rows: _Rows, replication: int) -> dict[int, list[Span]]:
    """Return the windows with interrupts off of the part of the run that was kept in detail."""
    table = result.detail
    parts: Any = table[table["replication"] == replication].to_dict("records")
    alone = [
        row
        for row in rows.crosscalls
        if not row["targets"]
        and any(
            part["start_ps"] <= row["start_ps"]
            and (pd.isna(part["end_ps"]) or row["start_ps"] < part["end_ps"])
            for part in parts
        )
    ]
    detailed = [one[0] for one in rows.targets.values() if one[0]["which"] == DETAILED]
    return stretches.windows(rows.stretches, detailed, alone)


def _lists(spans: Spans) -> Iterator[list[Span]]:
    waiting = list(spans.tasks.values())
    while waiting:
        listed = waiting.pop()
        yield listed
        waiting += [span.inside for span in listed if span.category == "operation"]
