"""Section 3 of the machine-model page: idle states, and waking from them.

CPU 0's call at 0 on CPU 1 arrives at 1100. Idle states are pairs (residency, exit).
"""

from __future__ import annotations

import pytest

from pmsim.hardware.topology import Topology
from tests.hardware.machines import (
    call,
    call_times,
    compute,
    mutex_lock,
    mutex_unlock,
    on,
    program,
    sleep,
)


@pytest.mark.parametrize(
    ("states", "exit_latency"),
    [
        ([], 0),
        ([(2000, 60)], 0),
        ([(0, 10), (1100, 40), (1101, 90)], 40),
        ([(0, 10), (1000, 40), (1000, 60)], 60),
        ([(0, 70), (500, 20)], 20),
    ],
    ids=["no states", "none reached", "residency reached", "of equal ones the last", "deepest"],
)
def test_a_cpu_wakes_from_the_deepest_state_whose_residency_has_passed(run, states, exit_latency):
    # Idle from 0, for 1100: the handler starts at 1100 + exit, its take is 50 later.
    result = run(program(on(0, call(1)), cpus=2, idle=states))
    assert result.calls[0].acks == {1: 1150 + exit_latency}
    assert result.cpus[1].stolen == exit_latency + 100


def test_waking_for_a_task_is_idle_time(run):
    result = run(program(on(0, sleep(500), compute(10)), idle=[(0, 40)]))
    assert result.task_ends == {0: 550}
    assert (result.cpus[0].idle, result.cpus[0].busy) == (540, 10)


def test_a_cpu_woken_by_an_interrupt_and_a_timer_at_once_counts_the_waking_as_stolen(run):
    # Awake at 1140, handler to 1240, then the task.
    result = run(program(on(0, call(1)), on(1, sleep(1100), compute(10)), idle=[(0, 40)]))
    assert result.task_ends[1] == 1250
    assert (result.cpus[1].stolen, result.cpus[1].idle) == (140, 1100)


def test_an_interrupt_that_arrives_while_a_cpu_wakes_for_a_task_waits_for_that_waking(run):
    # Timer at 1090, awake at 1130: handler to 1230. The waking counts as idle.
    result = run(program(on(0, call(1)), on(1, sleep(1090), compute(10)), idle=[(0, 40)]))
    assert result.calls[0].acks == {1: 1180}
    assert result.task_ends[1] == 1240
    assert (result.cpus[1].stolen, result.cpus[1].idle) == (100, 1130)


def test_a_timer_that_ends_while_a_cpu_wakes_for_an_interrupt_waits_for_the_handler(run):
    # Awake at 1140, handler to 1240.
    result = run(program(on(0, call(1)), on(1, sleep(1120), compute(10)), idle=[(0, 40)]))
    assert result.task_ends[1] == 1250
    assert (result.cpus[1].stolen, result.cpus[1].idle) == (140, 1100)


def test_after_a_handler_a_new_idle_period_begins(run):
    # First interrupt at 300: idle for 300, exit 10: handler 310 to 410, acknowledged at 360. The
    # second call, at 360, arrives at 660: idle for 250 only, exit 10 again: 670 + 50.
    result = run(program(on(0, call(1), call(1)), cpus=2, delivery=200, idle=[(0, 10), (500, 100)]))
    assert call_times(result) == [(0, 360), (360, 720)]


def test_no_idle_period_begins_where_another_handler_follows_without_a_gap(run):
    # CPU 3 is idle for 1100, so its first handler runs from 1140 to 1240, take at 1190. CPU 2,
    # whose interrupts take 20, calls at 1091: q = 1191, a = 1211: the second handler starts at
    # 1240, without a waking: 1290, exit to 1340.
    result = run(
        program(
            on(0, call(3)),
            on(2, compute(1091), call(3)),
            topology=Topology(cores=2, threads=2),
            delivery=(0, 20, 1000, 0, 0),
            idle=[(0, 40)],
        )
    )
    assert call_times(result) == [(0, 1190), (1091, 1290)]
    assert (result.cpus[3].stolen, result.cpus[3].idle) == (240, 1100)


@pytest.mark.parametrize(("timer", "end"), [(1240, 1250), (1241, 1291)])
def test_no_idle_period_begins_where_a_timer_ends_with_the_handler(run, timer, end):
    # The handler lasts from 1140 to 1240. One picosecond later the CPU is idle, and wakes for 40.
    result = run(program(on(0, call(1)), on(1, sleep(timer), compute(10)), idle=[(0, 40)]))
    assert result.task_ends[1] == end


def test_no_idle_period_begins_where_a_step_wakes_a_task_as_the_handler_ends(run):
    # CPU 1's task asks for the mutex at 0 and sleeps. With an exit of 0 the handler ends with its
    # acknowledgement, at 1190; so does CPU 0's call. It releases the mutex at once.
    result = run(
        program(
            on(0, mutex_lock(0), call(1), mutex_unlock(0)),
            on(1, mutex_lock(0), compute(10), mutex_unlock(0)),
            exit=0,
            idle=[(0, 40)],
            mutex="sleeping",
        )
    )
    assert result.task_ends == {0: 1190, 1: 1200}


def test_a_sleep_of_zero_with_nobody_else_enters_and_leaves_the_shallowest_state(run):
    result = run(program(on(0, sleep(0), compute(10)), idle=[(0, 40), (1, 500)]))
    assert result.task_ends == {0: 50}


def test_a_cpu_whose_last_task_ends_is_idle_from_then_on(run):
    # Idle from 200, for 900: the state of 901 is not reached.
    result = run(program(on(0, call(1)), on(1, compute(200)), idle=[(0, 10), (901, 100)]))
    assert result.calls[0].acks == {1: 1160}


def test_a_cpu_with_another_runnable_task_is_not_idle(run):
    # Task 0 sleeps as task 1 goes on: no exit latency anywhere before the end.
    result = run(program(on(0, sleep(100), compute(10)), on(0, compute(100)), idle=[(0, 40)]))
    assert result.task_ends == {1: 100, 0: 110}
