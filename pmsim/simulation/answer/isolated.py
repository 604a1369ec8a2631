"""What interrupted isolated CPUs: how often, by what, for how long, and what is over the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from pmsim.simulation.answer.isolation import Interrupter, Isolated, Isolation, Lengths, Violation
from pmsim.simulation.answer.kernelcalls import KERNEL_WORKER
from pmsim.simulation.tables.arrays import coded, filled
from pmsim.simulation.tables.source import TableSource
from pmsim.simulation.tables.tally import Tally
from pmsim.units import S

Ints = npt.NDArray[np.int64]

DAY: Final = 86_400 * S
"""Picoseconds of a day."""

QUANTILES: Final = (0.5, 0.99, 0.999, 0.9999)
"""Quantiles of the length of interruptions that are told, where enough are known."""

_RUN: Final = 40
"""Bits of an operation's number, below that of its run."""


def isolated_cpus(
    files: TableSource,
    isolation: Isolation,
    lengths: Mapping[int, int],
    stolen_ps: int,
    names: Mapping[tuple[int, int], str],
    *,
    stalls: bool,
) -> Isolated:
    """Return what became of isolated CPUs.

    Parameters
    ----------
    files
        The tables.
    isolation
        Which CPUs, and what is allowed on them.
    lengths
        Simulated length of each replication in picoseconds.
    stolen_ps
        What was stolen from them altogether.
    names
        The workload of each task, by CPU and number.
    stalls
        Whether the hardware told CPUs of anything. Where it did not, what was stolen beside known
        interruptions are handlers of calls that nobody waits for, under way as the run ended.
    """
    n, duration = len(isolation.cpus), sum(lengths.values())
    found = _handlers(files)
    tally = Tally()
    tally.add(found.length)
    per_s = tally.count * S / (n * duration) if duration else 0.0
    who, of_whom = _interrupters(files, found, names, n * duration)
    on_each = _on_each(found, isolation.cpus, len(lengths))
    longest = int(found.length.argmax()) if tally.count else None
    interrupted = tally.total
    return Isolated(
        cpus=n,
        interrupts=tally.count,
        fewest=int(on_each.min(initial=tally.count)),
        most=int(on_each.max(initial=0)),
        per_s=per_s,
        per_day=per_s * DAY / S,
        length_ps=_lengths(tally),
        longest_cpu=None if longest is None else int(found.cpu[longest]),
        longest_at_ps=None if longest is None else int(found.start[longest]),
        longest_by="" if longest is None else str(who[of_whom[longest]]),
        interrupted_ps=interrupted,
        stalled_ps=max(0, stolen_ps - interrupted) if stalls else 0,
        own_share=1 - stolen_ps / (n * duration) if duration else 1.0,
        by=tuple(sorted(who, key=lambda one: -one.interrupts)),
        violations=tuple(_violations(found, isolation, lengths, who, of_whom)),
    )


def _on_each(found: _Handlers, cpus: Sequence[int], runs: int) -> Ints:
    """Count the interruptions of each CPU in each run."""
    numbers = np.array(sorted(cpus), dtype=np.int64)
    _, run = np.unique(found.replication, return_inverse=True)
    place = run * len(numbers) + np.searchsorted(numbers, found.cpu)
    return np.bincount(place, minlength=runs * len(numbers))


def _lengths(tally: Tally) -> Lengths:
    if not tally.count:
        return Lengths(None, None, None, None, None, None)
    p50, p99, p99_9, p99_99 = map(tally.quantile, QUANTILES)
    mean, longest = round(tally.total / tally.count), tally.at(tally.count)
    return Lengths(mean, p50, p99, p99_9, p99_99, longest)


@dataclass(frozen=True, slots=True)
class _Handlers:
    """Interruptions, an entry each: where and when, how long, and the call that began it."""

    replication: Ints
    cpu: Ints
    start: Ints
    length: Ints
    initiator: Ints
    task: Ints
    operation: Ints
    why: Ints
    whys: Sequence[tuple[str, str]]


_NUMBERS: Final = (
    "replication", "cpu", "start_ps", "from_ps", "end_ps", "opened", "initiator", "task",
    "operation",
)  # fmt: skip


