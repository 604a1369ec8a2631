"""What a shootdown takes to simulate: protocol by protocol, as a ratio to interrupts."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from benchmarks.clock import in_turn, median, met
from benchmarks.fabric import BETWEEN, FOREVER
from benchmarks.machines import CEILING, COSTS, HUGE
from pmsim.hardware.costs import SbiCosts, TlbiCosts
from pmsim.hardware.machine import Machine
from pmsim.hardware.proposals import (
    CoherentCosts,
    DeferredCosts,
    DirectoryCosts,
    LatrCosts,
    RarCosts,
)
from pmsim.hardware.shootdown.holders import COHERENT, DIRECTORY
from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocol import Shootdown, with_options
from pmsim.hardware.shootdown.protocols import PROTOCOLS
from pmsim.hardware.shootdown.tlbi import invalidate_all, invalidate_pages
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import flush
from pmsim.hardware.topology import Topology
from pmsim.steps import Steps
from pmsim.units import NS

ONE, ALL = 1, CEILING + 1
"""Pages that a shootdown is about: one, or so many that everything is dropped."""
SELDOM = 20 * BETWEEN
"""What is computed between two frees, so that a ring of 64 notes has room for those of a tick."""
MOST = 1.0
"""Times an interrupt's call that any shootdown may take, on as many CPUs."""
BEFORE = 3
"""Shootdowns of each initiator that are not timed: those in which it gets to know its targets."""
LONG, ROUNDS = 0.3, 5
"""Seconds that the shootdowns of a run are to take at least, and runs of each protocol in turn."""
NOISE = 0.1
"""By so much ratios of the same thing differ on a machine that others use too."""

EVERY_COST = replace(
    COSTS,
    tlbi=TlbiCosts(
        operation=50 * NS, everything=100 * NS, barrier=200 * NS, round_trip=COSTS.ipi.line,
        victim_share_ppm=250_000, pages=1,
    ),
    sbi=SbiCosts(
        trap=500 * NS, queue=20 * NS, send=80 * NS, delivery=COSTS.ipi.delivery,
        line=COSTS.ipi.line, entry=250 * NS, exit=150 * NS,
    ),
    coherent=CoherentCosts(store=COSTS.ipi.line),
    directory=DirectoryCosts(lookup=30 * NS, message=2 * NS, round_trip=COSTS.ipi.line),
    rar=RarCosts(
        payload=50 * NS, queue=20 * NS, send=80 * NS, fanout=16, delivery=COSTS.ipi.delivery,
        action=400 * NS, line=COSTS.ipi.line,
    ),
    deferred=DeferredCosts(check=10 * NS, entry_flush=400 * NS),
    latr=LatrCosts(save=130 * NS, scan=2 * NS, sweep=160 * NS),
)  # fmt: skip
"""The machine that is timed, with costs of every protocol; what is timed hangs on none of them."""


@dataclass(frozen=True, slots=True)
class Way:
    """How CPUs are told; where calls may leave CPUs out, every so many others are isolated."""

    shootdown: Shootdown
    isolated: int = 1


@dataclass(frozen=True, slots=True)
class Machines:
    """How many CPUs, and how many shootdowns a run makes on them."""

    topology: Topology
    calls: int


TWO = Topology(packages=1, cores=2)
SIZES = (
    Machines(TWO, 10_000),
    Machines(Topology(packages=2, cores=14, threads=2), 10_000),
    Machines(Topology(packages=8, cores=28, threads=2), 3_000),
    Machines(HUGE, 3_000),
)


LEAVES_OUT = with_options(PROTOCOLS["deferred"], {"defers": "all"})
WAYS = {name: Way(Shootdown(one)) for name, one in PROTOCOLS.items() if one is not LATR} | {
    "deferred, all left out": Way(LEAVES_OUT),
    "half of them": Way(LEAVES_OUT, 2),
    "one in 16": Way(LEAVES_OUT, 16),
}
"""All ways that are compared with the first, by their names."""
WAYS_TO_FREE = {one.name: Way(Shootdown(one)) for one in (IPI, LATR)}
WAYS_TO_CALL = {"ipi": Way(Shootdown(IPI)), "on CPUs that tick (latr)": Way(Shootdown(LATR))}


def compare(console: Console) -> None:
    """Print the table."""
    console.print(
        _table("four CPUs tell all, of a page", 4, ONE),
        _table("two CPUs tell all, of a page", 2, ONE),
        _table("two CPUs tell all, of everything", 2, ALL),
        _table("one CPU tells all, of everything", 1, ALL),
        _table("one CPU tells all, of a page", 1, ONE),
        "The last two are of shootdowns while nothing else goes on: known without a look at any"
        " CPU, whatever the protocol, so that it does not matter how many CPUs there are.",
        _table("one CPU frees a page of a process on all", 1, ONE, ways=WAYS_TO_FREE, frees=True),
        _table("one CPU calls all", 1, ONE, ways=WAYS_TO_CALL),
        _table("one CPU calls all, about everything", 1, ALL, ways=WAYS_TO_CALL),
        _table("two CPUs call all", 2, ONE, ways=WAYS_TO_CALL),
        "Where frees wait for ticks (latr) calls are those of ipi, on CPUs that have ticks besides:"
        " on 4,096 CPUs a call of one of them is met by every other tick.",
        sep="\n",
    )


