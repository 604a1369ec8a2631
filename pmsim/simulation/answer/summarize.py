"""How the summary of a result is made: from its tables alone, a batch of rows at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pmsim.simulation.answer.calm import foremost
from pmsim.simulation.answer.isolated import isolated_cpus
from pmsim.simulation.answer.isolation import Isolated, Isolation
from pmsim.simulation.answer.kernelcalls import KERNEL_WORKER, kernel_calls
from pmsim.simulation.answer.lock_waits import lock_waits
from pmsim.simulation.answer.parts import SPENT, lost_ps, of_replications, parts_of_runs
from pmsim.simulation.answer.safety import exposed, overwritten, safe
from pmsim.simulation.answer.slowest import SLOWEST_COLUMNS, SlowestCall
from pmsim.simulation.answer.summary import (
    Cost,
    Detail,
    Failures,
    Frozen,
    Initiator,
    Latency,
    Operations,
    Paid,
    PayingCpu,
    ShootdownCounts,
    Summary,
    UserWork,
)  # fmt: skip
from pmsim.simulation.tables.arrays import coded, filled, numbers
from pmsim.simulation.tables.columns import DETAIL
from pmsim.simulation.tables.protocols import SILENT
from pmsim.simulation.tables.source import TableSource, whole
from pmsim.simulation.tables.tally import Tally
from pmsim.units import S

Ints = npt.NDArray[np.int64]

QUANTILES = (0.5, 0.99, 0.999)
"""Latency quantiles that are reported, where enough calls are known."""

TOP = 5
"""How many of those who paid most are listed."""


def summarize(
    files: TableSource,
    durations: Sequence[int],
    warmup: int | None = None,
    *,
    first: int = 0,
    isolation: Isolation | None = None,
) -> Summary:
    """Return the headline numbers of a finished result, without the intervals of means.

    Parameters
    ----------
    files
        Its tables, wherever they are.
    durations
        Simulated length of each replication in picoseconds.
    warmup
        Where the transient ends, if the scenario says so; `None` looks for its end.
    first
        Number of the first replication in the tables.
    isolation
        The isolated CPUs, if there are any.
    """
    cpus = whole(files, "cpus", _CPU_COLUMNS)
    tasks = whole(files, "tasks", _TASK_COLUMNS)
    calls = _Calls(files)
    names = _names(tasks)
    lengths = dict(enumerate(durations, first))
    calms, transients = parts_of_runs(files, lengths, calls.last_ends, warmup)
    return Summary(
        duration_ps=sum(durations),
        replications=len(durations),
        cpus=len(np.unique(cpus["cpu"])),
        broadcasts=calls.totals(sum(durations)),
        latency_ps=calls.latency(),
        cost=_cost(calls, cpus, tasks, sum(durations)),
        paid=Paid(_paying_cpus(cpus, tasks), calls.initiators(names)),
        slowest=calls.slowest.told(names),
        transient_end_ps=transients[0].end_ps if transients else None,
        calm=foremost(calms),
        transients=transients,
        user_work=_user_work(tasks, cpus),
        calls=kernel_calls(files, set(names.values()), sum(durations)),
        operations=_operations(files),
        locks=lock_waits(files),
        failures=_failures(files),
        detail=_detail(files),
        safety=safe(files),
        exposure=exposed(files),
        overwritten=overwritten(files),
        isolated=_isolated(files, isolation, lengths, cpus, names, calls),
        frozen=_frozen(calls, cpus, sum(durations)),
    )


def _frozen(calls: _Calls, cpus: Mapping[str, Ints], duration: int) -> Frozen | None:
    frozen = int(cpus["frozen_ps"].sum())
    if not frozen:
        return None
    return Frozen(
        share=frozen / (duration * len(np.unique(cpus["cpu"]))),
        latency_ps=calls.frozen,
        held_up_ps=int(cpus["holding_frozen_ps"].sum()),
        left_out=calls.left_out.get("user", 0),
    )


def _isolated(
    files: TableSource,
    isolation: Isolation | None,
    lengths: Mapping[int, int],
    cpus: Mapping[str, Ints],
    names: Mapping[tuple[int, int], str],
    calls: _Calls,
) -> Isolated | None:
    if isolation is None:
        return None
    stolen = int(cpus["stolen_ps"][np.isin(cpus["cpu"], isolation.cpus)].sum())
    stalls = not SILENT.isdisjoint(calls.protocols)
    return isolated_cpus(files, isolation, lengths, stolen, names, stalls=stalls)


_CPU_COLUMNS = (
    "replication", "cpu", *SPENT, "lock_spin_ps", "handlers", "woken", "frozen_ps",
    "holding_frozen_ps",
)  # fmt: skip
_TASK_COLUMNS = (
    "replication", "workload", "cpu", "task", "start_ps", "end_ps", "work_ps", "windows_ps",
)  # fmt: skip
_PAID = ("stolen_ps", "awake_ps", "spin_ps", "refill_ps", "handlers")
_CALL_COLUMNS = (
    "replication", "cpu", "task", "start_ps", "end_ps", "kind", "cause", "targets", "protocol",
    "pages", "idle_exit_ps", "left_out", "frozen_ps",
)  # fmt: skip
_ALL_CALL_COLUMNS = tuple(dict.fromkeys((*_CALL_COLUMNS, *SLOWEST_COLUMNS)))


class _Calls:
    """One pass over the shootdowns, adding up."""

    def __init__(self, files: TableSource) -> None:
        self.kinds: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        self.protocols: Counter[str] = Counter()
        self.targets = 0
        self.waking = 0
        self.frozen = 0
        self.left_out: Counter[str] = Counter()
        self.last_ends: dict[int, int] = {}
        self.waited: Counter[tuple[int, int]] = Counter()
        self.latencies = Tally()
        self.pages = Tally()
        self.slowest = SlowestCall()
        for batch in files.arrow_batches("crosscalls", _ALL_CALL_COLUMNS):
            replication, cpu, task, start, end = (filled(batch.column(i)) for i in range(5))
            latency = end - start
            self.latencies.add(latency)
            self.slowest.look(batch, latency)
            self.targets += int(filled(batch.column(7)).sum())
            self.waking += int(filled(batch.column(10)).sum())
            self.frozen += int(filled(batch.column(12)).sum())
            _add_by_name(self.left_out, *coded(batch.column(6)), filled(batch.column(11)))
            for counter, column in ((self.kinds, 5), (self.causes, 6), (self.protocols, 8)):
                for item in batch.column(column).value_counts().to_pylist():
                    counter[item["values"]] += item["counts"]
            self.pages.add(_pages_of_ranges(batch))
            for number, rows in of_replications(replication):
                last = int(end[rows].max())
                self.last_ends[number] = max(last, self.last_ends.get(number, 0))
            _add_by_key(self.waited, cpu, task, latency)

    def totals(self, duration: int) -> ShootdownCounts:
        count = self.latencies.count
        return ShootdownCounts(
            total=count,
            per_s=count * S / duration if duration else 0.0,
            by_kind=dict(self.kinds.most_common()),
            by_cause=dict(self.causes.most_common()),
            by_protocol=dict(self.protocols.most_common()),
            targets=self.targets,
            pages_p50=_median(self.pages),
            left_out=dict(self.left_out.most_common()),
        )

    def latency(self) -> Latency:
        n = self.latencies.count
        if not n:
            return Latency(None, None, None, None, None)
        mean, slowest = round(self.latencies.total / n), self.latencies.at(n)
        median, p99, p99_9 = map(self.latencies.quantile, QUANTILES)
        above, share = None, None
        if p99 is not None:
            above, time = self.latencies.above(p99)
            share = time / self.latencies.total if time else 0.0
        return Latency(mean, median, p99, p99_9, slowest, above, share)

    def initiators(self, names: Mapping[tuple[int, int], str]) -> tuple[Initiator, ...]:
        return tuple(
            Initiator(cpu, task, names.get((cpu, task), KERNEL_WORKER), waited)
            for (cpu, task), waited in self.waited.most_common(TOP)
        )


def _pages_of_ranges(batch: pa.RecordBatch) -> Ints:
    """Return the pages of the ranged flushes among some rows of `_ALL_CALL_COLUMNS`."""
    codes, kinds = coded(batch.column(_ALL_CALL_COLUMNS.index("kind")))
    pages = filled(batch.column(_ALL_CALL_COLUMNS.index("pages")))
    ranged = np.array([kind == "range" for kind in kinds], dtype=bool)
    found: Ints = pages[ranged[codes] & (pages >= 0)]
    return found


def _median(times: Tally) -> int | None:
    """Return the median, a value that occurred; `None` of nothing."""
    return times.at((times.count + 1) // 2) if times.count else None


def _add_by_name(into: Counter[str], codes: Ints, names: Sequence[str], values: Ints) -> None:
    """Add values to the names that their codes stand for; names that get nothing stay away."""
    for code in np.unique(codes[values > 0]).tolist():
        into[names[code]] += int(values[codes == code].sum())


def _add_by_key(into: Counter[tuple[int, int]], cpu: Ints, task: Ints, values: Ints) -> None:
    least = int(task.min())
    tasks = int(task.max()) - least + 1
    # A hash table; NumPy would sort all rows.
    encoded = numbers(cpu * tasks + task - least).dictionary_encode()
    keys, place = filled(encoded.dictionary), filled(encoded.indices)
    sums = _sums(place, values, len(keys))
    for at in np.argsort(keys).tolist():
        into[(int(keys[at]) // tasks, int(keys[at]) % tasks + least)] += int(sums[at])


def _paying_cpus(cpus: Mapping[str, Ints], tasks: Mapping[str, Ints]) -> tuple[PayingCpu, ...]:
    known, place = np.unique(cpus["cpu"], return_inverse=True)
    sums = {name: _sums(place, cpus[name], len(known)) for name in (*SPENT, "handlers")}
    windows = np.zeros(len(known), dtype=np.int64)
    np.add.at(windows, np.searchsorted(known, tasks["cpu"]), tasks["windows_ps"])
    paid = lost_ps(sums, windows)
    return tuple(
        PayingCpu(int(known[row]), int(paid[row]), *(int(sums[name][row]) for name in _PAID))
        for row in np.argsort(-paid, kind="stable")[:TOP].tolist()
        if paid[row] > 0
    )


def _cost(
    calls: _Calls, cpus: Mapping[str, Ints], tasks: Mapping[str, Ints], duration: int
) -> Cost:
    """Return the CPU time that was lost, by what it was spent on."""
    names = (*SPENT, "lock_spin_ps", "woken")
    sums = {name: np.array([cpus[name].sum()]) for name in names}
    windows = np.array([tasks["windows_ps"].sum()])
    all_time = duration * len(np.unique(cpus["cpu"]))
    total = int(lost_ps(sums, windows)[0])
    sums["irqs_off_ps"] = np.maximum(sums["irqs_off_ps"] - windows, 0)
    spent = {name: int(one[0]) for name, one in sums.items()}
    share = total / all_time if all_time else 0.0
    return Cost(
        initiators_ps=calls.latencies.total, **spent, lost_ps=total, share=share,
        waking_ps=calls.waking,
    )  # fmt: skip


def _names(tasks: Mapping[str, Ints]) -> dict[tuple[int, int], str]:
    """Return the workload of each task, by CPU and number."""
    places = zip(tasks["cpu"].tolist(), tasks["task"].tolist(), strict=True)
    return dict(zip(places, tasks["workload"].tolist(), strict=True))


def _user_work(tasks: Mapping[str, Ints], cpus: Mapping[str, Ints]) -> tuple[UserWork, ...]:
    measured = tasks["work_ps"] >= 0
    handlers = dict(
        zip(
            zip(cpus["replication"].tolist(), cpus["cpu"].tolist(), strict=True),
            cpus["handlers"].tolist(),
            strict=True,
        )
    )
    rows = []
    for name in sorted(set(tasks["workload"][measured].tolist())):
        group = measured & (tasks["workload"] == name)
        of = {key: values[group] for key, values in tasks.items()}
        work = int(of["work_ps"].sum())
        elapsed = int((of["end_ps"] - of["start_ps"]).sum())
        places = set(zip(of["replication"].tolist(), of["cpu"].tolist(), strict=True))
        interrupts = [handlers[place] for place in places]
        rows.append(
            UserWork(
                workload=name,
                tasks=len(of["cpu"]),
                work_ps=work,
                elapsed_ps=elapsed,
                slowdown=elapsed / work - 1 if work else None,
                cpus=len(places),
                interrupts=sum(interrupts),
                fewest=min(interrupts),
                most=max(interrupts),
            )
        )
    return tuple(rows)


def _operations(files: TableSource) -> tuple[Operations, ...]:
    times: dict[str, Tally] = {}
    made: Counter[str] = Counter()
    delay: Counter[str] = Counter()
    columns = ("kind", "start_ps", "end_ps", "crosscalls", "delay_ps")
    for batch in files.arrow_batches("operations", columns):
        codes, kinds = coded(batch.column(0))
        start, end, crosscalls, delayed = (filled(batch.column(i)) for i in range(1, 5))
        for code in np.unique(codes).tolist():
            kind, rows = kinds[code], codes == code
            times.setdefault(kind, Tally()).add((end - start)[rows])
            made[kind] += int(crosscalls[rows].sum())
            delay[kind] += int(delayed[rows].sum())
    ordered = sorted(times, key=lambda kind: (delay[kind] - times[kind].total, kind))
    return tuple(_of_kind(kind, times[kind], delay[kind], made[kind]) for kind in ordered)


def _of_kind(kind: str, times: Tally, delay: int, made: int) -> Operations:
    count, total = times.count, times.total
    return Operations(
        kind=kind,
        count=count,
        mean_ps=round(total / count),
        median_ps=_median(times) or 0,
        longest_ps=times.at(count),
        total_ps=total,
        delay_ps=delay,
        crosscalls=made,
    )


def _sums(place: Ints, values: Ints, length: int) -> Ints:
    """Return the sums of values that belong to the same place, exact as floats would not be."""
    sums = np.zeros(length, dtype=np.int64)
    np.add.at(sums, place, values)
    return sums


def _failures(files: TableSource) -> tuple[Failures, ...]:
    faults = whole(files, "faults", ("kind", "at_ps", "workload", "detail"))
    kinds = faults["kind"].tolist()
    rows = []
    for kind, number in Counter(kinds).items():
        first = kinds.index(kind)
        rows.append(
            Failures(
                kind=kind,
                count=number,
                first_at_ps=int(faults["at_ps"][first]),
                first_by=faults["workload"][first],
                first=faults["detail"][first],
            )
        )
    return tuple(rows)


def _detail(files: TableSource) -> tuple[Detail, ...]:
    batches = files.arrow_batches("detail", DETAIL.names)
    return tuple(Detail(**row) for batch in batches for row in batch.to_pylist())