def _handlers(files: TableSource) -> _Handlers:
    """Put the calls together that one handler served; what it is for is what began it."""
    whys: dict[tuple[str, str], int] = {}
    parts: list[list[Ints]] = []
    for batch in files.arrow_batches("interruptions", (*_NUMBERS, "cause", "protocol")):
        causes, cause_names = coded(batch.column(len(_NUMBERS)))
        protocols, protocol_names = coded(batch.column(len(_NUMBERS) + 1))
        n = len(protocol_names)
        pairs, place = np.unique(causes * n + protocols, return_inverse=True)
        codes = [
            whys.setdefault((cause_names[pair // n], protocol_names[pair % n]), len(whys))
            for pair in pairs.tolist()
        ]
        numbers = [filled(batch.column(place)).astype(np.int64) for place in range(len(_NUMBERS))]
        parts.append([*numbers, np.array(codes, dtype=np.int64)[place]])
    empty = [[np.empty(0, dtype=np.int64)] * (len(_NUMBERS) + 1)]
    columns = [np.concatenate(column) for column in zip(*(parts or empty), strict=True)]
    run, cpu, start, since, end, opened, *_ = columns
    order = np.lexsort((-opened, start, cpu, run))
    run, cpu, start, since, end, _, initiator, task, operation, why = (c[order] for c in columns)
    first = np.ones(len(run), dtype=bool)
    first[1:] = (np.diff(run) != 0) | (np.diff(cpu) != 0) | (np.diff(start) != 0)
    at = np.flatnonzero(first)
    length = end - since
    if len(at):
        length = np.maximum.reduceat(end, at) - np.minimum.reduceat(since, at)
    return _Handlers(
        run[at], cpu[at], start[at], length, initiator[at], task[at], operation[at], why[at],
        tuple(whys),
    )  # fmt: skip


def _interrupters(
    files: TableSource, found: _Handlers, names: Mapping[tuple[int, int], str], cpu_time: int
) -> tuple[list[Interrupter], Ints]:
    """Return who interrupted, and for each interruption which of them it was."""
    calls, of_call = _outermost(files, found)
    places: dict[tuple[str, str, str, str], int] = {}
    keys, place = np.unique(
        np.stack((found.initiator, found.task, of_call, found.why), axis=1), axis=0,
        return_inverse=True,
    )  # fmt: skip
    codes = [
        places.setdefault(
            (names.get((cpu, task), KERNEL_WORKER), calls[call], *found.whys[why]), len(places)
        )
        for cpu, task, call, why in keys.tolist()
    ]
    of_whom = np.array(codes, dtype=np.int64)[place.ravel()]
    count = np.bincount(of_whom, minlength=len(places)).tolist()
    longest = np.zeros(len(places), dtype=np.int64)
    np.maximum.at(longest, of_whom, found.length)
    who = [
        Interrupter(*key, count[at], count[at] * S / cpu_time, int(longest[at]))
        for key, at in places.items()
    ]
    return who, of_whom


def _outermost(files: TableSource, found: _Handlers) -> tuple[list[str], Ints]:
    """Return names of calls, and for each interruption that of the outermost one it came from."""
    none = found.operation < 0
    own = np.where(none, -1, found.replication << _RUN | found.operation)
    keys, place = np.unique(own, return_inverse=True)
    names = {"": 0}
    kind, ancestor = np.zeros(len(keys), dtype=np.int64), keys.copy()
    while (live := np.flatnonzero(ancestor >= 0)).size:
        wanted, of = np.unique(ancestor[live], return_inverse=True)
        parent, code = np.full((2, len(wanted)), -1)
        for batch in files.arrow_batches("operations", ("replication", "id", "parent", "kind")):
            run, number_, above = (filled(batch.column(i)) for i in range(3))
            codes, kinds = coded(batch.column(3))
            key = run << _RUN | number_
            at = np.minimum(np.searchsorted(wanted, key), len(wanted) - 1)
            hit = wanted[at] == key
            ours = np.array([names.setdefault(one, len(names)) for one in kinds], dtype=np.int64)
            parent[at[hit]] = np.where(above < 0, -1, run << _RUN | above)[hit]
            code[at[hit]] = ours[codes[hit]]
        kind[live] = np.where(code[of] >= 0, code[of], kind[live])
        ancestor[live] = parent[of]
    return list(names), kind[place.ravel()]


def _violations(
    found: _Handlers,
    isolation: Isolation,
    lengths: Mapping[int, int],
    who: Sequence[Interrupter],
    of_whom: Ints,
) -> list[Violation]:
    """Return a violation for each limit that some CPU did not keep: the CPU farthest from it."""
    if not len(found.cpu):
        return []
    places, of = np.unique(
        np.stack((found.replication, found.cpu), axis=1), axis=0, return_inverse=True
    )
    of = of.ravel()
    said = []

    def add(limit: str, allowed: float, values: npt.NDArray[np.float64]) -> None:
        over = values > allowed
        if not over.any():
            return
        worst = int(values.argmax())
        mine = np.flatnonzero(of == worst)
        if limit == "longest":
            culprit = int(of_whom[mine[found.length[mine].argmax()]])
        else:
            culprit = int(np.bincount(of_whom[mine]).argmax())
        replication, cpu = places[worst].tolist()
        said.append(
            Violation(
                limit, allowed, float(values[worst]), cpu, replication, int(over.sum()),
                str(who[culprit]),
            )
        )  # fmt: skip

    if isolation.interrupts is not None:
        seconds = np.array([lengths[run] / S for run in places[:, 0].tolist()])
        add("interrupts", float(isolation.interrupts), np.bincount(of) / seconds)
    if isolation.longest is not None:
        longest = np.zeros(len(places), dtype=np.int64)
        np.maximum.at(longest, of, found.length)
        add("longest", float(isolation.longest), longest.astype(np.float64))
    return said
