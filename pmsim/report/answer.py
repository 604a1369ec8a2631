"""The tables of a run's answer, taken from its summary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim import formatting
from pmsim.confidence import LEAST, LEVEL
from pmsim.report.table import Cell, Table, count, part, size, time, word
from pmsim.simulation.answer.metrics import metric_of
from pmsim.simulation.answer.summary import Summary
from pmsim.simulation.run.stopping import too_wide, too_wide_said
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.tables.source import whole
from pmsim.simulation.words.sentences import sentences

if TYPE_CHECKING:
    from pmsim.simulation.result.result import Result

MOST_OPERATIONS: Final = 12
"""Kinds of operation that are shown, the costliest."""
MOST_LOCKS: Final = 8
"""Locks that are shown, those that were waited for longest."""
MEANS: Final = (
    "transient_end_ps", "after_per_s", "after_lost_share", "after_latency_mean_ps", "slowdown",
    "operation_mean_ps",
)  # fmt: skip
"""Metrics whose means are shown with their intervals, beside the headline ones."""


def answer_words(result: Result) -> list[str]:
    """Return a result's answers in words, and which figures are not as precise as was asked for."""
    summary = result.summary
    said = sentences(summary)
    if summary.replications < LEAST:
        runs = "One run" if summary.replications == 1 else f"{summary.replications} runs"
        said.append(f"{runs}: no intervals; --replications {LEAST} gives them.")
    precision = result.manifest.get("precision")
    if precision is None:
        return said
    known = summary.intervals
    headlines = {name: one for name, one in known.items() if metric_of(name)[0].headline}
    most = result.manifest["max_replications"]
    wide = too_wide(headlines, precision)
    return [*said, *(f"{too_wide_said(name, one, precision, most)}." for name, one in wide.items())]


def answer_tables(result: Result) -> list[Table]:
    """Return the tables of a result's answer, those without rows left out."""
    summary = result.summary
    tables = (
        means(summary),
        left_open(summary),
        costs(summary),
        locks(summary),
        holders(summary),
        shootdowns(summary),
        isolated(summary),
        operations(summary),
        pools(result),
    )
    return [table for table in tables if table.rows]


def means(summary: Summary) -> Table:
    """Return how well the means are known."""
    rows = []
    for name, found in summary.intervals.items():
        metric, label = metric_of(name)
        if found.half_width is None or not (metric.headline or metric.name in MEANS):
            continue
        rows.append(
            (
                word(f"{metric.label}, {label}" if label else metric.label),
                Cell(formatting.quantity(found.mean, metric.form), found.mean),
                Cell(formatting.interval(found, metric.form), found.half_width),
                word(found.method),
                count(found.n),
            )
        )
    return Table(
        "means", ("what", "mean", f"{formatting.share(LEVEL)} interval", "by", "from"), tuple(rows)
    )


def left_open(summary: Summary) -> Table:
    """Return how far the ranges of constants may move the headline figures."""
    rows = []
    for name, one in summary.left_open.items():
        metric = metric_of(name)[0]
        ends = [formatting.quantity(end, metric.form) for end in (one.low, one.high)]
        rows.append(
            (
                word(metric.label),
                Cell(formatting.quantity(one.value, metric.form), one.value),
                Cell(formatting.from_to(*ends), one.high - one.low),
                Cell(formatting.quantity(one.median, metric.form), one.median),
                count(one.n),
            )
        )
    level = next((one.level for one in summary.left_open.values()), 0.0)
    head = ("what", "as run", f"{formatting.share(level)} of the runs", "half below", "runs")
    note = (
        "Runs with constants drawn from their ranges: how well the figures are known, however many"
        " seeds are tried. Not a confidence interval over replications."
    )
    return Table("what the constants leave open", head, tuple(rows), note)


def costs(summary: Summary) -> Table:
    """Return where CPU time was lost."""
    cost = summary.cost
    if not cost.lost_ps:
        return Table("where tasks lost CPU time", (), ())
    per_ps = cost.share / cost.lost_ps
    parts = sorted(cost.parts.items(), key=lambda item: -item[1])
    spent = {_LOST_TO[name]: ps for name, ps in parts if ps} | {"all of it": cost.lost_ps}
    rows = [(word(what), time(ps), part(ps * per_ps)) for what, ps in spent.items()]
    return Table(
        "where tasks lost CPU time",
        ("what", "time", "share of all CPU time"),
        tuple(rows),
        f"Besides, idle CPUs were woken {cost.woken:,} times, and awake for"
        f" {formatting.time(cost.awake_ps)}."
        if cost.woken
        else "",
    )


