"""Section 3 of the machine-model page: adaptive mutexes, rule by rule, worked out by hand.

Unless a test says otherwise a cache line takes 5 and a wake-up 30.
"""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.errors import DeadlockError
from tests.hardware.machines import (
    call,
    compute,
    mutex_lock,
    mutex_unlock,
    on,
    sleep,
    spin_lock,
)
from tests.hardware.machines import program as plain
from tests.reference.program import Program, Step, TaskSpec


def program(*tasks: TaskSpec, line: int = 5, wakeup: int = 30, **changes: Any) -> Program:
    return plain(*tasks, line=line, wakeup=wakeup, **changes)


def section(*steps: Step, lock: int = 0) -> tuple[Step, ...]:
    """Return steps with a mutex held."""
    return (mutex_lock(lock), *(steps or (compute(10),)), mutex_unlock(lock))


# --- who spins, who sleeps ------------------------------------------------------------------------


def test_one_who_finds_a_running_owner_spins_and_goes_on_a_cache_line_after_the_release(run):
    # CPU 1 asks at 10; released at 100, it goes on at 105 and computes 10.
    result = run(program(on(0, *section(compute(100))), on(1, compute(10), *section())))
    assert result.task_ends == {0: 100, 1: 115}
    assert (result.cpus[1].busy, result.cpus[1].spin, result.cpus[1].idle) == (20, 95, 0)


def test_one_who_finds_a_sleeping_owner_sleeps_and_asks_anew_when_woken(run):
    # Released at 100 the mutex is free; CPU 1 is runnable at 130, and takes it.
    result = run(program(on(0, *section(sleep(100))), on(1, compute(10), *section())))
    assert result.task_ends == {0: 100, 1: 140}
    assert (result.cpus[1].spin, result.cpus[1].idle) == (0, 120)


def test_an_owner_who_spins_for_another_mutex_runs(run):
    # CPU 1 owns 0 and spins for 1 until 305; CPU 2 spins for 0 from 10 on, and goes on at 310.
    result = run(
        program(
            on(0, *section(compute(300), lock=1)),
            on(1, *section(*section(compute(0), lock=1))),
            on(2, compute(10), *section()),
        )
    )
    assert result.task_ends == {0: 300, 1: 305, 2: 320}
    assert result.cpus[2].spin == 300


def test_an_owner_whose_cpu_wakes_is_merely_runnable_and_runs_when_it_is_awake(run):
    # CPU 0 is asleep until 50 and wakes until 150, then it computes. Asking at 60 CPU 1 sleeps:
    # released at 250, it is runnable at 280 and awake at 380. Asking at 150 CPU 2 spins to 255; it
    # computes to 355, so that CPU 1 asks at a free mutex.
    result = run(
        program(
            on(0, *section(sleep(50), compute(100))),
            on(1, compute(60), *section()),
            on(2, compute(150), *section(compute(100))),
            idle=[(0, 100)],
        )
    )
    assert result.task_ends == {0: 250, 1: 390, 2: 355}
    assert (result.cpus[1].spin, result.cpus[2].spin) == (0, 105)


def test_an_owner_who_is_being_switched_in_runs(run):
    # CPU 0 switches to the owner, whose timer has ended at 50, from 60 on, which takes 100.
    result = run(
        program(
            on(0, *section(sleep(50), compute(10)), number=0),
            on(0, compute(60), number=1),
            on(1, compute(300), *section(), number=2),
            context_switch=100,
        )
    )
    # Task 1 is switched to from 0 to 100 and computes to 160; the owner from 160 to 260, to 270.
    assert result.task_ends == {0: 270, 1: 160, 2: 310}
    asking_during_the_switch = run(
        program(
            on(0, *section(sleep(50), compute(10)), number=0),
            on(0, compute(60), number=1),
            on(1, compute(200), *section(), number=2),
            context_switch=100,
        )
    )
    assert asking_during_the_switch.task_ends == {0: 270, 1: 160, 2: 285}
    assert asking_during_the_switch.cpus[1].spin == 75


def test_a_task_that_is_runnable_already_sends_nobody_to_sleep(run):
    # Task 1 spins from 10 to 105 beside task 2, which comes when it has ended.
    result = run(
        program(
            on(0, *section(compute(100))),
            on(1, compute(10), *section()),
            on(1, compute(70)),
        )
    )
    assert result.task_ends == {0: 100, 1: 115, 2: 185}


