"""How the time of a run grows with its size: exponents of power laws, by measurement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

import pmsim
from benchmarks.churn import churn
from benchmarks.clock import cpu_seconds, exponent, met
from benchmarks.fabric import Case, bare
from benchmarks.machines import HUGE, LARGE, MIDDLE, SMALL

SLACK = 0.15
"""How much above the exponent that is right one may be measured on a machine with other work."""


@dataclass(frozen=True, slots=True)
class Growth:
    """One line of the table.

    Attributes
    ----------
    name
        What grows, and of what the time is taken.
    sizes
        How large it is, ascending.
    seconds
        Returns the CPU time for one size.
    wanted
        The exponent that the work itself has.
    """

    name: str
    sizes: Sequence[int]
    seconds: Callable[[int], float]
    wanted: float


def compare(console: Console) -> None:
    """Print the table."""
    table = Table("seconds, as", title="Growth, as exponents", title_justify="left")
    for heading in ("grows", "exponent", "wanted", ""):
        table.add_column(heading, justify="right")
    for growth in GROWTHS:
        growth.seconds(growth.sizes[0])  # what is to be compiled is
        found = exponent(growth.sizes, [growth.seconds(size) for size in growth.sizes])
        verdict = met(found <= growth.wanted + SLACK)
        span = f"{growth.sizes[0]:,} to {growth.sizes[-1]:,}"
        table.add_row(growth.name, span, f"{found:.2f}", f"{growth.wanted:g}", verdict)
    console.print(table)


def _call(n_cpus: int) -> float:
    """Return what a cross-call takes on so many CPUs."""
    topology = next(t for t in (SMALL, MIDDLE, LARGE, HUGE) if t.n_cpus == n_cpus)
    calls = 200_000
    return bare(Case("", topology, 1, calls, 0, recorded=False), calls) / calls


def _rows(allocations: int) -> float:
    return churn(allocations).seconds - churn(1).seconds


def _live(areas: int) -> float:
    """Return what a row takes beside so many live areas."""
    short, long = (churn(areas + more, areas) for more in (10_000, 40_000))
    return (long.seconds - short.seconds) / (long.rows - short.rows)


def _pool(allocations: int) -> float:
    """Return what an allocation takes from a pool of so many."""
    pool = {
        "kind": "pool_churn",
        "pools": max(1, 40_000 // allocations),
        "allocations": allocations,
        "size": "64B",
    }
    return _run([pool]) / max(allocations, 40_000)


def _modules(rate: int) -> float:
    """Return what a simulated second of so many loads takes."""
    modules = {"kind": "module_burst", "modules": rate, "arrival": {"every": f"{10**9 // rate}ns"}}
    return _run([modules])


def _run(workloads: list[dict[str, Any]]) -> float:
    """Return the CPU time of a run, beginning and ending left out as far as they are the same."""
    scenario = {"pmsim": 1, "name": "growth", "machine": "skylake-sp-2s", "until": "done"}
    nothing = {"kind": "vmalloc_churn", "allocations": 1}
    runs = [
        pmsim.Scenario.from_dict(scenario | {"workloads": chosen}).resolve()
        for chosen in ([nothing], workloads)
    ]
    before, after = (cpu_seconds(lambda run=run: pmsim.run(run)) for run in runs)  # type: ignore[misc]
    return after - before


GROWTHS = (
    Growth("a cross-call, as CPUs", (64, 256, 1_024, 4_096), _call, 1),
    Growth("a run of vmalloc and vfree, as rows", (20_000, 40_000, 80_000, 160_000), _rows, 1),
    Growth("a row of them, as live areas", (100, 1_000, 10_000, 30_000), _live, 0),
    Growth("an allocation, as its pool", (100, 1_000, 10_000, 40_000), _pool, 0),
    Growth("a simulated second, as modules loaded in it", (30, 100, 300, 1_000), _modules, 1),
)
