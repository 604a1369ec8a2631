"""Section 3 of the machine-model page: the run queue, its quantum, and what a switch costs."""

from __future__ import annotations

from tests.hardware.machines import (
    call,
    call_times,
    compute,
    full_flush,
    irqs_off,
    mutex_lock,
    mutex_unlock,
    on,
    program,
    sleep,
    spin_lock,
    spin_unlock,
)


def test_tasks_of_one_cpu_share_it_round_robin(run):
    # 0: 0-100, 200-300, 350-400; 1: 100-200, 300-350.
    result = run(program(on(0, compute(250)), on(0, compute(150)), quantum=100))
    assert result.task_ends == {0: 400, 1: 350}


def test_at_time_zero_tasks_queue_by_number(run):
    result = run(
        program(
            on(0, compute(10), number=2), on(0, compute(20), number=0), on(0, compute(30), number=1)
        )
    )
    assert result.task_ends == {0: 20, 1: 50, 2: 60}


def test_a_quantum_that_nobody_waits_for_goes_on_until_somebody_is_runnable(run):
    # Task 0 sleeps until 150; task 1 has had 150 by then and gives way at once: 150-160.
    result = run(program(on(0, sleep(150), compute(10)), on(0, compute(300)), quantum=100))
    assert result.task_ends == {0: 160, 1: 310}


def test_a_task_keeps_the_cpu_until_its_quantum_is_full(run):
    # Task 0 is runnable at 50, has the CPU at 100.
    result = run(program(on(0, sleep(50), compute(10)), on(0, compute(300)), quantum=100))
    assert result.task_ends == {0: 110, 1: 310}


def test_a_window_is_not_counted_and_not_interrupted(run):
    # Off from 0 to 300, then 50 of compute, less than the quantum.
    result = run(program(on(0, irqs_off(300), compute(50)), on(0, compute(10)), quantum=100))
    assert result.task_ends == {0: 350, 1: 360}


def test_debt_counts_towards_the_quantum(run):
    # The handler that is due at 1100 runs from 1200 to 1300; then 60 of debt and 40 of work make
    # the quantum at 1400; task 2 to 1410; the other 60 of work to 1470.
    result = run(
        program(
            on(0, full_flush(1)),
            on(1, irqs_off(1200), compute(100), working_set=6),
            on(1, compute(10)),
            walk=10,
            quantum=100,
        )
    )
    assert (result.task_ends[1], result.task_ends[2]) == (1470, 1410)


def test_stolen_time_does_not_count_towards_the_quantum(run):
    # Task 1 computes from 1050, the handler runs from 1100 to 1200; it has had 100 at 1250.
    result = run(
        program(
            on(0, call(1)), on(1, irqs_off(1050), compute(150)), on(1, compute(10)), quantum=100
        )
    )
    assert (result.task_ends[1], result.task_ends[2]) == (1310, 1260)


def test_a_switch_costs_its_time_and_is_not_counted(run):
    # 0: 0-100; switch to 120; 1: to 220; switch to 240; 0: to 290, ends; switch to 310; 1: to 360.
    result = run(program(on(0, compute(150)), on(0, compute(150)), quantum=100, context_switch=20))
    assert result.task_ends == {0: 290, 1: 360}
    assert (result.cpus[0].busy, result.end) == (360, 360)


def test_a_task_without_a_next_step_ends_instead_of_queueing_again(run):
    result = run(program(on(0, compute(100)), on(0, compute(50)), quantum=100))
    assert result.task_ends == {0: 100, 1: 150}


def test_a_task_with_a_next_step_goes_to_the_tail_before_it(run):
    # Task 1: 100-150; then the window of task 0: 150-160.
    result = run(program(on(0, compute(100), irqs_off(10)), on(0, compute(50)), quantum=100))
    assert result.task_ends == {0: 160, 1: 150}