# --- spinners go to sleep -------------------------------------------------------------------------


def test_spinners_sleep_when_their_owner_does(run):
    # CPU 1 spins from 10 to 50. Released at 150, it is runnable at 180.
    result = run(program(on(0, *section(compute(50), sleep(100))), on(1, compute(10), *section())))
    assert result.task_ends == {0: 150, 1: 190}
    assert (result.cpus[1].spin, result.cpus[1].idle) == (40, 130)


def test_spinners_sleep_when_their_owner_is_switched_away(run):
    # The owner computes 0-50, 100-150, 200-400, the other task 50-100, 150-200.
    result = run(
        program(
            on(0, *section(compute(300)), number=0),
            on(0, compute(100), number=1),
            on(1, compute(10), *section(), number=2),
            quantum=50,
        )
    )
    assert result.task_ends == {0: 400, 1: 200, 2: 440}
    assert result.cpus[1].spin == 40


def test_spinners_stand_behind_those_who_sleep_already_in_the_order_of_asking(run):
    # The owner sleeps to 30, computes to 60, sleeps to 100. CPU 2 asks at 10 and sleeps; CPUs 1 and
    # 3 ask at 40 and 50, spin, and sleep at 60. Woken in turn: 130-140, 170-180, 210-220.
    result = run(
        program(
            on(0, *section(sleep(30), compute(30), sleep(40))),
            on(1, compute(40), *section()),
            on(2, compute(10), *section()),
            on(3, compute(50), *section()),
        )
    )
    assert result.task_ends == {0: 100, 2: 140, 1: 180, 3: 220}


def test_a_spinner_sleeps_when_another_task_becomes_runnable_on_its_cpu(run):
    # Task 2 spins from 10 to 60; task 1 computes from 60. Released at 200, task 2 runs at 230.
    result = run(
        program(
            on(0, *section(compute(200)), number=0),
            on(1, sleep(60), compute(10), number=1),
            on(1, compute(10), *section(), number=2),
        )
    )
    assert result.task_ends == {0: 200, 1: 70, 2: 240}
    assert result.cpus[1].spin == 50


def test_it_sleeps_even_while_a_handler_runs_on_its_cpu(run):
    # The handler on CPU 1 lasts from 1100 to 1200; task 1's timer ends at 1150, so it runs at 1200.
    result = run(
        program(
            on(0, *section(compute(5000)), number=0),
            on(1, sleep(1150), compute(10), number=1),
            on(1, compute(10), *section(), number=2),
            on(2, call(1), number=3),
        )
    )
    assert (result.task_ends[1], result.task_ends[2]) == (1210, 5040)
    assert (result.cpus[1].spin, result.cpus[1].stolen) == (1090, 100)


def test_below_a_handler_a_new_idle_period_begins_at_the_handlers_end(run):
    # CPU 1 spins from 10; the owner sleeps at 1150, in the middle of its handler, and needs 40 more
    # to wake up. CPU 1 is idle from 1200, so that at 1399 (a wake-up of 0) the state for 200 is not
    # reached, and at 1400 it is.
    for released, ends in ((1399, 1409), (1400, 1450)):
        result = run(
            program(
                on(0, *section(compute(1150), sleep(released - 40 - 1150))),
                on(1, compute(10), *section()),
                on(2, call(1)),
                wakeup=0,
                idle=[(200, 40)],
            )
        )
        assert result.task_ends[1] == ends


def test_who_goes_to_sleep_in_one_round_does_so_in_the_order_of_asking(run):
    # CPU 1 owns 0 and spins for 1; CPU 2 asks for 0 at 10, CPU 3 at 20. At 100 timers send CPU 1
    # and CPU 3 to sleep, and CPU 1's sleep sends CPU 2: before CPU 3. Mutex 1 is free at 1000.
    result = run(
        program(
            on(0, *section(compute(1000), lock=1), number=0),
            on(1, sleep(100), compute(10), number=1),
            on(1, *section(*section(compute(0), lock=1)), number=2),
            on(2, compute(10), *section(), number=3),
            on(3, sleep(100), compute(10), number=4),
            on(3, compute(20), *section(), number=5),
        )
    )
    assert result.task_ends == {0: 1000, 1: 110, 2: 1030, 3: 1070, 4: 110, 5: 1110}


