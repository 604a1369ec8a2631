"""The headline numbers of a result: what synchronization cost, who paid, when the transient ended.

They come from the tables alone, a batch of rows at a time. Sums are over all replications.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pmsim.simulation.answer.kernelcalls import KERNEL_WORKER, kernel_calls
from pmsim.simulation.answer.parts import lost, parts_of_runs
from pmsim.simulation.answer.slowest import find_slowest
from pmsim.simulation.tables.columns import DETAIL
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.tables.tally import Tally
from pmsim.units import S

Ints = npt.NDArray[np.int64]

QUANTILES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}
"""Latency quantiles that are reported, where enough calls are known."""

TOP = 5
"""How many of those who paid most are listed."""


def summarize(
    files: TableFiles, durations: Sequence[int], warmup: int | None = None, *, first: int = 0
) -> dict[str, Any]:
    """Return the headline numbers of a finished result.

    Parameters
    ----------
    files
        Its tables.
    durations
        Simulated length of each replication in picoseconds.
    warmup
        Where the transient ends, if the scenario says so; `None` looks for its end.
    first
        Number of the first replication in the tables.

    Returns
    -------
    dict
        Plain data for ``summary.json``; every key is described in `KEYS`.
    """
    cpus = files.frame("cpus")
    tasks = files.frame("tasks")
    calls = _Calls(files)
    names = _names(tasks)
    lengths = dict(enumerate(durations, first))
    transients = parts_of_runs(files, lengths, calls.last_ends, warmup)
    return {
        "duration_ps": sum(durations),
        "replications": len(durations),
        "cpus": int(cpus["cpu"].nunique()),
        "broadcasts": calls.totals(sum(durations)),
        "latency_ps": calls.latency(),
        "cost": {"initiators_ps": calls.latencies.total, **_lost(cpus, tasks, sum(durations))},
        "paid": {"cpus": _paying_cpus(cpus), "initiators": calls.initiators(names)},
        "slowest": find_slowest(files, names),
        "transient_end_ps": transients[0]["end_ps"] if transients else None,
        "transients": transients,
        "user_work": _user_work(tasks, cpus),
        "calls": kernel_calls(files, set(names.values()), sum(durations)),
        "operations": _operations(files),
        "failures": _failures(files),
        "detail": _detail(files),
    }


KEYS: Mapping[str, str] = {
    "duration_ps": "Simulated time, all replications together.",
    "replications": "Number of runs.",
    "cpus": "Logical CPUs of the machine.",
    "broadcasts": "Cross-calls and invalidations: total, per second, by kind, cause and protocol,"
    " and CPUs that had to answer.",
    "latency_ps": "From a cross-call's start to its initiator's next step; quantiles are values"
    " that occurred, and none where too few calls are known.",
    "cost": "CPU time lost: interrupts and waking for them (stolen), waiting (spin), the start of"
    " cross-calls (irqs_off), refilling TLBs (refill), their sum (lost) and its share of all CPU"
    " time; and the latency of all cross-calls together (initiators), which overlaps with them.",
    "paid": "The CPUs that lost most to interrupts, and the tasks that waited longest.",
    "transient_end_ps": "Where the transient of the first replication ends; none if never.",
    "transients": "The same for each replication, with the rule that found it; and of the parts"
    " before and after the broadcasts, their rate, their mean latency, and the share of CPU time"
    " lost.",
    "slowest": "The broadcast that took longest: when, by whom, why, and for which CPU it waited.",
    "user_work": "How much slower user work became, for each such workload, and how often the CPUs"
    " that it runs on were interrupted.",
    "calls": "What workloads asked of the kernel: by workload and kind how many, how often, how"
    " long on average and at most, and with how many broadcasts.",
    "operations": "Kernel operations by kind: how many, how long on average, with how many calls.",
    "failures": "Simulated faults and failed calls by kind: how many, and the first.",
    "detail": "Of each run with measure.detail: which part was kept in full, how much that was, and"
    " when there was no more room, if ever (the columns of the table detail).",
    "intervals": "How well means are known: over replications, or within a single run. Of each"
    " metric its mean, the ends of the interval (none: not enough data), and the method.",
}
"""The keys of a summary, with a sentence each."""


_CALL_COLUMNS = (
    "replication", "cpu", "task", "start_ps", "end_ps", "kind", "cause", "targets", "protocol",
)  # fmt: skip


class _Calls:
    """One pass over the cross-calls, adding up."""

    def __init__(self, files: TableFiles) -> None:
        self.kinds: Counter[str] = Counter()
        self.causes: Counter[str] = Counter()
        self.protocols: Counter[str] = Counter()
        self.targets = 0
        self.last_ends: dict[int, int] = {}
        self.waited: Counter[tuple[int, int]] = Counter()
        self.latencies = Tally()
        for batch in files.arrow_batches("crosscalls", _CALL_COLUMNS):
            replication, cpu, task, start, end = (batch.column(i).to_numpy() for i in range(5))
            latency = end - start
            self.latencies.add(latency)
            self.targets += int(batch.column(7).to_numpy().sum())
            for counter, column in ((self.kinds, 5), (self.causes, 6), (self.protocols, 8)):
                for item in batch.column(column).value_counts().to_pylist():
                    counter[item["values"]] += item["counts"]
            for number in np.unique(replication).tolist():
                last = int(end[replication == number].max())
                self.last_ends[number] = max(last, self.last_ends.get(number, 0))
            _add_by_key(self.waited, cpu, task, latency)

    def totals(self, duration: int) -> dict[str, Any]:
        count = self.latencies.count
        return {
            "total": count,
            "per_s": count * S / duration if duration else 0.0,
            "by_kind": dict(self.kinds.most_common()),
            "by_cause": dict(self.causes.most_common()),
            "by_protocol": dict(self.protocols.most_common()),
            "targets": self.targets,
        }

    def latency(self) -> dict[str, int | None]:
        n = self.latencies.count
        found: dict[str, int | None] = {"mean": round(self.latencies.total / n) if n else None}
        for name, share in QUANTILES.items():
            found[name] = self.latencies.quantile(share) if n else None
        found["max"] = self.latencies.at(n) if n else None
        return found

    def initiators(self, names: Mapping[tuple[int, int], str]) -> list[dict[str, Any]]:
        return [
            {
                "cpu": cpu,
                "task": task,
                "workload": names.get((cpu, task), KERNEL_WORKER),
                "waited_ps": waited,
            }
            for (cpu, task), waited in self.waited.most_common(TOP)
        ]


def _add_by_key(into: Counter[tuple[int, int]], cpu: Ints, task: Ints, values: Ints) -> None:
    keys, place = np.unique(np.stack([cpu, task]), axis=1, return_inverse=True)
    sums = np.zeros(keys.shape[1], dtype=np.int64)
    np.add.at(sums, place.reshape(-1), values)
    for (one_cpu, one_task), total in zip(keys.T.tolist(), sums.tolist(), strict=True):
        into[(one_cpu, one_task)] += total


def _paying_cpus(cpus: Any) -> list[dict[str, int]]:
    total = cpus.groupby("cpu")[["stolen_ps", "spin_ps", "refill_ps", "handlers"]].sum()
    most = total.nlargest(TOP, "stolen_ps")
    return [
        {"cpu": int(row.Index), **{name: int(getattr(row, name)) for name in total.columns}}
        for row in most.itertuples()
        if row.stolen_ps > 0
    ]


def _lost(cpus: Any, tasks: Any, duration: int) -> dict[str, Any]:
    """Return the CPU time that synchronization took, by what it was spent on."""
    spent = lost(cpus, int(tasks["windows_ps"].sum()))
    all_time = duration * int(cpus["cpu"].nunique())
    total = sum(spent.values())
    return {**spent, "lost_ps": total, "share": total / all_time if all_time else 0.0}


def _names(tasks: Any) -> dict[tuple[int, int], str]:
    """Return the workload of each task, by CPU and number."""
    return {
        (int(row.cpu), int(row.task)): str(row.workload)
        for row in tasks[["cpu", "task", "workload"]].itertuples()
    }


def _user_work(tasks: Any, cpus: Any) -> list[dict[str, Any]]:
    measured = tasks[tasks["work_ps"].notna()]
    rows = []
    for name, group in measured.groupby(measured["workload"].astype(str)):
        work = int(group["work_ps"].sum())
        elapsed = int((group["end_ps"] - group["start_ps"]).sum())
        slowdown = elapsed / work - 1 if work else None
        places = group[["replication", "cpu"]].drop_duplicates()
        rows.append(
            {
                "workload": str(name),
                "tasks": len(group),
                "work_ps": work,
                "elapsed_ps": elapsed,
                "slowdown": slowdown,
                "cpus": len(places),
                "interrupts": int(places.merge(cpus)["handlers"].sum()),
            }
        )
    return rows


def _operations(files: TableFiles) -> list[dict[str, Any]]:
    count: Counter[str] = Counter()
    time: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    columns = ["kind", "start_ps", "end_ps", "crosscalls"]
    for frame in files.batches("operations", columns):
        frame["time"] = frame["end_ps"] - frame["start_ps"]
        groups = frame.groupby(frame["kind"].astype(str))
        for kind, row in groups.agg({"time": ["size", "sum"], "crosscalls": "sum"}).iterrows():
            count[str(kind)] += int(row[("time", "size")])
            time[str(kind)] += int(row[("time", "sum")])
            calls[str(kind)] += int(row[("crosscalls", "sum")])
    return [
        {
            "kind": kind,
            "count": count[kind],
            "mean_ps": round(total / count[kind]),
            "total_ps": total,
            "crosscalls": calls[kind],
        }
        for kind, total in time.most_common()
    ]


def _failures(files: TableFiles) -> list[dict[str, Any]]:
    faults = files.frame("faults")
    rows = []
    for kind, group in faults.groupby(faults["kind"].astype(str), sort=False):
        first = group.iloc[0]
        rows.append(
            {
                "kind": str(kind),
                "count": len(group),
                "first_at_ps": int(first["at_ps"]),
                "first_by": str(first["workload"]),
                "first": str(first["detail"]),
            }
        )
    return rows


def _detail(files: TableFiles) -> list[dict[str, int | None]]:
    batches = files.arrow_batches("detail", DETAIL.names)
    return [row for batch in batches for row in batch.to_pylist()]
