"""What is read off a run, to be held against a measured figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from pmsim.errors import ResultError
from pmsim.quantities import Keys, refused
from pmsim.simulation.tables.source import TableSource, whole
from pmsim.units import S

Floats = npt.NDArray[np.float64]
Columns = Mapping[str, npt.NDArray[Any]]
What = Literal[
    "operation",
    "loop",
    "rate",
    "calls",
    "latency",
    "run",
    "slowdown",
    "in_calls",
    "in_shootdowns",
    "spinning",
    "stolen",
]

MEANINGS: Final[Mapping[What, str]] = {
    "operation": "the mean length of operations of the kinds `of`, in time",
    "loop": "the time of one round of a task that does the operations `of` over and over: from its"
    " first one's start to its last one's end, by the number of those of the first kind; the mean"
    " over tasks",
    "rate": "operations of the first kind of `of` by all tasks in a second, from the first one's"
    " start to the last one's end; 0 where none ended",
    "calls": "shootdowns in an operation of the kinds `of`, the mean",
    "latency": "the mean latency of shootdowns with a cause in `of`; of all where `of` is empty",
    "run": "the length of the run",
    "slowdown": "of tasks of the workloads `of`: the time they took by the work they got done",
    "in_calls": "the share of the time of operations of the kinds `of` that is spent in shootdowns",
    "stolen": "what one interrupt takes from the CPU that it comes to, the mean",
    "spinning": "the share of the CPUs' time that is not idle in which they spin for locks",
    "in_shootdowns": "the share of the CPUs' time that is not idle that shootdowns take, as a"
    " profile of all CPUs tells it: what callers queue and send and wait, and handlers",
}
"""What can be read off, and how."""
_NOT_IDLE: Final = ("busy_ps", "spin_ps", "irqs_off_ps", "stolen_ps")
_OF_ALL: Final[tuple[What, ...]] = ("latency", "run", "in_shootdowns", "spinning", "stolen")
"""What need not be of anything in particular."""


class Observable(Keys):
    """What is read off a run: one number."""

    what: What = Field(description="; ".join(f"{name}: {said}" for name, said in MEANINGS.items()))
    of: tuple[str, ...] = Field(
        default=(), description="Kinds of operations, causes or workloads that it is about."
    )

    @model_validator(mode="after")
    def _about_something(self) -> Observable:
        if not self.of and self.what not in _OF_ALL:
            raise refused("missing-key", f"what '{self.what}' is to be of, is missing",
                          "for example of: [mprotect]")  # fmt: skip
        return self

    def read(self, tables: TableSource, duration: int) -> float:
        """Return the number of a finished run.

        Parameters
        ----------
        tables
            What was recorded of it.
        duration
            Its length in picoseconds.

        Raises
        ------
        ResultError
            If nothing happened that it is about.
        """
        if self.what == "run":
            return float(duration)
        return _READ[self.what](tables, self.of)


def _operations(tables: TableSource, of: tuple[str, ...], *more: str) -> Columns:
    columns = whole(tables, "operations", ("kind", "cpu", "task", "start_ps", "end_ps", *more))
    return _chosen(columns, "kind", of)


def _chosen(columns: Columns, name: str, of: tuple[str, ...]) -> Columns:
    mask = np.isin(columns[name].astype(str), of) if of else np.ones(len(columns[name]), bool)
    if not mask.any():
        raise ResultError(f"the run has nothing of the {name} {', '.join(of) or 'any'}")
    return {key: values[mask] for key, values in columns.items()}


def _lengths(rows: Columns) -> Floats:
    lengths: Floats = (rows["end_ps"] - rows["start_ps"]).astype(np.float64)
    return lengths


def _operation(tables: TableSource, of: tuple[str, ...]) -> float:
    return float(_lengths(_operations(tables, of)).mean())


def _loop(tables: TableSource, of: tuple[str, ...]) -> float:
    rows = _operations(tables, of)
    first = rows["kind"].astype(str) == of[0]
    who = rows["cpu"].astype(np.int64) << 32 | rows["task"].astype(np.int64)
    rounds = []
    for one in np.unique(who):
        mine = who == one
        count = int((first & mine).sum())
        if count:
            rounds.append((rows["end_ps"][mine].max() - rows["start_ps"][mine].min()) / count)
    if not rounds:
        raise ResultError(f"the run has no operation {of[0]}")
    return float(np.mean(rounds))


def _rate(tables: TableSource, of: tuple[str, ...]) -> float:
    try:
        rows = _operations(tables, of)
    except ResultError:
        return 0.0
    count = int((rows["kind"].astype(str) == of[0]).sum())
    return float(count * S / (rows["end_ps"].max() - rows["start_ps"].min()))


def _calls(tables: TableSource, of: tuple[str, ...]) -> float:
    return float(_operations(tables, of, "crosscalls")["crosscalls"].mean())


def _latency(tables: TableSource, of: tuple[str, ...]) -> float:
    columns = whole(tables, "crosscalls", ("cause", "start_ps", "end_ps"))
    return float(_lengths(_chosen(columns, "cause", of)).mean())


def _slowdown(tables: TableSource, of: tuple[str, ...]) -> float:
    columns = whole(tables, "tasks", ("workload", "start_ps", "end_ps", "work_ps"))
    rows = _chosen(columns, "workload", of)
    return float((_lengths(rows) / rows["work_ps"]).mean())


def _in_calls(tables: TableSource, of: tuple[str, ...]) -> float:
    rows = _operations(tables, of, "crosscall_ps")
    return float(rows["crosscall_ps"].sum() / _lengths(rows).sum())


def _shares(tables: TableSource) -> dict[str, float]:
    """Return how the time of all CPUs splits that is not idle, and the part of it for locks."""
    rows = whole(tables, "cpus", (*_NOT_IDLE, "lock_spin_ps"))
    sums = {name: float(column.sum()) for name, column in rows.items()}
    time = sum(sums[name] for name in _NOT_IDLE)
    return {name: part / time for name, part in sums.items()}


def _spinning(tables: TableSource, of: tuple[str, ...]) -> float:
    return _shares(tables)["lock_spin_ps"]


def _in_shootdowns(tables: TableSource, of: tuple[str, ...]) -> float:
    shares = _shares(tables)
    waiting = shares["spin_ps"] - shares["lock_spin_ps"]
    return waiting + shares["irqs_off_ps"] + shares["stolen_ps"]


def _stolen(tables: TableSource, of: tuple[str, ...]) -> float:
    rows = whole(tables, "cpus", ("stolen_ps", "handlers"))
    handlers = int(rows["handlers"].sum())
    if not handlers:
        raise ResultError("the run has no interrupts")
    return float(rows["stolen_ps"].sum() / handlers)


_READ: Final[Mapping[What, Callable[[TableSource, tuple[str, ...]], float]]] = {
    "operation": _operation,
    "loop": _loop,
    "rate": _rate,
    "calls": _calls,
    "latency": _latency,
    "slowdown": _slowdown,
    "in_calls": _in_calls,
    "in_shootdowns": _in_shootdowns,
    "spinning": _spinning,
    "stolen": _stolen,
}
