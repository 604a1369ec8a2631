"""Print the table of speeds. Only ratios within one run mean something: machines are noisy."""

from __future__ import annotations

import time
from collections.abc import Generator

import simpy
from rich.console import Console
from rich.table import Table

from benchmarks.crosscalls import CASES, fabric_rate, reference_rate
from benchmarks.kernel import KERNEL_CASES
from benchmarks.sweeps import sweep_rate
from pmsim.experiments.workers import cores

TIMEOUTS = 200_000


def timeout_rate() -> float:
    """Return bare SimPy timeouts per CPU-second: the yardstick of this machine."""
    environment = simpy.Environment()

    def process() -> Generator[simpy.Event, None, None]:
        for _ in range(TIMEOUTS):
            yield environment.timeout(1)

    environment.process(process())
    started = time.process_time()
    environment.run()
    return TIMEOUTS / (time.process_time() - started)


def main() -> None:
    """Measure every case and print the tables."""
    console = Console(width=120)
    timeouts = timeout_rate()
    console.print(f"yardstick: {timeouts:,.0f} bare SimPy timeouts per CPU-second")
    table = Table("cross-calls, all recorded", title="The fabric", title_justify="left")
    for heading in ("per second", "of the reference", "of a timeout", "target", "stretch"):
        table.add_column(heading, justify="right")
    for case in CASES:
        rate = fabric_rate(case)
        table.add_row(
            case.name,
            f"{rate:,.0f}",
            f"{rate / reference_rate(case):,.0f} x" if case.reference_calls else "not run",
            f"{rate / timeouts:.2f} x",
            f"{case.target:,} {'met' if rate >= case.target else 'missed'}",
            f"{case.stretch:,} {'met' if rate >= case.stretch else 'missed'}",
        )
    console.print(table)
    table = Table("kernel operations", title="The kernel", title_justify="left")
    for heading in ("per second", "of a timeout"):
        table.add_column(heading, justify="right")
    for name, measure in KERNEL_CASES:
        rate = measure()
        table.add_row(name, f"{rate:,.0f}", f"{rate / timeouts:,.2f} x")
    console.print(table)
    alone, processes = sweep_rate(1), cores()
    rate = sweep_rate(processes) if processes > 1 else alone
    console.print(
        f"a sweep: {alone:.2f} replications/s in one process, {rate:.2f} in {processes},"
        f" {rate / alone:.2f} times as many"
    )


if __name__ == "__main__":
    main()
