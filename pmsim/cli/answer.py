"""What a run answers on the terminal: words first, then tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from pmsim.cli.console import Output
from pmsim.simulation.sentences import about, sentences, share

if TYPE_CHECKING:
    from pmsim.simulation.result import Result

MOST_OPERATIONS = 12
"""Kinds of operation that are shown, the costliest."""


def print_answer(result: Result) -> None:
    """Print what a result says: sentences, then tables, then where the rest is."""
    console = Output()
    summary = result.summary
    console.print(Text(result.name, style="bold"))
    for sentence in sentences(summary):
        console.print(Text(f"- {sentence}"))
    for table in (_costs(summary), _broadcasts(summary), _operations(summary), _pools(result)):
        if table.row_count:
            console.print()
            console.print(table)
    console.print()
    console.print(Text(f"tables, summary and figures: {result.path}"))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", overflow="fold")
    return table


def _costs(summary: dict[str, Any] | Any) -> Table:
    table = _table("where CPU time was lost", "what", "time", "share of all CPU time")
    cost = summary["cost"]
    for key, name in (
        ("stolen_ps", "interrupts, and waking for them"),
        ("refill_ps", "refilling TLBs after full flushes"),
        ("spin_ps", "spinning: for answers and spinlocks"),
        ("irqs_off_ps", "starting broadcasts, interrupts off"),
        ("lost_ps", "all of it"),
    ):
        part = cost[key] / cost["lost_ps"] * cost["share"] if cost["lost_ps"] else 0.0
        table.add_row(name, about(cost[key]), share(part))
    return table


def _broadcasts(summary: Any) -> Table:
    table = _table("broadcasts by cause", "cause", "number", "share")
    total = summary["broadcasts"]["total"]
    for cause, count in summary["broadcasts"]["by_cause"].items():
        table.add_row(cause, f"{count:,}", share(count / total))
    return table


def _operations(summary: Any) -> Table:
    table = _table(
        "kernel operations, nested ones too", "kind", "number", "mean", "total", "broadcasts"
    )
    for one in summary["operations"][:MOST_OPERATIONS]:
        table.add_row(
            one["kind"],
            f"{one['count']:,}",
            about(one["mean_ps"]),
            about(one["total_ps"]),
            f"{one['crosscalls']:,}",
        )
    return table


def _pools(result: Result) -> Table:
    table = _table("pools", "all pools", "areas", "pages", "asked for", "wasted", "relinquished")
    pools = result.pools
    if len(pools):
        sums = pools[["areas", "pages", "requested", "wasted", "relinquished"]].sum()
        cells = [f"{int(sums['areas']):,}", f"{int(sums['pages']):,}"]
        cells += [f"{int(sums[name]):,} B" for name in ("requested", "wasted", "relinquished")]
        table.add_row(f"{len(pools):,}", *cells)
    return table
