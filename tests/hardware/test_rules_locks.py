"""Section 3 of the machine-model page: mutexes, spinlocks, and what is an error."""

from __future__ import annotations

import pytest

from pmsim.errors import DeadlockError, ProgramError
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
    spin_lock,
    spin_unlock,
)


def test_taking_a_free_lock_takes_no_time(run):
    steps = (mutex_lock(0), spin_lock(0), compute(10), spin_unlock(0), mutex_unlock(0))
    assert run(program(on(0, *steps))).task_ends == {0: 10}


def test_mutexes_and_spinlocks_of_one_number_are_two_locks(run):
    result = run(
        program(
            on(0, mutex_lock(0), compute(100), mutex_unlock(0)),
            on(1, spin_lock(0), compute(10), spin_unlock(0)),
        )
    )
    assert result.task_ends == {0: 100, 1: 10}


def test_a_released_mutex_belongs_to_the_first_waiter_who_wakes_later(run):
    # CPU 1 asks at 10, owns it from 100, is runnable at 130. CPU 2 asks at 110, while CPU 1 is
    # still asleep: it gets it at 140, is runnable at 170.
    section = (mutex_lock(0), compute(10), mutex_unlock(0))
    result = run(
        program(
            on(0, mutex_lock(0), compute(100), mutex_unlock(0)),
            on(1, compute(10), *section),
            on(2, compute(110), *section),
            wakeup=30,
            mutex="sleeping",
        )
    )
    assert result.task_ends == {0: 100, 1: 140, 2: 180}
    assert result.cpus[1].idle == result.end - 20


def test_a_mutex_is_handed_on_in_the_order_of_asking(run):
    # CPU 2 asks at 10, CPU 1 at 20.
    section = (mutex_lock(0), compute(10), mutex_unlock(0))
    result = run(
        program(
            on(0, mutex_lock(0), compute(100), mutex_unlock(0)),
            on(1, compute(20), *section),
            on(2, compute(10), *section),
            mutex="sleeping",
        )
    )
    assert result.task_ends == {0: 100, 2: 110, 1: 120}


def test_the_cpu_of_a_task_that_waits_for_a_mutex_goes_to_another(run):
    result = run(
        program(
            on(0, mutex_lock(0), compute(100), mutex_unlock(0)),
            on(1, mutex_lock(0), compute(10), mutex_unlock(0)),
            on(1, compute(70)),
            mutex="sleeping",
        )
    )
    assert result.task_ends == {0: 100, 2: 70, 1: 110}


def test_a_wake_up_queues_with_the_timers_of_its_instant_by_number(run):
    # Released at 80, the mutex wakes task 3 at 100; task 5's timer ends at 100 as well.
    result = run(
        program(
            on(0, mutex_lock(0), compute(80), mutex_unlock(0), number=9),
            on(1, mutex_lock(0), compute(10), mutex_unlock(0), number=3),
            on(1, sleep(100), compute(10), number=5),
            wakeup=20,
            mutex="sleeping",
        )
    )
    assert (result.task_ends[3], result.task_ends[5]) == (110, 120)


def test_a_wake_up_in_no_time_queues_after_the_timers_of_its_instant(run):
    # Released by the step of 100, after all timers of 100.
    result = run(
        program(
            on(0, mutex_lock(0), compute(100), mutex_unlock(0), number=9),
            on(1, mutex_lock(0), compute(10), mutex_unlock(0), number=3),
            on(1, sleep(100), compute(10), number=5),
            mutex="sleeping",
        )
    )
    assert (result.task_ends[5], result.task_ends[3]) == (110, 120)


def test_a_released_spinlock_goes_on_a_cache_line_later(run):
    # CPU 0's release at 100 reaches CPU 3 (the next package, two hops) after 2 x 40.
    result = run(
        program(
            on(0, spin_lock(0), compute(100), spin_unlock(0)),
            on(3, compute(10), spin_lock(0), compute(5), spin_unlock(0)),
            topology=Topology(packages=2, cores=2, hops=((0, 2), (2, 0))),
            line=(0, 10, 20, 30, 40),
        )
    )
    assert result.task_ends == {0: 100, 1: 185}
    assert (result.cpus[3].busy, result.cpus[3].spin) == (15, 170)


