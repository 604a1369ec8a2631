"""What a lock guards is fetched by whoever did not hold it last."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.hardware.costs import IpiCosts, MachineCosts
from pmsim.hardware.host import Host
from pmsim.hardware.locks import Spinlock
from pmsim.hardware.machine import Machine
from pmsim.hardware.task import Task
from pmsim.hardware.topology import Topology
from pmsim.hardware.turns import Turns
from pmsim.kernel.locks import (
    ContendedLines,
    GuestSpinlock,
    KernelMutex,
    KernelSpinlock,
    SharedLines,
)
from pmsim.kernel.operations import OperationLog
from pmsim.steps import Steps
from pmsim.units import NS, US

LINE = (0, 10 * NS, 45 * NS, 90 * NS, 200 * NS)
"""To itself, to the core's other thread, within a die, a package, the machine."""


def machine() -> Machine:
    """Two packages of two dies of two cores of two threads."""
    ipi = IpiCosts(queue=1, entry=1, line=LINE)
    return Machine(Topology(packages=2, dies=2, cores=2, threads=2), MachineCosts(ipi))


def test_lines_come_from_the_cpu_that_wrote_last_one_after_the_other() -> None:
    data = SharedLines(machine(), 4)
    # Nobody had them before; again; another thread, core, die, package, and back across all.
    cpus = (0, 0, 1, 2, 4, 8, 0)
    fetched = [data.fetch(cpu) for cpu in cpus]
    assert fetched == [0, 0, 4 * 10 * NS, 4 * 45 * NS, 4 * 90 * NS, 4 * 200 * NS, 4 * 200 * NS]


@given(st.lists(st.integers(0, 15), max_size=30))
def test_a_row_of_writers_pays_for_each_step_between_two_cpus(cpus: list[int]) -> None:
    here = machine()
    data = SharedLines(here, 3)
    steps = itertools.pairwise(cpus)
    paid = sum(data.fetch(cpu) for cpu in cpus)
    assert paid == 3 * sum(LINE[here.topology.distance(a, b)] for a, b in steps)


def test_lines_that_no_lock_keeps_apart_go_to_one_cpu_after_the_other() -> None:
    here = machine()
    data = ContendedLines(here, 2)
    waited: list[tuple[int, int]] = []

    def program(task: Task) -> Steps:
        yield from task.compute(100 * NS)
        waited.append((task.now, data.fetch(task.cpu)))
        yield from task.compute(2 * US)
        waited.append((task.now, data.fetch(task.cpu)))

    for cpu in (0, 1, 8):
        here.spawn(cpu, program)
    here.run()
    # All ask at 100 ns: CPU 0 is the first of all, CPU 1 takes both lines from it, CPU 8 from that.
    at = 100 * NS
    assert waited[:3] == [(at, 0), (at, 2 * 10 * NS), (at, 2 * 10 * NS + 2 * 200 * NS)]
    # 2 µs later they have long been free: CPU 0 takes them from CPU 8, CPU 1 then from CPU 0, ...
    at += 2 * US
    assert waited[3:] == [(at, 400 * NS), (at, 420 * NS), (at, 820 * NS)]


def holders(lock: Any, here: Machine, cpus: tuple[int, ...]) -> list[dict[str, int]]:
    """Let each CPU hold a lock for a microsecond, all but the first as soon as they can."""
    rows: list[dict[str, int]] = []

    def note(columns: Any) -> None:
        for row in zip(*columns.values(), strict=True):
            rows.append(dict(zip(columns, row, strict=True)))

    log = OperationLog(note)

    def body(task: Task) -> Steps:
        operation = log.begin(task, "hold")
        yield from log.lock(task, lock)
        yield from log.compute(task, US)
        lock.unlock(task)
        log.end(operation)

    for cpu in cpus:
        here.spawn(cpu, body)
    here.run()
    log.flush()
    return sorted(rows, key=lambda row: row["end_ps"])