def test_the_quantum_is_looked_at_before_a_step_of_no_length_too(run):
    # At 100 task 0 goes to the tail before it takes the free mutex. So CPU 1 finds it free at 120
    # and has it to 130; task 0 takes it at 150.
    result = run(
        program(
            on(0, compute(100), mutex_lock(0), compute(10), mutex_unlock(0)),
            on(0, compute(50)),
            on(1, compute(120), mutex_lock(0), compute(10), mutex_unlock(0)),
            quantum=100,
        )
    )
    assert result.task_ends == {0: 160, 1: 150, 2: 130}


def test_the_quantum_is_looked_at_before_a_release(run):
    # At 100 task 0 has had its quantum; task 1 has the CPU to 150, and only then is the mutex
    # released that CPU 1's task has been waiting for.
    result = run(
        program(
            on(0, mutex_lock(0), compute(100), mutex_unlock(0)),
            on(0, compute(50)),
            on(1, compute(10), mutex_lock(0), mutex_unlock(0)),
            quantum=100,
        )
    )
    assert result.task_ends == {0: 150, 1: 150, 2: 150}


def test_a_quantum_that_fills_as_a_handler_starts_is_looked_at_at_its_end(run):
    # Task 1 has had 100 at 1100; handler to 1200; task 2 to 1210; the other 50 to 1260.
    result = run(
        program(
            on(0, call(1)), on(1, irqs_off(1000), compute(150)), on(1, compute(10)), quantum=100
        )
    )
    assert (result.task_ends[1], result.task_ends[2]) == (1260, 1210)


def test_a_timer_queues_its_task_ahead_of_one_whose_quantum_ends_then(run):
    # At 100: task 2 waits, 0 wakes, 1 has had its quantum: 2 to 130, 0 to 140, 1 to 190.
    result = run(
        program(
            on(0, sleep(100), compute(10)), on(0, compute(150)), on(0, compute(30)), quantum=100
        )
    )
    assert result.task_ends == {2: 130, 0: 140, 1: 190}


def test_timers_that_end_at_one_instant_queue_their_tasks_by_number(run):
    # Task 5's timer was set first, at 0, task 3's at 50; both end at 100.
    result = run(
        program(
            on(0, sleep(100), compute(10), number=5),
            on(0, sleep(50), sleep(50), compute(10), number=3),
        )
    )
    assert result.task_ends == {3: 110, 5: 120}


def test_the_count_starts_anew_at_every_switch_in_even_of_the_same_task(run):
    # Task 1: 0-80, asleep to 90, 90-170: 80 since then, so the window 170-180 comes before task 0,
    # which is runnable from 120.
    result = run(
        program(
            on(0, sleep(120), compute(10)),
            on(0, compute(80), sleep(10), compute(80), irqs_off(10)),
            quantum=100,
        )
    )
    assert result.task_ends == {1: 180, 0: 190}


def test_a_call_is_not_interrupted_by_the_run_queue_and_ends_before_the_tail(run):
    # Task 1 has had its quantum at 100, alone; task 0 is runnable at 500. The call ends at 1250;
    # going to the tail then does not move that: task 0 to 1300, the window to 1310.
    result = run(
        program(
            on(0, sleep(500), compute(50)),
            on(0, compute(100), call(1), irqs_off(10)),
            cpus=2,
            quantum=100,
        )
    )
    assert call_times(result) == [(100, 1250)]
    assert result.task_ends == {0: 1300, 1: 1310}


def test_a_task_is_not_preempted_from_asking_for_a_spinlock_to_its_release(run):
    # 300 of compute under the lock; after the release, before the next step: the tail.
    result = run(
        program(
            on(0, spin_lock(0), compute(300), spin_unlock(0), irqs_off(10)),
            on(0, compute(10)),
            quantum=100,
        )
    )
    assert result.task_ends == {0: 320, 1: 310}