def test_a_spinlock_is_handed_on_in_the_order_of_asking(run):
    section = (spin_lock(0), compute(10), spin_unlock(0))
    result = run(
        program(
            on(0, spin_lock(0), compute(100), spin_unlock(0)),
            on(1, compute(20), *section),
            on(2, compute(10), *section),
            line=5,
        )
    )
    assert result.task_ends == {0: 100, 2: 115, 1: 130}


def test_a_task_that_gets_a_spinlock_in_a_handler_goes_on_at_its_end(run):
    # CPU 2 spins from 0; the handler on it lasts from 1100 to 1200, the lock is there at 1150.
    result = run(
        program(
            on(0, call(2)),
            on(1, spin_lock(0), compute(1150), spin_unlock(0)),
            on(2, spin_lock(0), compute(10), spin_unlock(0)),
        )
    )
    assert result.task_ends == {0: 1150, 1: 1150, 2: 1210}
    assert (result.cpus[2].spin, result.cpus[2].stolen) == (1100, 100)


def test_a_call_may_be_made_under_a_spinlock(run):
    # CPU 1 waits, interrupts on, and takes the handler from 1100 to 1200: its own section after it.
    result = run(
        program(
            on(0, spin_lock(0), call(1), spin_unlock(0)),
            on(1, spin_lock(0), irqs_off(10), spin_unlock(0)),
        )
    )
    assert call_times(result) == [(0, 1150)]
    assert result.task_ends == {0: 1150, 1: 1210}


ERRORS = {
    "sleeping under a spinlock": (spin_lock(0), sleep(10)),
    "asking for a free mutex under a spinlock": (spin_lock(0), mutex_lock(0)),
    "releasing a mutex not held": (mutex_unlock(0),),
    "releasing a spinlock not held": (spin_unlock(0),),
    "taking a mutex twice": (mutex_lock(0), mutex_lock(0)),
    "taking a spinlock twice": (spin_lock(0), spin_lock(0)),
    "ending with a mutex held": (mutex_lock(0),),
    "ending with a spinlock held": (spin_lock(0),),
}


@pytest.mark.parametrize("steps", ERRORS.values(), ids=ERRORS.keys())
def test_misuse_of_a_lock_is_an_error_of_the_program_at_its_instant(run, steps):
    with pytest.raises(ProgramError) as error:
        run(program(on(0, compute(70), *steps)))
    assert error.value.at_ps == 70


def test_releasing_a_mutex_that_another_task_holds_is_an_error(run):
    with pytest.raises(ProgramError):
        run(program(on(0, mutex_lock(0), compute(100), mutex_unlock(0)), on(1, mutex_unlock(0))))


def test_a_deadlock_of_mutexes_names_every_task_that_waits_and_its_lock(run):
    with pytest.raises(DeadlockError) as error:
        run(
            program(
                on(0, mutex_lock(0), compute(10), mutex_lock(1), number=7),
                on(1, mutex_lock(1), compute(10), mutex_lock(0), number=8),
                on(2, compute(500)),
            )
        )
    text = str(error.value)
    assert "7" in text
    assert "8" in text
    assert "mutex 0" in text
    assert "mutex 1" in text


def test_a_deadlock_of_spinlocks_is_found_behind_tasks_that_never_run(run):
    # Task 2 is runnable, but CPU 0 spins for ever.
    with pytest.raises(DeadlockError, match="spinlock 0"):
        run(
            program(
                on(0, spin_lock(0), compute(10), spin_lock(1)),
                on(1, spin_lock(1), compute(10), spin_lock(0)),
                on(0, compute(10)),
                quantum=5,
            )
        )


def test_a_deadlock_is_reported_in_a_cut_run_too(run):
    with pytest.raises(DeadlockError):
        run(
            program(
                on(0, mutex_lock(0), compute(10), mutex_lock(1)),
                on(1, mutex_lock(1), compute(10), mutex_lock(0)),
                duration=1000,
            )
        )


def test_waiting_for_a_lock_that_will_be_released_after_the_cut_is_no_deadlock(run):
    result = run(
        program(
            on(0, mutex_lock(0), compute(5000), mutex_unlock(0)),
            on(1, mutex_lock(0), mutex_unlock(0)),
            duration=1000,
            mutex="sleeping",
        )
    )
    assert (result.end, result.cpus[1].idle) == (1000, 1000)