def test_every_one_who_waits_for_a_spinlock_waits_for_what_those_before_it_fetch() -> None:
    here = machine()
    rows = holders(KernelSpinlock(here, "lock", guards=3), here, (0, 1, 8))
    assert [row["run_ps"] for row in rows] == [US, US + 4 * 10 * NS, US + 4 * 200 * NS]
    # The hand-over itself is one line, as on any machine.
    second = US + 10 * NS
    third = second + (US + 4 * 10 * NS) + 200 * NS
    assert [row["lock_wait_ps"] for row in rows] == [0, second, third]


def test_a_lock_that_was_free_is_as_cold() -> None:
    here = machine()
    lock = KernelMutex(here, "lock", guards=0)
    held: list[int] = []
    log = OperationLog()

    def body(task: Task) -> Steps:
        yield from task.sleep(task.cpu * US)
        asked = task.now
        yield from log.lock(task, lock)
        held.append(task.now - asked)
        lock.unlock(task)
        yield from log.lock(task, lock)
        held.append(task.now - asked)
        lock.unlock(task)

    for cpu in (0, 8):
        here.spawn(cpu, body)
    here.run()
    assert held == [0, 0, 200 * NS, 200 * NS]


def guest(*phases: int) -> tuple[Machine, Turns]:
    """Return CPUs that each run for 1 µs of every 2, from their phases on; a line takes 10 ns."""
    costs = MachineCosts(IpiCosts(queue=1, entry=1, line=(0, *[10 * NS] * 4)))
    host = Host(overcommit=2, slice=US, phases=phases)
    here = Machine(Topology(cores=len(phases)), costs, host=host)
    assert here.turns is not None
    return here, here.turns


def taken(here: Machine, lock: Spinlock, asks: list[int], holds: list[int]) -> list[int]:
    """Return when each CPU has a lock, which it asks for having run so long, and holds so long."""
    got: dict[int, int] = {}

    def body(task: Task) -> Steps:
        yield from task.compute(asks[task.cpu])
        yield from lock.lock(task)
        got[task.cpu] = task.now
        yield from task.compute(holds[task.cpu])
        lock.unlock(task)

    for cpu in range(len(asks)):
        here.spawn(cpu, body)
    here.run()
    return [got[cpu] for cpu in range(len(asks))]


@pytest.mark.parametrize(("queued", "second", "third"), [(True, 2800, 3210), (False, 3320, 1910)])
def test_a_lock_of_guests_passes_over_who_is_frozen(queued: bool, second: int, third: int) -> None:
    # CPU 0 holds it from 1.5 to 1.9 µs; CPU 1 asks at 1.7 and is frozen from 1.8 to 2.8; CPU 2 asks
    # at 1.85, and is frozen from 2 to 3. Each holds it for 400 ns of running time.
    here, turns = guest(1000 * NS, 800 * NS, 1000 * NS)
    lock = KernelSpinlock(here, "lock") if queued else GuestSpinlock(here, "lock", turns)
    got = taken(here, lock, [500 * NS, 900 * NS, 850 * NS], [400 * NS] * 3)
    assert got == [1500 * NS, second * NS, third * NS]


@pytest.mark.parametrize(("holds", "second"), [(380, 2800), (700, 3610)])
def test_a_lock_of_guests_is_taken_while_its_new_owner_is_frozen(holds: int, second: int) -> None:
    # As above, but CPU 0 lets go at 1.88; CPU 2 is frozen from 0.3 to 1.3 and from 2.3 to 3.3 and
    # asks at 1.9. It has let go before CPU 1 runs, at 2.28, or not, and then does so at 3.6.
    here, turns = guest(1000 * NS, 800 * NS, 1300 * NS)
    lock = GuestSpinlock(here, "lock", turns)
    got = taken(here, lock, [500 * NS, 900 * NS, 900 * NS], [380 * NS, 100 * NS, holds * NS])
    assert got == [1500 * NS, second * NS, 1900 * NS]
