"""Sweeps: tiny replications on one worker, and what a second worker brings."""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table

import pmsim
from benchmarks.clock import cpu_seconds, met
from pmsim.experiments.workers import cores

SHORT, LONG, MANY = 20, 120, 1_000
"""Replications of the tiny sweep: what one takes is told by two sweeps, and from that, many."""
EACH, ALL = 0.015, 20.0
"""Seconds that one tiny replication and `MANY` of them are to take at most."""
BEGUN, STEADY = 60, 160
"""Replications of each worker in two sweeps, where several work: their difference is steady work,
for the first is long enough that all workers have begun."""
SPEED_UP = 1.8
"""How much faster two workers are to be than one, once both have begun, on a quiet machine."""


def compare(console: Console) -> None:
    """Print the table."""
    table = Table("sweeps", title="Sweeps", title_justify="left")
    for heading in ("", "wanted", ""):
        table.add_column(heading, justify="right")
    short, long = (cpu_seconds(lambda n=n: _tiny(n)) for n in (SHORT, LONG))  # type: ignore[misc]
    each = (long - short) / (LONG - SHORT)
    everything = long + each * (MANY - LONG)
    table.add_row(
        "a replication of one-broadcast, one worker",
        f"{1e3 * each:.1f} ms, {1 / each:,.0f} a second",
        f"{1e3 * EACH:.0f} ms",
        met(each < EACH),
    )
    table.add_row(
        f"{MANY:,} of them, from {LONG}",
        f"{everything:.1f} s",
        f"{ALL:.0f} s",
        met(everything < ALL),
    )
    alone, together = _steady_rate(1), _steady_rate(2)
    verdict = met(together / alone >= SPEED_UP) if cores() > 1 else "one core"
    table.add_row(
        "policy-load on 16 CPUs, two workers against one, by the clock",
        f"{alone:.2f} and {together:.2f} a second, {together / alone:.2f} x",
        f"{SPEED_UP} x",
        verdict,
    )
    console.print(table)


def _tiny(replications: int) -> None:
    pmsim.sweep("one-broadcast", replications=replications, workers=1, progress=None)


def _steady_rate(workers: int) -> float:
    """Return replications a second of wall time, once all workers have begun."""
    scenario = pmsim.load("policy-load").with_(**{"machine.cpus": 16})

    def wall(each: int) -> float:
        started = time.perf_counter()
        pmsim.sweep(scenario, replications=each * workers, workers=workers, progress=None)
        return time.perf_counter() - started

    short, long = wall(BEGUN), wall(STEADY)
    return (STEADY - BEGUN) * workers / (long - short)
