"""Cross-calls per second: the fabric with everything recorded, and the reference, case by case."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from pmsim.hardware.costs import IpiCosts, MachineCosts, SchedCosts, TlbCosts
from pmsim.hardware.machine import Machine
from pmsim.hardware.task import Steps, Task
from pmsim.hardware.tlb import flush
from pmsim.hardware.topology import Topology
from pmsim.simulation.run.observer import observe
from pmsim.simulation.run.recorder import Recorder
from pmsim.simulation.tables.store import TableStore
from pmsim.units import MS, NS, US
from tests.reference.machine import run as run_reference
from tests.reference.program import Program, TaskSpec

CEILING = 33
FOREVER = 10**15
TIMELINE = 10 * MS
"""Length of the timeline's intervals, as in the example of a scenario."""

COSTS = MachineCosts(
    IpiCosts(
        queue=20 * NS,
        send=80 * NS,
        fanout=16,
        delivery=(400 * NS, 400 * NS, 600 * NS, 700 * NS, 1200 * NS),
        line=(10 * NS, 10 * NS, 40 * NS, 50 * NS, 110 * NS),
        entry=250 * NS,
        exit=150 * NS,
    ),
    TlbCosts(100 * NS, 400 * NS, 15 * NS, 1536, 100 * NS),
    SchedCosts(3 * MS, 1 * US, 2 * US),
)
"""The example machine of the scenario format; what is timed does not depend on the values."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table.

    Attributes
    ----------
    topology, initiators
        The machine, and how many of its CPUs call; the others compute.
    pages, working_set
        What each call flushes, and what each task refills after a full flush.
    calls, reference_calls
        Calls of each initiator that are timed; 0 where the reference would take minutes.
    target, stretch
        Calls per second asked for.
    """

    name: str
    topology: Topology
    initiators: int
    pages: int
    working_set: int
    calls: int
    reference_calls: int
    target: int
    stretch: int


SMALL = Topology(packages=2, cores=16, threads=2)
LARGE = Topology(packages=4, dies=4, cores=32, threads=2)
HUGE = Topology(packages=8, dies=8, cores=32, threads=2)

CASES = (
    Case("64 CPUs, 1 initiator", SMALL, 1, 1, 0, 200_000, 100, 100_000, 300_000),
    Case("1,024 CPUs, 1 initiator", LARGE, 1, 1, 0, 40_000, 2, 60_000, 100_000),
    Case("4,096 CPUs, 1 initiator", HUGE, 1, 1, 0, 40_000, 0, 20_000, 35_000),
    Case("64 CPUs, 16 initiators", SMALL, 16, 1, 0, 12_000, 10, 80_000, 250_000),
    Case("64 CPUs, all 64 initiators", SMALL, 64, 1, 0, 3_000, 3, 80_000, 250_000),
    Case("1,024 CPUs, full flushes, refill", LARGE, 1, 100, 1000, 15_000, 2, 15_000, 40_000),
)


def fabric_rate(case: Case) -> float:
    """Return calls per CPU-second of the fabric, every call and account written to Parquet."""
    machine = Machine(case.topology, COSTS)
    function = flush(COSTS.tlb, case.pages, CEILING)

    def initiator(task: Task) -> Steps:
        for _ in range(case.calls):
            yield from task.compute(1 * US)
            yield from task.cross_call(function, pages=case.pages)

    def victim(task: Task) -> Steps:
        while True:
            yield from task.compute(FOREVER)

    for cpu in range(case.initiators):
        machine.spawn(cpu, initiator, working_set=case.working_set)
    for cpu in range(case.initiators, machine.n_cpus):
        machine.spawn(cpu, victim, working_set=case.working_set, role="background")
    with TemporaryDirectory() as directory, TableStore(Path(directory)) as store:
        recorder = Recorder(store, 0, TIMELINE)
        machine.on_crosscalls = recorder.crosscalls
        machine.clock.process(observe(machine, recorder, lambda: None))
        started = time.process_time()
        machine.run()
        recorder.cpus(machine)
        return case.initiators * case.calls / (time.process_time() - started)


def reference_rate(case: Case) -> float:
    """Return calls per CPU-second of the reference, an event per step, on the same program."""
    calls = case.reference_calls
    steps = (("compute", 1 * US), ("flush_kernel", case.pages)) * calls
    n = case.topology.n_cpus
    duration = calls * case.initiators * 400 * US
    tasks = [
        TaskSpec(
            cpu=cpu,
            number=cpu,
            working_set=case.working_set,
            steps=steps if cpu < case.initiators else (("compute", duration),),
        )
        for cpu in range(n)
    ]
    program = Program(topology=case.topology, costs=COSTS, tasks=tuple(tasks), ceiling=CEILING)
    started = time.process_time()
    run_reference(program)
    return case.initiators * calls / (time.process_time() - started)