def test_whom_a_step_wakes_in_no_time_is_looked_at_when_it_waits(run):
    # Task 0 sleeps to 10, and task 1 for mutex 0. At 110 task 0 releases it, which wakes task 1 in
    # no time, and spins for mutex 1; it sleeps at once. Mutex 1 is free at 500.
    result = run(
        program(
            on(0, *section(sleep(10), compute(100)), *section(lock=1), number=0),
            on(0, *section(), number=1),
            on(1, *section(compute(500), lock=1), number=2),
            wakeup=0,
        )
    )
    assert result.task_ends == {0: 510, 1: 120, 2: 500}
    assert result.cpus[0].spin == 0


# --- releases -------------------------------------------------------------------------------------


def test_a_spinner_comes_before_a_sleeper_who_is_woken_all_the_same(run):
    # CPU 1 asks at 10, the owner being asleep; CPU 2 spins from 50. Released at 200 (b): CPU 2 goes
    # on at 205, and releases at 305. CPU 1 asks anew at 230, spins, and goes on at 310 (a).
    result = run(
        program(
            on(0, *section(sleep(30), compute(170))),
            on(1, compute(10), *section()),
            on(2, compute(50), *section(compute(100))),
        )
    )
    assert result.task_ends == {0: 200, 1: 320, 2: 305}
    assert result.cpus[1].spin == 80


def test_whoever_asks_may_take_a_free_mutex_before_the_one_who_was_woken(run):
    # Free at 100 (c); CPU 2 takes it at 110 and releases it at 210. CPU 1, runnable at 130, spins.
    result = run(
        program(
            on(0, *section(sleep(100))),
            on(1, compute(10), *section()),
            on(2, compute(110), *section(compute(100))),
        )
    )
    assert result.task_ends == {0: 100, 1: 225, 2: 210}
    assert result.cpus[1].spin == 85


def test_the_releaser_may_take_it_again_in_the_same_step(run):
    # CPU 0 releases at 100 and takes it at once, to 150. CPU 1 asks anew at 130 and spins to 155.
    result = run(
        program(
            on(0, *section(sleep(100)), *section(compute(50))),
            on(1, compute(10), *section()),
        )
    )
    assert result.task_ends == {0: 150, 1: 165}


def test_the_marked_one_comes_before_spinners_who_asked_before_it_asked_anew(run):
    # As above, and CPU 3 spins from 215, CPU 1 from 230. At 305 CPU 1 is handed it, at 320 CPU 3.
    result = run(
        program(
            on(0, *section(sleep(30), compute(170))),
            on(1, compute(10), *section()),
            on(2, compute(50), *section(compute(100))),
            on(3, compute(215), *section()),
        )
    )
    assert result.task_ends == {0: 200, 1: 320, 2: 305, 3: 335}


def test_a_release_to_the_marked_one_wakes_nobody_else(run):
    # CPUs 1 and 2 sleep from 10 and 20 on. At 200 CPU 3 gets it (b) and CPU 1 is woken, which spins
    # from 230 and is handed it at 305 (a). Were CPU 2 woken then, it would spin from 335, and go on
    # at 415. It is woken by CPU 1's release at 410 (c).
    result = run(
        program(
            on(0, *section(sleep(30), compute(170))),
            on(1, compute(10), *section(compute(100))),
            on(2, compute(20), *section()),
            on(3, compute(50), *section(compute(100))),
        )
    )
    assert result.task_ends == {0: 200, 1: 410, 2: 450, 3: 305}
    assert result.cpus[2].spin == 0


def test_a_marked_one_that_sleeps_is_handed_it_and_all_spinners_go_to_sleep(run):
    # CPU 1 sleeps from 10, is woken at 30, and at 60 finds CPU 2, which sleeps: marked, it sleeps.
    # CPU 2 runs from 100 on, so CPU 3 spins from 120. At 150 CPU 1 owns it, and CPU 3 goes to
    # sleep. CPU 1 runs at 180, releases at 190; CPU 3 runs at 220.
    result = run(
        program(
            on(0, *section(sleep(30))),
            on(1, compute(10), *section()),
            on(2, compute(40), *section(compute(10), sleep(50), compute(50))),
            on(3, compute(120), *section()),
        )
    )
    assert result.task_ends == {0: 30, 1: 190, 2: 150, 3: 230}
    assert result.cpus[3].spin == 30