def test_a_task_that_spins_for_a_lock_is_not_preempted(run):
    # Task 1 has had 90 when it asks at 90, and gets the lock at 500; 20 of compute under it make
    # 110: the release, then the tail.
    result = run(
        program(
            on(0, spin_lock(0), compute(500), spin_unlock(0)),
            on(1, compute(90), spin_lock(0), compute(20), spin_unlock(0), irqs_off(10)),
            on(1, compute(30)),
            quantum=100,
        )
    )
    assert result.task_ends == {0: 500, 2: 550, 1: 560}


def test_the_first_switch_in_of_a_cpu_is_free(run):
    assert run(program(on(0, compute(10)), context_switch=20)).task_ends == {0: 10}


def test_coming_back_to_the_same_task_is_free(run):
    result = run(program(on(0, sleep(500), compute(10)), context_switch=20))
    assert result.task_ends == {0: 510}


def test_a_switch_is_paid_even_if_the_other_task_ended_long_ago(run):
    # Task 0 first (free), asleep to 500; task 1 to 20 + 50; at 500 a switch back: 520, 530.
    result = run(program(on(0, sleep(500), compute(10)), on(0, compute(50)), context_switch=20))
    assert result.task_ends == {1: 70, 0: 530}


def test_a_switch_is_paid_after_the_waking(run):
    # As before, from an idle state left in 30: 530, switch to 550, 560.
    result = run(
        program(
            on(0, sleep(500), compute(10)), on(0, compute(50)), context_switch=20, idle=[(0, 30)]
        )
    )
    assert result.task_ends[0] == 560
    assert (result.cpus[0].idle, result.cpus[0].busy) == (500 - 70 + 30, 20 + 50 + 20 + 10)


def test_a_switch_is_paid_after_a_handler(run):
    # CPU 1: task 1 sleeps until 1150, task 2 (switched to from 0 to 20) ends at 70. The handler
    # runs from 1100 to 1200; the switch to task 1 to 1220; its compute to 1230.
    result = run(
        program(
            on(0, call(1)),
            on(1, sleep(1150), compute(10)),
            on(1, compute(50)),
            context_switch=20,
        )
    )
    assert result.task_ends[1] == 1230


def test_a_handler_pushes_back_the_end_of_a_switch_in_which_no_debt_is_paid(run):
    # The switch begins at 1090, has 10 at 1100, is stopped until 1200 and ends at 1230; then 50 of
    # debt and 100 of work.
    result = run(
        program(
            on(0, full_flush(1)),
            on(1, compute(1090)),
            on(1, compute(100), working_set=5),
            context_switch=40,
            walk=10,
        )
    )
    assert result.task_ends[2] == 1230 + 150
    assert (result.cpus[1].busy, result.cpus[1].refill) == (1090 + 40 + 150, 50)


def test_the_task_is_chosen_when_the_switch_begins(run):
    # 1 (free) sleeps at 0; switch to 3: 0-40, which sleeps until 240; switch to 4: 40-80, 80-100.
    # 3's timer ends at 240; 1's at 210: switch to 1: 210-250, 250-260. At 250, as the switch ends,
    # both are runnable, but at 210 only 1 was. Then a switch to 3: 260-300, 300-310.
    result = run(
        program(
            on(0, sleep(210), compute(10), number=1),
            on(0, sleep(200), compute(10), number=3),
            on(0, compute(20), number=4),
            context_switch=40,
        )
    )
    assert result.task_ends == {4: 100, 1: 260, 3: 310}


def test_a_task_that_wakes_during_a_switch_does_not_go_before_the_one_chosen(run):
    # 1 (free) sleeps at 0; switch to 2: 0-40, which computes until 50; switch to 3: 50-90. Task 1,
    # awake at 60 and with the lowest number, has to wait for 3, which ends at 150: 190, 200.
    result = run(
        program(
            on(0, sleep(60), compute(10), number=1),
            on(0, compute(10), number=2),
            on(0, compute(60), number=3),
            context_switch=40,
        )
    )
    assert result.task_ends == {2: 50, 3: 150, 1: 200}
