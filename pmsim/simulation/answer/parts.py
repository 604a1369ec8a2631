"""The initial and the steady part of each run, reported apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pmsim.simulation.answer.calm import Calm, calm
from pmsim.simulation.answer.summary import Parts
from pmsim.simulation.tables.arrays import filled
from pmsim.simulation.tables.source import TableSource, whole
from pmsim.units import S

SPENT: Final = ("stolen_ps", "awake_ps", "spin_ps", "irqs_off_ps", "refill_ps")
"""What `lost_ps` is reckoned from, by the columns of CPUs' accounts."""

Ints = npt.NDArray[np.int64]
Columns = Mapping[str, Ints]

_CPU_TIME = ("busy_ps", "spin_ps", "irqs_off_ps", "stolen_ps", "idle_ps", "frozen_ps")
_TIMELINE = (
    "replication", "start_ps", "end_ps", "broadcasts", *_CPU_TIME, "awake_ps", "refill_ps",
    "windows_ps",
)  # fmt: skip
_SIDES = ("before", "after")


def parts_of_runs(
    files: TableSource,
    durations: Mapping[int, int],
    last_ends: Mapping[int, int],
    warmup: int | None,
) -> tuple[tuple[Calm, ...], tuple[Parts, ...]]:
    """Return how each replication calms down, and what came before and after.

    Parameters
    ----------
    files
        The tables.
    durations
        Length of each replication in picoseconds, by its number.
    last_ends
        When the last shootdown of each ended, where there was one.
    warmup
        Where the transients end, if the scenario says so; `None` looks for their ends.
    """
    timeline = whole(files, "timeline", _TIMELINE)
    rows = {number: _rows(timeline, timeline["replication"] == number) for number in durations}
    starts = _starts(files, durations)
    found = {
        number: calm(starts[number], length, last_ends.get(number, 0))
        for number, length in durations.items()
    }
    told = {number: one.at_ps if warmup is None else warmup for number, one in found.items()}
    ends = {number: end for number, end in told.items() if end is not None}
    calls = _calls(files, ends)
    parts = []
    for number, one in found.items():
        known: dict[str, Any] = {}
        if number in ends:
            end, length = ends[number], durations[number]
            lengths = (min(end, length), max(0, length - end))
            known = _rates(calls[number], lengths) | _lost(rows[number], end)
        parts.append(Parts(told[number], one.verdict if warmup is None else "given", **known))
    return tuple(found.values()), tuple(parts)


def lost_ps(spent: Columns, windows: Ints) -> Ints:
    """Return the CPU time that tasks lost, row by row: not that of idle CPUs that were woken.

    Parameters
    ----------
    spent
        The columns `SPENT` of accounts or of a timeline.
    windows
        Time in windows with interrupts off that workloads asked for: their own doing. What remains
        of interrupts-off is the start of calls.
    """
    sending = np.maximum(spent["irqs_off_ps"] - windows, 0)
    felt = spent["stolen_ps"] - spent["awake_ps"]
    lost: Ints = felt + spent["spin_ps"] + sending + spent["refill_ps"]
    return lost


def _rows(columns: Columns, chosen: npt.NDArray[np.bool_]) -> dict[str, Ints]:
    return {name: values[chosen] for name, values in columns.items()}


def _starts(files: TableSource, numbers: Iterable[int]) -> dict[int, Ints]:
    """Return when the shootdowns of each replication began, ascending."""
    pieces: dict[int, list[Ints]] = {number: [np.empty(0, dtype=np.int64)] for number in numbers}
    for batch in files.arrow_batches("crosscalls", ("replication", "start_ps")):
        replication, start = (filled(batch.column(i)) for i in range(2))
        for number, rows in of_replications(replication):
            if number in pieces:
                pieces[number].append(start[rows])
    return {number: np.sort(np.concatenate(found)) for number, found in pieces.items()}


def _calls(files: TableSource, ends: Mapping[int, int]) -> dict[int, list[tuple[int, int]]]:
    """Return of each replication the number and the latencies' sum of calls before and after."""
    found = {number: [(0, 0), (0, 0)] for number in ends}
    for batch in files.arrow_batches("crosscalls", ("replication", "start_ps", "end_ps")):
        replication, start, end = (filled(batch.column(i)) for i in range(3))
        latency = end - start
        for number, rows in of_replications(replication):
            if number not in ends:
                continue
            late = start[rows] >= ends[number]
            for side, of_side in enumerate((~late, late)):
                count, total = found[number][side]
                took = int((latency[rows] * of_side).sum())
                found[number][side] = (count + int(np.count_nonzero(of_side)), total + took)
    return found


def of_replications(replication: Ints) -> Iterator[tuple[int, slice]]:
    """Yield which replication rows are of, stretch by stretch: its number, and the rows."""
    borders = (np.flatnonzero(np.diff(replication)) + 1).tolist()
    for begin, end in pairwise([0, *borders, len(replication)]):
        yield int(replication[begin]), slice(begin, end)


def _rates(calls: Sequence[tuple[int, int]], lengths: Sequence[int]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for side, (count, total), length in zip(_SIDES, calls, lengths, strict=True):
        found[f"broadcasts_{side}"] = count
        found[f"per_s_{side}"] = count * S / length if length else 0.0
        found[f"latency_mean_ps_{side}"] = total / count if count else None
    return found


def _lost(timeline: Columns, end: int) -> dict[str, float]:
    early = timeline["start_ps"] < end
    found = {}
    for side, rows in zip(_SIDES, (_rows(timeline, early), _rows(timeline, ~early)), strict=True):
        whole = sum(int(rows[name].sum()) for name in _CPU_TIME)
        spent = int(lost_ps(rows, rows["windows_ps"]).sum())
        found[f"lost_share_{side}"] = spent / whole if whole else 0.0
    return found