def test_whoever_gets_the_cpu_of_such_a_spinner_runs_for_what_the_releaser_asks_next(run):
    # As above, but CPU 3 is shared with task 3, who owns mutex 1 and whose quantum is over at 120,
    # when task 4 begins to spin. At 150 it sleeps, and task 3 runs, so that CPU 2, which asks for
    # mutex 1 in the step of its release, spins. It is free at 160.
    result = run(
        program(
            on(0, *section(sleep(30)), number=0),
            on(1, compute(10), *section(), number=1),
            on(2, compute(40), *section(compute(10), sleep(50), compute(50)), *section(lock=1)),
            on(3, *section(compute(130), lock=1), number=3),
            on(3, *section(), number=4),
            quantum=120,
        )
    )
    assert result.task_ends == {0: 30, 1: 190, 2: 175, 3: 160, 4: 230}
    assert (result.cpus[2].spin, result.cpus[3].spin) == (15, 30)


def test_nobody_is_woken_while_one_is_on_its_way_to_ask_anew(run):
    # CPUs 1 and 2 sleep. Released at 30, CPU 1 is runnable at 130. CPU 3 takes and releases it at
    # 50 and 60. CPU 1 releases it at 140, which makes CPU 2 runnable at 240.
    result = run(
        program(
            on(0, *section(sleep(30))),
            on(1, compute(10), *section()),
            on(2, compute(20), *section()),
            on(3, compute(50), *section()),
            wakeup=100,
        )
    )
    assert result.task_ends == {0: 30, 1: 140, 2: 250, 3: 60}


def test_nothing_sends_to_sleep_who_has_been_handed_it(run):
    # Released at 100, task 2 goes on at 150; task 1's timer ends at 120.
    result = run(
        program(
            on(0, *section(compute(100)), number=0),
            on(1, sleep(120), compute(10), number=1),
            on(1, compute(10), *section(), number=2),
            line=50,
        )
    )
    assert result.task_ends == {0: 100, 1: 170, 2: 160}
    assert result.cpus[1].spin == 140


def test_who_is_handed_it_in_a_handler_goes_on_at_its_end(run):
    # CPU 2 spins from 0; the handler on it lasts from 1100 to 1200, the mutex is there at 1155.
    result = run(program(on(0, call(2)), on(1, *section(compute(1150))), on(2, *section())))
    assert result.task_ends[2] == 1210
    assert (result.cpus[2].spin, result.cpus[2].stolen) == (1100, 100)


def test_the_run_queue_is_looked_at_when_a_spinner_goes_on(run):
    # Task 1 has used up its quantum when it asks, alone; task 2's timer ends while it is handed
    # over. Going on at 150 it makes way at its next step, and comes again at 160.
    result = run(
        program(
            on(0, *section(compute(100)), number=0),
            on(1, sleep(120), compute(10), number=1),
            on(1, compute(10), *section(), number=2),
            line=50,
            quantum=10,
        )
    )
    assert result.task_ends == {0: 100, 1: 160, 2: 170}


# --- deadlock -------------------------------------------------------------------------------------


def test_a_deadlock_of_spinners_names_their_mutexes(run):
    with pytest.raises(DeadlockError, match=r"mutex 1[\s\S]*mutex 0"):
        run(
            program(
                on(0, mutex_lock(0), compute(10), mutex_lock(1)),
                on(1, mutex_lock(1), compute(10), mutex_lock(0)),
            )
        )


def test_a_deadlock_names_no_lock_for_a_task_that_was_woken(run):
    # Task 1 is woken at 50, but never runs: task 2 spins on its CPU, for a spinlock of task 3.
    with pytest.raises(DeadlockError) as error:
        run(
            program(
                on(0, *section(sleep(50)), number=0),
                on(1, *section(), number=1),
                on(1, spin_lock(1), compute(5), spin_lock(0), number=2),
                on(2, spin_lock(0), compute(5), spin_lock(1), number=3),
            )
        )
    assert "spinlock 0" in str(error.value)
    assert "mutex" not in str(error.value)
