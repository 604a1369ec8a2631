"""What happened on each CPU, as spans that nest: operations, broadcasts in them, and answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from pmsim.errors import OutputError
from pmsim.simulation.kernelcalls import KERNEL_WORKER
from pmsim.simulation.tables import LATENCY_PARTS

if TYPE_CHECKING:
    from pmsim.simulation.result import Result

MOST_ROWS: Final = 100_000
"""Operations and broadcasts of one timeline: half a million spans, 50 MB."""

_PARTS: Final = tuple(column.name for column in LATENCY_PARTS)
_ON_THE_WAY: Final = ("queue_ps", "send_ps", "delivery_ps")
"""The parts before a call is at the slowest target; of a ride, which is in its queue, the first."""
_AT_THE_TARGET: Final = (
    "irqs_off_ps", "idle_exit_ps", "busy_handler_ps", "ride_ps", "entry_ps", "function_ps",
)  # fmt: skip
_AFTER_THE_VISIT: Final = ("local_ps", "resume_ps")
_OPERATION: Final = (
    "id", "parent", "workload", "kind", "cpu", "task", "start_ps", "end_ps", "pages", "crosscalls",
    "run_ps", "lock_wait_ps", "crosscall_ps", "delay_ps",
)  # fmt: skip
_CROSSCALL: Final = (
    "cpu", "task", "start_ps", "end_ps", "protocol", "kind", "cause", "operation", "targets",
    "pages", "invalidations", "slowest_cpu", "slowest_reason", *_PARTS,
)  # fmt: skip


@dataclass(slots=True)
class Span:
    """Something that lasts.

    Attributes
    ----------
    name, category
        What it is, and of what sort: ``operation``, ``broadcast``, ``part`` or ``answer``.
    start_ps, end_ps
        When.
    facts
        What else is known of it.
    inside
        The spans in it, one after the other.
    arrow
        The number of the arrow that begins here, or ends here at an answer; 0: none.
    """

    name: str
    category: str
    start_ps: int
    end_ps: int
    facts: Mapping[str, int | str] = field(default_factory=dict)
    inside: list[Span] = field(default_factory=list)
    arrow: int = 0


@dataclass(slots=True)
class Spans:
    """All spans of a replication, or of a part of it.

    Attributes
    ----------
    tasks
        The outermost spans of each task, in order, by CPU and number of the task.
    answers
        The answers of each CPU to broadcasts that waited for it longest, in order of their begin.
        They may overlap: one handler answers several calls.
    names
        The workload of each task.
    """

    tasks: dict[tuple[int, int], list[Span]]
    answers: dict[int, list[Span]]
    names: dict[tuple[int, int], str]


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


def spans_of(result: Result, window: Window) -> Spans:
    """Return the spans of a replication in a window.

    Raises
    ------
    OutputError
        If there is no such replication, or there are too many rows for one timeline.
    """
    runs = result.summary["replications"]
    if window.replication >= runs:
        there = "is only replication 0" if runs == 1 else f"are replications 0 to {runs - 1}"
        raise OutputError(f"there is no replication {window.replication}; there {there}")
    operations = _rows(result, "operations", _OPERATION, window, 0)
    crosscalls = _rows(result, "crosscalls", _CROSSCALL, window, len(operations))
    names = _names(result, window.replication)
    spans = Spans({}, {}, names)
    by_id: dict[int, Span] = {}
    _add_operations(spans, by_id, operations)
    serial = result.manifest["scenario"]["kernel"]["crosscall_order"] == "serial"
    _add_crosscalls(spans, by_id, crosscalls, serial=serial)
    _put_in_order(spans)
    return spans


def _rows(
    result: Result, table: str, columns: tuple[str, ...], window: Window, before: int
) -> list[dict[str, Any]]:
    """Return the rows in the window, as long as there are not too many of them."""
    found: list[dict[str, Any]] = []
    for batch in result.batches(table, ("replication", *columns)):
        rows: Any = window.rows(batch).to_dict("records")
        found += rows
        if before + len(found) > MOST_ROWS:
            raise OutputError(
                f"this part of {result.path} has more operations and broadcasts than the"
                f" {MOST_ROWS:,} that a timeline takes: choose a shorter one (--from TIME"
                " --to TIME)"
            )
    return found


def _names(result: Result, replication: int) -> dict[tuple[int, int], str]:
    tasks = result.tasks
    rows = tasks[tasks["replication"] == replication]
    return {
        (int(cpu), int(task)): str(name)
        for cpu, task, name in zip(rows["cpu"], rows["task"], rows["workload"], strict=True)
    }


def _add_operations(spans: Spans, by_id: dict[int, Span], rows: list[dict[str, Any]]) -> None:
    rows.sort(key=lambda row: row["id"])  # a caller begins before what it calls
    for row in rows:
        span = Span(
            row["kind"], "operation", int(row["start_ps"]), int(row["end_ps"]),
            _facts(row, ("id", "pages", "crosscalls", *_OPERATION[-4:])),
        )  # fmt: skip
        by_id[int(row["id"])] = span
        task = (int(row["cpu"]), int(row["task"]))
        spans.names.setdefault(task, str(row["workload"]))
        _caller(spans, by_id, row["parent"], task).append(span)


def _add_crosscalls(
    spans: Spans, by_id: dict[int, Span], rows: list[dict[str, Any]], *, serial: bool
) -> None:
    for number, row in enumerate(rows, start=1):
        span = Span(
            f"{row['protocol']} {row['kind']}", "broadcast",
            int(row["start_ps"]), int(row["end_ps"]),
            _facts(row, ("cause", "targets", "pages", "invalidations", "slowest_cpu",
                         "slowest_reason")),
            _parts(row, _order(row["protocol"], serial=serial), int(row["start_ps"])),
        )  # fmt: skip
        task = (int(row["cpu"]), int(row["task"]))
        spans.names.setdefault(task, KERNEL_WORKER)
        _caller(spans, by_id, row["operation"], task).append(span)
        if not pd.isna(row["slowest_cpu"]):
            span.arrow = number
            spans.answers.setdefault(int(row["slowest_cpu"]), []).append(_answer(row, number))


def _order(protocol: str, *, serial: bool) -> tuple[str, ...]:
    """Return the parts of a latency in the order of time."""
    if protocol == "tlbi":
        return ("queue_ps", "function_ps", "delivery_ps", "resume_ps")
    if not serial:
        return _PARTS
    # The initiator runs the function itself after the visit.
    return (*(name for name in _PARTS if name not in _AFTER_THE_VISIT), *_AFTER_THE_VISIT)


def _caller(spans: Spans, by_id: dict[int, Span], number: Any, task: tuple[int, int]) -> list[Span]:
    """Return where the spans go that an operation made: what has no row, the run was cut in."""
    caller = None if pd.isna(number) else by_id.get(int(number))
    return spans.tasks.setdefault(task, []) if caller is None else caller.inside


def _answer(row: Mapping[str, Any], arrow: int) -> Span:
    """Return what the slowest target did, from the call's arrival to its acknowledgement."""
    arrival = int(row["start_ps"]) + sum(int(row[name]) for name in _ON_THE_WAY)
    parts = _parts(row, _AT_THE_TARGET, arrival)
    return Span(
        f"answer CPU {row['cpu']}: {row['kind']}", "answer", arrival,
        parts[-1].end_ps if parts else arrival, _facts(row, ("cause",)), parts, arrow,
    )  # fmt: skip


def _parts(row: Mapping[str, Any], names: tuple[str, ...], start: int) -> list[Span]:
    """Return the parts of a latency one after the other, those of no length left out."""
    parts = []
    for name in names:
        length = int(row[name])
        if length:
            said = name.removesuffix("_ps").replace("_", " ")
            parts.append(Span(said, "part", start, start + length))
            start += length
    return parts


def _facts(row: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, int | str]:
    return {
        name: row[name] if isinstance(row[name], str) else int(row[name])
        for name in names
        if not pd.isna(row[name])
    }


def _put_in_order(spans: Spans) -> None:
    """Sort what happened in one task or operation by time."""
    for listed in _lists(spans):
        listed.sort(key=lambda span: (span.start_ps, span.end_ps))
    for answers in spans.answers.values():
        answers.sort(key=lambda span: (span.start_ps, span.end_ps))


def _lists(spans: Spans) -> Iterator[list[Span]]:
    waiting = list(spans.tasks.values())
    while waiting:
        listed = waiting.pop()
        yield listed
        waiting += [span.inside for span in listed if span.category == "operation"]
