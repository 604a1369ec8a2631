from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pmsim.errors import DeadlockError
from pmsim.hardware.costs import IpiCosts, MachineCosts, SchedCosts, TlbCosts
from pmsim.hardware.locks import Completion, Mutex, Spinlock
from pmsim.hardware.machine import Machine
from pmsim.hardware.task import Task
from pmsim.hardware.topology import Topology
from pmsim.simulation.run.observer import check_deadlock, observe
from pmsim.steps import Role

FLAT = (0, 0, 0, 0, 0)
Body = Callable[[Task], Iterator[Any]]


class Samples:
    """Stands for a recorder: notes when it was given samples, one each 100 ps."""

    def __init__(self) -> None:
        self.timeline = self
        self.taken: list[int] = []

    @property
    def next_sample(self) -> int:
        return 100 * (len(self.taken) + 1)

    def sample(self, machine: Machine) -> None:
        self.taken.append(machine.now)


@pytest.fixture
def machine() -> Machine:
    ipi = IpiCosts(queue=1, send=0, fanout=1, delivery=FLAT, line=FLAT, entry=1, exit=0)
    tlb = TlbCosts(invlpg=0, flush_all=0, walk=0, entries=0, sync_core=0)
    costs = MachineCosts(ipi, tlb, SchedCosts(quantum=10**9, context_switch=0, wakeup=0))
    return Machine(Topology(cores=3), costs)


def watched(machine: Machine, duration: int | None = None) -> list[int]:
    samples = Samples()
    machine.clock.process(observe(machine, samples, lambda: None))  # type: ignore[arg-type]
    machine.run(duration)
    return samples.taken


def compute(ps: int) -> Body:
    def body(task: Task) -> Iterator[Any]:
        yield from task.compute(ps)

    return body


def spawn(machine: Machine, cpu: int, body: Body, role: Role = "foreground") -> None:
    machine.spawn(cpu, body, role=role)  # type: ignore[arg-type]


def test_samples_are_taken_at_their_times_up_to_the_end(machine: Machine) -> None:
    spawn(machine, 0, compute(350))
    assert watched(machine) == [100, 200, 300]
    assert machine.now == 350


def test_watching_keeps_no_run_alive(machine: Machine) -> None:
    spawn(machine, 0, compute(50))
    assert watched(machine, duration=10**6) == [100]
    assert machine.now == 10**6


def take_two(first: Any, second: Any) -> Body:
    def body(task: Task) -> Iterator[Any]:
        yield from first.lock(task)
        yield from task.compute(10)
        yield from second.lock(task)

    return body


@pytest.mark.parametrize("kind", [Mutex, Spinlock])
def test_a_circle_of_waiting_tasks_is_a_deadlock_beside_endless_work(
    machine: Machine, kind: Any
) -> None:
    one, two = kind(machine, "lock 1"), kind(machine, "lock 2")
    spawn(machine, 0, take_two(one, two))
    spawn(machine, 1, take_two(two, one))
    spawn(machine, 2, compute(10**15), "background")
    with pytest.raises(DeadlockError, match=r"CPU 0 waits for lock 2; .* CPU 1 waits for lock 1"):
        watched(machine)


def test_waiting_for_a_lock_that_endless_work_holds_is_no_deadlock(machine: Machine) -> None:
    mutex = Mutex(machine, "lock")

    def holder(task: Task) -> Iterator[Any]:
        yield from mutex.lock(task)
        yield from task.compute(450)
        mutex.unlock(task)
        yield from task.compute(10**15)

    def waiter(task: Task) -> Iterator[Any]:
        yield from task.compute(1)
        yield from mutex.lock(task)
        mutex.unlock(task)

    spawn(machine, 0, holder, "background")
    spawn(machine, 1, waiter)
    watched(machine)
    assert machine.now == 450


def test_waiting_for_something_that_is_no_lock_is_no_deadlock(machine: Machine) -> None:
    done = Completion(machine, "done")
    spawn(machine, 0, lambda task: done.wait(task))
    spawn(machine, 1, compute(10**15), "background")
    machine.run(duration=100)
    check_deadlock(machine)


def test_without_tasks_there_is_no_deadlock(machine: Machine) -> None:
    check_deadlock(machine)
