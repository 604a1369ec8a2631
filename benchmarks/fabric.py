"""Cross-calls per second: the fabric against the yardstick, which has an event for everything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

import pmsim
from benchmarks.clock import cpu_seconds, in_turn, median, met
from benchmarks.machines import CEILING, COSTS, HUGE, LARGE, SMALL, described
from benchmarks.yardstick import Program, Simulated, simulate
from pmsim.hardware.machine import Machine
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import flush
from pmsim.hardware.topology import Topology
from pmsim.scenario.resolve import ResolvedScenario
from pmsim.steps import Steps
from pmsim.units import US

BETWEEN = 1 * US
"""What an initiator computes between two calls."""
FOREVER = 10**17
"""What the others compute: longer than any of these runs."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table.

    Attributes
    ----------
    name, topology, initiators
        The machine, and how many of its CPUs call; the others compute.
    calls, plain_calls
        Of each initiator: in a run, and of the yardstick.
    ratio, rate
        Times the yardstick, or calls a second, that are wanted.
    pages, working_set
        What each call flushes, and what each task refills after a full flush.
    recorded
        Whether a trace runs as any scenario does, all tables written; otherwise the machine alone
        does the same for tasks in Python, and nobody listens.
    why
        Where the time goes, told where the target is missed.
    """

    name: str
    topology: Topology
    initiators: int
    calls: int
    plain_calls: int
    ratio: float | None = None
    rate: float | None = None
    pages: int = 1
    working_set: int = 0
    recorded: bool = True
    why: str = ""


CASES = (
    Case("one of 64 CPUs", SMALL, 1, 300_000, 8_000, ratio=14,
         why="what is left: the replay, a row's Parquet (about 0.2 us), the answer's pass"),
    Case("16 of 64", SMALL, 16, 8_000, 800, ratio=4,
         why="calls overlap, so each is planned at every target: over half of some 3 us a call"),
    Case("64 of 64", SMALL, 64, 2_000, 200),
    Case("one of 1,024", LARGE, 1, 400_000, 400, ratio=80),
    Case("the same, full flushes and refill", LARGE, 1, 100_000, 400, pages=100, working_set=1000),
    Case("one of 64, unrecorded", SMALL, 1, 300_000, 8_000, recorded=False),
    Case("one of 1,024, unrecorded", LARGE, 1, 300_000, 400, recorded=False),
    Case("one of 4,096, unrecorded", HUGE, 1, 300_000, 100, rate=25_000, recorded=False),
)  # fmt: skip


def compare(console: Console) -> None:
    """Print the table."""
    table = Table(
        "cross-calls, by traces, all recorded",
        title="The fabric, and a plain simulator with an event for everything (compiled)",
        title_justify="left",
    )
    for heading in ("a second", "plain", "ratio", "wanted", ""):
        table.add_column(heading, justify="right")
    missed = []
    for case in CASES:
        ours, plain = _rates(case)
        ratio = median([a / b for a, b in zip(ours, plain, strict=True)])
        wanted, verdict = "", ""
        if case.ratio is not None:
            wanted, verdict = f"{case.ratio:g} x", met(ratio >= case.ratio)
        elif case.rate is not None:
            wanted, verdict = f"{case.rate:,.0f}/s", met(median(ours) >= case.rate)
        rates = (f"{median(rate):,.0f}" for rate in (ours, plain))
        table.add_row(case.name, *rates, f"{ratio:.1f} x", wanted, verdict)
        if verdict == met(False) and case.why:
            missed.append(f"{case.name} missed: {case.why}")
    console.print(table, *missed, sep="\n")


def _rates(case: Case) -> list[list[float]]:
    """Return calls per CPU-second of the fabric and of the yardstick, measured in turn."""
    period = int(_plain(case, 3).calls[-1, 2]) // 3  # and the yardstick is compiled
    calls = case.initiators * case.calls

    def plain() -> float:
        result = _plain(case, case.plain_calls)
        return len(result.calls) / result.seconds

    with TemporaryDirectory() as directory:
        short, long = (
            _run(case, number, period, Path(directory)) for number in (3, 3 + case.calls)
        )
        short()
        # What a longer run takes more than a short one: beginning and ending count for nothing.
        return in_turn(lambda: calls / (long() - short()), plain)


def _run(case: Case, calls: int, period: int, directory: Path) -> Callable[[], float]:
    """Return what runs so many calls of each initiator, and returns the CPU time."""
    if not case.recorded:
        return lambda: bare(case, calls)
    scenario = _trace(case, calls, period, directory)
    return lambda: cpu_seconds(lambda: pmsim.run(scenario))


def _trace(case: Case, calls: int, period: int, directory: Path) -> ResolvedScenario:
    """Return a scenario that does so by a trace; its file has been read and checked."""
    file = directory / f"{calls}.csv"
    with file.open("w") as rows:
        rows.write("cpu,op,arg\n")
        for cpu in range(case.topology.n_cpus):
            if cpu < case.initiators:
                rows.write(f"{cpu},compute,{BETWEEN}\n{cpu},flush_kernel,{case.pages}\n" * calls)
            else:
                rows.write(f"{cpu},compute,{period * calls}\n")
    trace = {"kind": "trace", "file": str(file), "working_set": case.working_set}
    return pmsim.Scenario.from_dict(
        {
            "pmsim": 1,
            "name": "bench",
            "machine": described(case.topology),
            "until": "done",
            "workloads": [trace],
        }
    ).resolve()


def bare(case: Case, calls: int) -> float:
    """Run tasks in Python on a machine to which nobody listens; return the run's CPU time."""
    machine = Machine(case.topology, COSTS)
    function = flush(COSTS.tlb, case.pages, CEILING)

    def initiator(task: Task) -> Steps:
        for _ in range(calls):
            yield from task.compute(BETWEEN)
            yield from task.cross_call(function, pages=case.pages)

    def other(task: Task) -> Steps:
        yield from task.compute(FOREVER)

    for cpu in range(machine.n_cpus):
        if cpu < case.initiators:
            machine.spawn(cpu, initiator)
        else:
            machine.spawn(cpu, other, role="background")
    return cpu_seconds(machine.run)


def _plain(case: Case, calls: int) -> Simulated:
    function = flush(COSTS.tlb, case.pages, CEILING)
    programs = [
        Program([BETWEEN, function], calls)
        if cpu < case.initiators
        else Program([FOREVER], counts=False)
        for cpu in range(case.topology.n_cpus)
    ]
    return simulate(case.topology, COSTS, programs, case.working_set)
