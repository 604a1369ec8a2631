"""Section 1 of the machine-model page: time, the order within an instant, where a run ends.

The costs of the plain machine are told in `tests.hardware.machines`.
"""

from __future__ import annotations

from dataclasses import replace

from pmsim.hardware.topology import Topology
from tests.hardware.machines import (
    call,
    call_times,
    compute,
    irqs_off,
    mutex_lock,
    mutex_unlock,
    on,
    program,
    sleep,
)


def test_a_call_queued_at_the_instant_of_a_take_is_taken(run):
    # CPU 0's call opens: handler on 2 from 1100, take at 1150. CPU 1 calls at 1050: q = 1150.
    result = run(program(on(0, call(2)), on(1, compute(1050), call(2)), on(2, compute(5000))))
    assert call_times(result) == [(0, 1150), (1050, 1150)]
    assert result.cpus[2].handlers == 1


def test_a_call_queued_one_picosecond_after_a_take_opens_a_handler_of_its_own(run):
    # q = 1051 + 100 = 1151, a = 2151, take and acknowledgement at 2201.
    result = run(program(on(0, call(2)), on(1, compute(1051), call(2)), on(2, compute(5000))))
    assert call_times(result) == [(0, 1150), (1051, 2201)]
    assert result.cpus[2].handlers == 2


def test_calls_queued_at_one_instant_stand_in_the_order_of_their_initiators(run):
    # Both are in CPU 2's queue at 100. CPU 1's stands first: it finds the queue empty, and its
    # interrupt (core: 1000) starts the handler at 1100, not CPU 3's (thread: 500) at 600.
    # Take 1150; CPU 1's function of 10 ends at 1160, CPU 3's of 20 at 1180.
    result = run(
        program(
            on(3, call(2, pages=2)),
            on(1, call(2, pages=1)),
            on(2, compute(5000)),
            topology=Topology(cores=2, threads=2),
            delivery=(0, 500, 1000, 0, 0),
        )
    )
    assert [(c.cpu, c.acks) for c in result.calls] == [(1, {2: 1160}), (3, {2: 1180})]
    assert result.cpus[2].stolen == 50 + 10 + 20 + 50


def test_interrupt_work_comes_before_a_task_step_of_the_same_instant(run):
    # CPU 1's compute ends at 1100, when the interrupt arrives: its next step is at 1200.
    result = run(program(on(0, call(1)), on(1, compute(1100), call(0))))
    assert result.calls[1].start == 1200


def test_task_steps_of_one_instant_run_in_ascending_order_of_cpus(run):
    # Both ask for the mutex at 100, CPU 1's task having the lower number: CPU 0 takes it.
    section = (compute(100), mutex_lock(0), compute(50), mutex_unlock(0))
    result = run(program(on(0, *section, number=1), on(1, *section, number=0)))
    assert result.task_ends == {1: 150, 0: 200}


def test_a_task_woken_in_no_time_on_a_lower_cpu_steps_before_the_higher_cpus(run):
    # At 100 CPU 1 releases mutex 0: CPU 0's task is awake at once and takes mutex 1, until 150,
    # before CPU 2, whose step of 100 asks for it as well, takes its turn: that one ends at 160.
    result = run(
        program(
            on(
                0,
                compute(10),
                mutex_lock(0),
                mutex_lock(1),
                compute(50),
                mutex_unlock(1),
                mutex_unlock(0),
            ),
            on(1, mutex_lock(0), compute(100), mutex_unlock(0)),
            on(2, compute(100), mutex_lock(1), compute(10), mutex_unlock(1)),
        )
    )
    assert result.task_ends == {0: 150, 1: 100, 2: 160}


def test_whom_a_step_wakes_in_no_time_waits_for_the_end_of_the_whole_step(run):
    # CPU 1 releases mutex 0 and takes mutex 1 in one step, at 100, and keeps it until 130; CPU 0's
    # task, awake at 100, finds it taken: 130 to 180.
    result = run(
        program(
            on(
                0,
                compute(10),
                mutex_lock(0),
                mutex_lock(1),
                compute(50),
                mutex_unlock(1),
                mutex_unlock(0),
            ),
            on(
                1,
                mutex_lock(0),
                compute(100),
                mutex_unlock(0),
                mutex_lock(1),
                compute(30),
                mutex_unlock(1),
            ),
        )
    )
    assert result.task_ends == {0: 180, 1: 130}


def test_zero_length_steps_do_not_let_anybody_else_in(run):
    # Task 0 computes for 0 and is off for 0, then computes 10; only then task 1.
    result = run(program(on(0, compute(0), irqs_off(0), compute(10)), on(0, compute(20))))
    assert result.task_ends == {0: 10, 1: 30}


def test_a_sleep_of_zero_is_a_sleep(run):
    # Task 0 gives the CPU up at 0; task 1 has it to 20.
    result = run(program(on(0, sleep(0), compute(10)), on(0, compute(20))))
    assert result.task_ends == {1: 20, 0: 30}


def test_nothing_depends_on_the_order_in_which_tasks_are_listed(run):
    tasks = [
        on(0, call(1, 2), compute(300), call(2), number=3),
        on(0, compute(50), number=1),
        on(1, mutex_lock(0), call(0), mutex_unlock(0), number=2),
        on(2, mutex_lock(0), compute(500), mutex_unlock(0), number=0),
    ]
    listed = program(*tasks, quantum=100)
    assert run(listed) == run(replace(listed, tasks=tuple(reversed(listed.tasks))))


def test_a_run_until_done_lasts_to_the_end_of_the_last_handler(run):
    # The task ends with its call, at 1150; the handler exits until 1200.
    result = run(program(on(0, call(1)), cpus=2))
    assert result.task_ends == {0: 1150}
    assert result.end == 1200


def test_a_run_until_done_lasts_to_the_end_of_the_last_task(run):
    result = run(program(on(0, call(1)), on(1, compute(5000))))
    assert result.end == 5000 + 100


def test_a_task_ends_when_it_would_take_a_step_after_its_last_one(run):
    # Its compute is over at 1100, when a handler starts: it ends at 1200.
    result = run(program(on(0, call(1)), on(1, compute(1100))))
    assert result.task_ends[1] == 1200


def test_a_task_without_steps_ends_at_once(run):
    result = run(program(on(0), on(1, compute(10))))
    assert result.task_ends == {0: 0, 1: 10}


def test_a_handler_counts_in_a_cut_run_when_it_starts_and_its_time_up_to_the_end(run):
    # The handler lasts from 1100 to 1200; the end at 1130 leaves it 30.
    result = run(program(on(0, call(1)), on(1, compute(5000)), duration=1130))
    assert (result.cpus[1].handlers, result.cpus[1].stolen, result.cpus[1].busy) == (1, 30, 1100)
    assert result.end == 1130


def test_nothing_happens_at_the_very_end_of_a_cut_run(run):
    # A handler that would start at 1100, and a call that would end at 1150.
    result = run(program(on(0, call(1)), on(1, compute(5000)), duration=1100))
    assert result.cpus[1].handlers == 0
    assert run(program(on(0, call(1)), cpus=2, duration=1150)).calls == ()
    assert len(run(program(on(0, call(1)), cpus=2, duration=1151)).calls) == 1


def test_a_duration_beyond_the_last_task_is_idle_time(run):
    result = run(program(on(0, compute(100)), duration=1000))
    assert (result.end, result.cpus[0].busy, result.cpus[0].idle) == (1000, 100, 900)
