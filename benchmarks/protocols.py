"""What a shootdown takes to simulate: protocol by protocol, as a ratio to interrupts."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.clock import in_turn, median, met
from benchmarks.fabric import BETWEEN, FOREVER
from benchmarks.machines import CEILING, COSTS, HUGE, SERVER
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
from pmsim.units import NS, S

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

TICKS = LatrCosts(save=130 * NS, scan=2 * NS, sweep=160 * NS)
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
    latr=TICKS,
)  # fmt: skip
"""The machine that is timed, with costs of every protocol; what is timed hangs on none of them."""
FULL_RINGS = replace(EVERY_COST, latr=replace(TICKS, ring=1, tick=1 * S))
"""The same, but that a CPU has no room for any note but its first."""


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
    Machines(SERVER, 3_000),
    Machines(HUGE, 3_000),
)


LEAVES_OUT = with_options(PROTOCOLS["deferred"], {"defers": "all"})
WAYS = {name: Way(Shootdown(one)) for name, one in PROTOCOLS.items() if one is not LATR} | {
    "deferred, all left out": Way(LEAVES_OUT),
    "half of them": Way(LEAVES_OUT, 2),
    "one in 16": Way(LEAVES_OUT, 16),
}
"""All ways that are compared with the first, by their names."""
WITHOUT_TICKS, WITH_TICKS = Way(Shootdown(IPI)), Way(Shootdown(LATR))


@dataclass(frozen=True, slots=True)
class Load:
    """What is timed.

    Attributes
    ----------
    initiators
        How many CPUs make shootdowns; the others compute.
    pages
        What each is about.
    frees
        Whether it is about pages of a process on all CPUs, that are freed.
    chosen
        Whether all others are told one by one, as CPUs that somebody has chosen.
    idle, isolated
        Every so many of the others are; 0: none.
    is_full
        Whether there is no room in a ring for what is freed.
    """

    initiators: int = 1
    pages: int = ONE
    frees: bool = False
    chosen: bool = False
    idle: int = 0
    isolated: int = 0
    is_full: bool = False


TICKING = {
    "one CPU calls all": Load(),
    "the same, about everything": Load(pages=ALL),
    "the same, every 16th of them isolated": Load(isolated=16),
    "the same, every 16th of them idle": Load(idle=16),
    "two CPUs call all": Load(2),
    "two CPUs call all, chosen one by one": Load(2, chosen=True),
    "one CPU frees a page of a process on all": Load(frees=True),
    "the same, every 16th of them idle, too": Load(frees=True, idle=16),
    "the same, without room in its ring": Load(frees=True, is_full=True),
}
"""What is compared on CPUs that tick for `latr`, and on others."""


def compare(console: Console) -> None:
    """Print the table."""
    console.print(
        _table("four CPUs tell all, of a page", Load(4)),
        _table("two CPUs tell all, of a page", Load(2)),
        _table("two CPUs tell all, of everything", Load(2, ALL)),
        _table("one CPU tells all, of everything", Load(1, ALL)),
        _table("one CPU tells all, of a page", Load()),
        "The last two are of shootdowns while nothing else goes on: known without a look at any"
        " CPU, whatever the protocol, so that it does not matter how many CPUs there are.",
        _table_of_ticks(),
        "Where frees wait for ticks (latr) calls are those of ipi, on CPUs that have ticks besides:"
        " on 4,096 CPUs a call of one of them is met by every other tick.",
        sep="\n",
    )


def _table(title: str, load: Load) -> Table:
    table = _columns(title)
    times = [_measured(list(WAYS.values()), size, load) for size in SIZES]
    for place, name in enumerate(WAYS):
        table.add_row(name, *(_cell(rounds, place) for rounds in times))
    return table


def _table_of_ticks() -> Table:
    """Return a table of calls and frees on CPUs that tick, as ratios to those on others."""
    table = _columns("latr")
    for name, load in TICKING.items():
        times = (_measured([WITHOUT_TICKS, WITH_TICKS], size, load) for size in SIZES)
        table.add_row(name, *(_cell(rounds, 1) for rounds in times))
    return table


def _columns(title: str) -> Table:
    table = Table(title, title="Protocols: µs of this computer for a shootdown, and times `ipi`",
                  title_justify="left")  # fmt: skip
    for size in SIZES:
        table.add_column(f"{size.topology.n_cpus:,} CPUs", justify="right")
    return table


def _cell(rounds: list[list[float]], place: int) -> str:
    """Return what one way takes, and as a ratio to the first."""
    ratio = median([one[place] / one[0] for one in rounds])
    each = median([one[place] for one in rounds]) * 1e6
    return f"{each:,.2f}  {ratio:.2f} x {met(ratio <= MOST + NOISE)}"


def _measured(ways: list[Way], size: Machines, load: Load) -> list[list[float]]:
    """Return the seconds that a shootdown takes, a list of all protocols for each round."""
    load = replace(load, initiators=min(load.initiators, size.topology.n_cpus))

    def spent(way: Way, calls: int) -> float:
        return seconds(way, size.topology, load, calls)

    def enough(way: Way) -> int:
        """Return how many calls take long enough to be timed."""
        spent(way, 1)  # what is compiled the first time
        return round(size.calls * max(1.0, LONG / spent(way, size.calls)))

    def timed(way: Way, calls: int) -> float:
        return spent(way, calls) / (calls * load.initiators)

    counts = [enough(way) for way in ways]
    columns = in_turn(
        *(
            (lambda way=way, calls=calls: timed(way, calls))
            for way, calls in zip(ways, counts, strict=True)
        ),
        rounds=ROUNDS,
    )
    return [list(row) for row in zip(*columns, strict=True)]


def seconds(way: Way, topology: Topology, load: Load, calls: int) -> float:
    """Return the CPU time of so many shootdowns of some CPUs, while all others compute.

    It is taken by the tasks that make them, so that a run's beginning and its end count for
    nothing: on 4,096 CPUs they take longer than thousands of shootdowns.
    """
    n_cpus, others = topology.n_cpus, range(load.initiators, topology.n_cpus)
    idle = others[load.idle // 2 :: load.idle] if load.idle else ()
    isolated = others[load.isolated // 2 :: load.isolated] if load.isolated else ()
    if way.shootdown.protocol.name == "deferred":
        isolated = others[:: way.isolated]
    costs = FULL_RINGS if load.is_full else EVERY_COST
    machine = Machine(topology, costs, shootdown=way.shootdown, isolated=isolated)
    body = _frees if load.frees else _shootdowns
    begun: list[float] = []
    ended: list[float] = []

    def timed(task: Task) -> Steps:
        yield from body(task, way.shootdown, BEFORE, load)
        begun.append(time.process_time())
        yield from body(task, way.shootdown, calls, load)
        ended.append(time.process_time())

    for cpu in range(n_cpus):
        if cpu < load.initiators:
            machine.spawn(cpu, timed)
        elif cpu not in idle:
            machine.spawn(cpu, _other, role="background")
    machine.run()
    return max(ended) - min(begun)


def _shootdowns(task: Task, way: Shootdown, calls: int, load: Load) -> Steps:
    pages = load.pages
    function = flush(EVERY_COST.tlb, pages, CEILING)
    if way.value("defers") == "all":
        function = replace(function, purges=True)
    tlbi = EVERY_COST.tlbi
    assert tlbi is not None
    invalidation = invalidate_pages(tlbi, pages) if pages == ONE else invalidate_all()
    by_holders = way.protocol.name in (COHERENT.name, DIRECTORY.name)
    cpus = np.arange(task.machine.n_cpus)
    targets = np.delete(cpus, task.cpu) if load.chosen else None
    for _ in range(calls):
        yield from task.compute(BETWEEN)
        if way.protocol.by_calls:
            yield from task.cross_call(function, pages=pages, targets=targets)
        elif by_holders:
            yield from task.wait_for_holders(way.protocol, pages=pages)
        else:
            yield from task.invalidate(invalidation, pages=pages)


def _frees(task: Task, way: Shootdown, calls: int, load: Load) -> Steps:
    pages = load.pages
    function = flush(EVERY_COST.tlb, pages, CEILING)
    others = range(1, task.machine.n_cpus)
    for _ in range(calls):
        yield from task.compute(BETWEEN if load.is_full else SELDOM)
        if way.protocol is LATR:
            yield from task.free_lazily(function, pages=pages, targets=others)
        else:
            yield from task.cross_call(function, pages=pages, targets=others)


def _other(task: Task) -> Steps:
    yield from task.user_compute(FOREVER)
