"""What can be done without a generator: beginning to compute, and trying a lock."""

from __future__ import annotations

import pytest

from pmsim.hardware.locks import Mutex, Spinlock
from pmsim.hardware.machine import Machine
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import empty_call, flush_user, full_flush
from pmsim.hardware.topology import Topology
from pmsim.steps import Steps
from tests.hardware.machines import costs


def machine(cpus: int = 2, **changes: int) -> Machine:
    return Machine(Topology(cores=cpus), costs(**changes))


def test_computing_at_once_takes_the_time_and_yields_only_where_others_come_between() -> None:
    one, yielded = machine(), []

    def busy(task: Task) -> Steps:
        for _ in range(4):
            rest = list(task.begin_kernel_compute(10))
            yielded.append(len(rest))
            yield from rest
        assert task.now == 40

    def other(task: Task) -> Steps:
        yield from task.compute(15)
        yield from task.compute(15)

    one.spawn(0, busy)
    one.spawn(1, other)
    assert one.run() == 40
    # The other begins at 0 and steps at 15; at 30 after CPU 0, whose third step thus ends at once.
    assert yielded == [1, 1, 0, 1]


def test_nothing_is_alone_before_a_handler_of_a_call_that_all_are_told_of() -> None:
    one, alone = Machine(Topology(cores=3), costs(line=500)), []

    def caller(task: Task) -> Steps:
        yield from task.compute(1000)
        yield from task.cross_call(empty_call(0))

    def computes(task: Task) -> Steps:
        yield from task.compute(10_000)

    def asks(task: Task) -> Steps:
        yield from task.compute(1500)
        alone.extend(task.is_alone(length) for length in (699, 700, 1000))
        yield from task.compute(10_000)

    for cpu, body in enumerate((caller, computes, asks)):
        one.spawn(cpu, body)
    one.run()
    # The interrupt comes at 2200; the caller does not go on before it has read both answers.
    assert alone == [False, False, False]


def test_kernel_work_that_has_to_refill_is_not_alone_whatever_the_task_owes() -> None:
    one, alone = machine(cpus=1, walk=10, kernel_entries=3), []

    def asks(task: Task) -> Steps:
        for function in (flush_user(one.costs.tlb, 34, 33), full_flush(one.costs.tlb)):
            yield from task.flush_own_cpu(function)
            alone.append(task.is_alone(100))
        yield from task.begin_kernel_compute(0)
        alone.append(task.is_alone(100))

    one.spawn(0, asks, working_set=5)
    assert one.run() == 30
    assert alone == [True, False, True]


def test_a_task_whose_turn_is_over_computes_when_it_comes_again() -> None:
    one = machine(cpus=1, quantum=100, context_switch=0)
    ends = {}

    def body(task: Task) -> Steps:
        for _ in range(2):
            yield from task.begin_kernel_compute(100)
        ends[task.number] = task.now

    one.spawn(0, body)
    one.spawn(0, body)
    one.run()
    assert ends == {0: 300, 1: 400}


@pytest.mark.parametrize("kind", [Mutex, Spinlock])
def test_trying_a_lock_takes_it_if_it_is_free_and_never_waits(kind: type) -> None:
    one = machine()
    lock = kind(one)

    def holder(task: Task) -> Steps:
        assert lock.try_lock(task)
        assert task.held == 1
        yield from task.compute(100)
        lock.unlock(task)

    def other(task: Task) -> Steps:
        yield from task.compute(50)
        assert not lock.try_lock(task)
        assert task.held == 0
        yield from lock.lock(task)
        assert task.now >= 100
        lock.unlock(task)

    one.spawn(0, holder)
    one.spawn(1, other)
    one.run()
    assert lock.owner is None


def test_with_a_spinlock_tried_and_taken_a_task_keeps_its_turn() -> None:
    one = machine(cpus=1, quantum=100, context_switch=0)
    lock, ends = Spinlock(one), {}

    def body(task: Task) -> Steps:
        if task.number == 0:
            assert lock.try_lock(task)
        for _ in range(2):
            yield from task.compute(100)
        if task.number == 0:
            lock.unlock(task)
        ends[task.number] = task.now

    one.spawn(0, body)
    one.spawn(0, body)
    one.run()
    assert ends == {0: 200, 1: 400}