_LOST_TO: Final = {
    "handlers": "handlers, waking up for them, stalls by TLB broadcasts",
    "refill": "refilling TLBs after full flushes",
    "answers": "spinning until shootdowns are answered",
    "locks": "spinning for locks",
    "sending": "flushing the own CPU, enqueuing and sending, interrupts off",
}


def locks(summary: Summary) -> Table:
    """Return which locks were waited for."""
    in_turns = any(one.frozen_ps for one in summary.locks)
    frozen = ("holders frozen",) if in_turns else ()
    rows = [
        (
            word(one.lock), count(one.waits), time(one.waited_ps),
            *((time(one.frozen_ps),) if in_turns else ()),
            time(one.longest_wait_ps), word(f"{one.waiter}, CPU {one.waiter_cpu}"),
        )
        for one in summary.locks[:MOST_LOCKS]
    ]  # fmt: skip
    more = len(summary.locks) - len(rows)
    notes = (
        "Frozen: the time in which a holder's CPU did not run meanwhile." if in_turns else "",
        f"The first {len(rows):,} of {len(summary.locks):,} locks." if more else "",
    )
    return Table(
        "locks that were waited for",
        ("lock", "waits", "waited", *frozen, "longest", "most by"),
        tuple(rows),
        " ".join(filter(None, notes)),
    )


def holders(summary: Summary) -> Table:
    """Return who held locks that others waited for."""
    rows = [
        (
            word(one.lock),
            time(one.held_ps),
            word("" if one.holder is None else f"{one.holder}, CPU {one.holder_cpu}"),
            word(one.doing or ""),
        )
        for one in summary.locks[:MOST_LOCKS]
    ]
    head = ("lock", "longest", "by", "in")
    return Table("who held locks while others waited", head, tuple(rows))


def shootdowns(summary: Summary) -> Table:
    """Return what shootdowns were made for."""
    total = summary.broadcasts.total
    rows = [
        (word(cause), count(number), part(number / total))
        for cause, number in summary.broadcasts.by_cause.items()
    ]
    return Table("shootdowns by cause", ("cause", "number", "share"), tuple(rows))


def isolated(summary: Summary) -> Table:
    """Return what interrupted isolated CPUs."""
    found = summary.isolated
    head = ("by", "cause", "told by", "interrupts", "each CPU", "longest")
    if found is None:
        return Table("interruptions of isolated CPUs", head, ())
    rows = [
        (word(", ".join(filter(None, (one.workload, one.call)))), word(one.cause),
         word(one.protocol), count(one.interrupts),
         Cell(formatting.rate(one.per_s), one.per_s), time(one.longest_ps))
        for one in found.by
    ]  # fmt: skip
    known = {
        "half": found.length_ps.p50,
        "99 %": found.length_ps.p99,
        "99.9 %": found.length_ps.p99_9,
        "99.99 %": found.length_ps.p99_99,
    }
    within = ", ".join(
        f"{part_} within {formatting.time(ps)}" for part_, ps in known.items() if ps is not None
    )
    note = f"Of the interruptions {within}." if within else ""
    return Table("interruptions of isolated CPUs", head, tuple(rows), note)


def operations(summary: Summary) -> Table:
    """Return the costliest kinds of operation."""
    found = summary.operations
    rows = [
        (
            word(one.kind),
            count(one.count),
            time(one.median_ps),
            time(one.longest_ps),
            time(one.total_ps),
            part(one.delay_ps / one.total_ps if one.total_ps else 0.0),
            count(one.crosscalls),
        )
        for one in found[:MOST_OPERATIONS]
    ]
    more = len(rows) < len(found)
    return Table(
        "kernel operations, nested ones too",
        ("kind", "number", "median", "longest", "total", "off CPU", "shootdowns"),
        tuple(rows),
        "In the order of the time that was not spent asleep or off the CPU."
        + (f" The first {len(rows):,} of {len(found):,} kinds." if more else ""),
    )


def pools(result: Result) -> Table:
    """Return what became of the memory of all pools together."""
    columns = ("all pools", "areas", "pages", "asked for", "wasted", "relinquished")
    sizes = ("requested", "wasted", "relinquished")
    found = whole(TableFiles(result.path), "pools", ("areas", "pages", *sizes))
    number = len(found["areas"])
    if not number:
        return Table("pools", columns, ())
    sums = {name: int(values.sum()) for name, values in found.items()}
    cells = [count(number), count(sums["areas"]), count(sums["pages"])]
    cells += [size(sums[name]) for name in sizes]
    return Table("pools", columns, (tuple(cells),))