def _table(
    title: str,
    initiators: int,
    pages: int,
    *,
    ways: dict[str, Way] = WAYS,
    frees: bool = False,
) -> Table:
    table = Table(title, title="Protocols: µs of this computer for a shootdown, and times `ipi`",
                  title_justify="left")  # fmt: skip
    for size in SIZES:
        table.add_column(f"{size.topology.n_cpus:,} CPUs", justify="right")
    times = [_measured(list(ways.values()), size, initiators, pages, frees) for size in SIZES]
    for place, name in enumerate(ways):
        cells = []
        for rounds in times:
            ratio = median([one[place] / one[0] for one in rounds])
            each = median([one[place] for one in rounds]) * 1e6
            cells.append(f"{each:,.2f}  {ratio:.2f} x {met(ratio <= MOST + NOISE)}")
        table.add_row(name, *cells)
    return table


def _measured(
    ways: list[Way], size: Machines, initiators: int, pages: int, frees: bool
) -> list[list[float]]:
    """Return the seconds that a shootdown takes, a list of all protocols for each round."""
    initiators = min(initiators, size.topology.n_cpus)

    def spent(way: Way, calls: int) -> float:
        return seconds(way, size.topology, initiators, calls, pages, frees=frees)

    def enough(way: Way) -> int:
        """Return how many calls take long enough to be timed."""
        spent(way, 1)  # what is compiled the first time
        return round(size.calls * max(1.0, LONG / spent(way, size.calls)))

    def timed(way: Way, calls: int) -> float:
        return spent(way, calls) / (calls * initiators)

    counts = [enough(way) for way in ways]
    columns = in_turn(
        *(
            (lambda way=way, calls=calls: timed(way, calls))
            for way, calls in zip(ways, counts, strict=True)
        ),
        rounds=ROUNDS,
    )
    return [list(row) for row in zip(*columns, strict=True)]


def seconds(
    way: Way,
    topology: Topology,
    initiators: int,
    calls: int,
    pages: int,
    *,
    frees: bool = False,
) -> float:
    """Return the CPU time of so many shootdowns of some CPUs, while all others compute.

    It is taken by the tasks that make them, so that a run's beginning and its end count for
    nothing: on 4,096 CPUs they take longer than thousands of shootdowns.
    """
    shootdown = way.shootdown
    leaves_out = shootdown.protocol.name == "deferred"
    isolated = range(initiators, topology.n_cpus, way.isolated) if leaves_out else ()
    machine = Machine(topology, EVERY_COST, shootdown=shootdown, isolated=isolated)
    body = _frees if frees else _shootdowns
    begun: list[float] = []
    ended: list[float] = []

    def timed(task: Task) -> Steps:
        yield from body(task, shootdown, BEFORE, pages)
        begun.append(time.process_time())
        yield from body(task, shootdown, calls, pages)
        ended.append(time.process_time())

    for cpu in range(machine.n_cpus):
        if cpu < initiators:
            machine.spawn(cpu, timed)
        else:
            machine.spawn(cpu, _other, role="background")
    machine.run()
    return max(ended) - min(begun)


def _shootdowns(task: Task, way: Shootdown, calls: int, pages: int) -> Steps:
    function = flush(EVERY_COST.tlb, pages, CEILING)
    if way.value("defers") == "all":
        function = replace(function, purges=True)
    tlbi = EVERY_COST.tlbi
    assert tlbi is not None
    invalidation = invalidate_pages(tlbi, pages) if pages == ONE else invalidate_all()
    by_holders = way.protocol.name in (COHERENT.name, DIRECTORY.name)
    for _ in range(calls):
        yield from task.compute(BETWEEN)
        if way.protocol.by_calls:
            yield from task.cross_call(function, pages=pages)
        elif by_holders:
            yield from task.wait_for_holders(way.protocol, pages=pages)
        else:
            yield from task.invalidate(invalidation, pages=pages)


def _frees(task: Task, way: Shootdown, calls: int, pages: int) -> Steps:
    function = flush(EVERY_COST.tlb, pages, CEILING)
    others = range(1, task.machine.n_cpus)
    for _ in range(calls):
        yield from task.compute(SELDOM)
        if way.protocol is LATR:
            yield from task.free_lazily(function, pages=pages, targets=others)
        else:
            yield from task.cross_call(function, pages=pages, targets=others)


def _other(task: Task) -> Steps:
    yield from task.user_compute(FOREVER)
