"""The tables that only a page has room for: who called, who paid, what was slow, what failed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pandas as pd

from pmsim import formatting
from pmsim.formatting import written
from pmsim.report.table import Cell, Table, count, ident, part, size, time, word
from pmsim.simulation.answer.parts import SPENT, lost_ps
from pmsim.simulation.answer.summary import Summary
from pmsim.simulation.tables.columns import CPU_TIMES, LATENCY_PARTS
from pmsim.simulation.words.lost import between

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result

MOST_CPUS: Final = 64
"""CPUs that are shown, those that lost most."""
MOST_CALLS: Final = 50
"""Kinds of calls into the kernel that are shown, the costliest."""
MOST_SHOOTDOWNS: Final = 25
"""Shootdowns that are shown, the slowest."""
MOST_FAULTS: Final = 50
"""Faults that are shown, the first."""

_NAMES: Final = {column.name: column.name.removesuffix("_ps").replace("_", " ")
                 for column in (*CPU_TIMES, *LATENCY_PARTS)}  # fmt: skip


def detail_tables(result: Result) -> list[Table]:
    """Return the tables that go into detail, those without rows left out."""
    tables = (
        constants(result.summary), calls(result.summary), user_work(result.summary),
        address_ranges(result), slowest_shootdowns(result), cpus(result), faults(result),
    )  # fmt: skip
    return [table for table in tables if table.rows]


def constants(summary: Summary) -> Table:
    """Return the costs that the run used, with what they rest on."""
    rows = [
        (
            word(one.name),
            word(written(one.value)),
            word(between(one) or "as it is"),
            word(one.basis or "not said"),
            word(one.source),
            part(one.lost_share),
        )
        for one in summary.constants
    ]
    return Table(
        "how sure is a time",
        ("constant", "value", "range", "basis", "source", "of the lost time"),
        tuple(rows),
        "The costs that the run used. The truth may lie anywhere in a range; the last column is how"
        " much of the lost time is some number times the constant, so that it would change with it."
        " Products count for each of their factors. pmsim sensitivity varies the constants, which"
        " also tells of what they do to each other.",
    )


def calls(summary: Summary) -> Table:
    """Return what each workload asked of the kernel."""
    found = summary.calls
    rows = [
        (
            word(one.workload),
            word(one.kind),
            count(one.count),
            time(one.median_ps),
            time(one.longest_ps),
            time(one.total_ps),
            part(one.delay_ps / one.total_ps if one.total_ps else 0.0),
            time(one.lock_wait_ps),
            count(one.broadcasts),
        )
        for one in found[:MOST_CALLS]
    ]
    return Table(
        "calls into the kernel",
        (
            "workload",
            "call",
            "number",
            "median",
            "longest",
            "total",
            "off CPU",
            "waited for locks",
            "shootdowns",
        ),
        tuple(rows),
        _left_out(len(found), len(rows), "The costliest"),
    )


def user_work(summary: Summary) -> Table:
    """Return how much longer user work took."""
    rows = [
        (
            word(one.workload),
            count(one.tasks),
            time(one.work_ps),
            time(one.elapsed_ps),
            Cell("none done") if one.slowdown is None else part(one.slowdown),
            count(one.interrupts),
        )
        for one in summary.user_work
    ]
    columns = ("workload", "tasks", "work done", "took", "longer by", "interrupts")
    return Table("user work", columns, tuple(rows))


def address_ranges(result: Result) -> Table:
    """Return how the kernel's address ranges filled, in the first run."""
    found = result.timeline[result.timeline["replication"] == 0]
    rows = []
    for name in ("vmalloc", "modules"):
        taken, hole = found[f"{name}_pages"], found[f"{name}_hole_pages"]
        if not taken.any():
            continue
        tightest = found["end_ps"].iloc[int(hole.to_numpy().argmin())]
        ends = [taken.max(), taken.iloc[-1], hole.iloc[-1], hole.min()]
        rows.append(
            (word(name), *(size(int(pages) * result.page_size) for pages in ends),
             time(int(tightest)))
        )  # fmt: skip
    head = ("range", "most taken", "taken at the end", "largest hole then", "smallest ever", "at")
    lazy = formatting.size(int(found["lazy_pages"].max()) * result.page_size) if len(found) else ""
    note = f"What is freed lazily, {lazy} at most, is taken until it is purged." if rows else ""
    return Table("address ranges", head, tuple(rows), note)


def slowest_shootdowns(result: Result) -> Table:
    """Return the shootdowns that took longest, and where their time went."""
    parts = [column.name for column in LATENCY_PARTS]
    plain = ["start_ps", "end_ps", "cpu", "cause", "kind", "targets", "slowest_cpu",
             "slowest_reason"]  # fmt: skip
    found = pd.DataFrame(columns=[*plain, *parts])
    total = 0
    for batch in result.batches("crosscalls", [*plain, *parts]):
        total += len(batch)
        batch = batch.assign(latency=batch["end_ps"] - batch["start_ps"])
        pieces = [found, batch.nlargest(MOST_SHOOTDOWNS, "latency")]
        together = pd.concat([one.astype(object) for one in pieces if len(one)])
        found = together.sort_values("latency", ascending=False, kind="stable")
        found = found.head(MOST_SHOOTDOWNS)
    shown = [name for name in parts if found[name].any()]
    rows = [_shootdown(one, shown) for one in found.to_dict("records")]
    head = (
        "began at",
        "latency",
        "by CPU",
        "cause",
        "kind",
        "targets",
        "waited for CPU",
        "held up by",
    )
    return Table(
        "slowest shootdowns",
        (*head, *(_NAMES[name] for name in shown)),
        tuple(rows),
        _left_out(total, len(rows), "The slowest"),
    )


def _shootdown(one: Mapping[Any, Any], shown: list[str]) -> tuple[Cell, ...]:
    nobody = pd.isna(one["slowest_cpu"])
    return (
        time(one["start_ps"]),
        time(one["latency"]),
        ident(one["cpu"]),
        word(one["cause"]),
        word(one["kind"]),
        count(one["targets"]),
        Cell("none") if nobody else ident(one["slowest_cpu"]),
        word(str(one["slowest_reason"]).replace("_", " ")),
        *(time(one[name]) for name in shown),
    )


def cpus(result: Result) -> Table:
    """Return how the time of each CPU splits, all runs together."""
    times = [column.name for column in CPU_TIMES]
    counts = ["refill_ps", "handlers", "crosscalls_sent", "lock_spin_ps", "awake_ps"]
    sums = result.cpus.groupby("cpu")[[*times, *counts]].sum()
    windows = result.tasks.groupby("cpu")["windows_ps"].sum().reindex(sums.index, fill_value=0)
    accounts = {name: sums[name].to_numpy() for name in SPENT}
    sums["lost_ps"] = lost_ps(accounts, windows.to_numpy())
    order = sums["lost_ps"].sort_values(ascending=False, kind="stable").index[:MOST_CPUS]
    rows = [
        (
            ident(int(str(cpu))),
            time(row["lost_ps"]),
            *(part(row[name] / max(1, row[times].sum())) for name in times),
            time(row["lock_spin_ps"]),
            time(row["awake_ps"]),
            time(row["refill_ps"]),
            count(row["handlers"]),
            count(row["crosscalls_sent"]),
        )
        for cpu, row in sums.loc[order].iterrows()
    ]
    head = (
        "CPU", "lost", *(_NAMES[name] for name in times), "spinning for locks",
        "awake without a task", "refilling TLBs", "interrupts", "shootdowns",
    )  # fmt: skip
    return Table("CPUs", head, tuple(rows), _left_out(len(sums), len(rows), "Those that lost most"))


def faults(result: Result) -> Table:
    """Return the first simulated faults and failed calls."""
    found = result.faults
    rows = [
        (time(one["at_ps"]), word(one["workload"]), ident(one["cpu"]), word(one["kind"]),
         word(one["detail"]))
        for one in found.head(MOST_FAULTS).to_dict("records")
    ]  # fmt: skip
    head = ("at", "workload", "CPU", "kind", "what happened")
    return Table("faults", head, tuple(rows), _left_out(len(found), len(rows), "The first"))


def _left_out(total: int, shown: int, which: str) -> str:
    """Say that a table shows some of its rows alone; nothing where it shows all."""
    return f"{which} {shown:,} of {total:,}." if shown < total else ""
