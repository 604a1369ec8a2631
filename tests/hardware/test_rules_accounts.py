"""Section 3 of the machine-model page: every CPU's time is accounted without gap or overlap."""

from __future__ import annotations

from tests.hardware.machines import (
    call,
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
from tests.reference.program import CpuAccount


def test_one_call_concurrent(run):
    # CPU 0: off 0-130 (queue 100, local 30), spinning to its end at 1180, idle to 1230.
    # CPU 1: 1100 of compute, the handler 1100-1230.
    result = run(program(on(0, call(1, pages=3)), on(1, compute(1100))))
    assert result.cpus == (
        CpuAccount(busy=0, spin=1050, irqs_off=130, stolen=0, idle=50, refill=0, handlers=0),
        CpuAccount(busy=1100, spin=0, irqs_off=0, stolen=130, idle=0, refill=0, handlers=1),
    )


def test_one_call_serial(run):
    # CPU 0: off 0-100, spinning to 1180, off again to 1210, idle to 1230.
    result = run(program(on(0, call(1, pages=3)), on(1, compute(1100)), order="serial"))
    assert result.cpus[0] == CpuAccount(
        busy=0, spin=1080, irqs_off=130, stolen=0, idle=20, refill=0, handlers=0
    )


def test_busy_is_compute_debt_and_switches(run):
    # CPU 1: task 1 0-100, switch 100-120, task 2: 120-1100, handler 1100-1200, 30 of debt, 20 of
    # work: 1250.
    result = run(
        program(
            on(0, full_flush(1)),
            on(1, compute(100)),
            on(1, compute(1000), working_set=3),
            context_switch=20,
            walk=10,
        )
    )
    assert result.cpus[1] == CpuAccount(
        busy=1150, spin=0, irqs_off=0, stolen=100, idle=0, refill=30, handlers=1
    )


def test_windows_spinlocks_and_sleep(run):
    # CPU 1: off 0-70, spins to 300 + 5 for the line, computes to 315, sleeps to 415, idle to 500.
    result = run(
        program(
            on(0, spin_lock(0), compute(300), spin_unlock(0), compute(200)),
            on(1, irqs_off(70), spin_lock(0), compute(10), spin_unlock(0), sleep(100)),
            line=5,
        )
    )
    assert result.end == 500
    assert result.cpus[1] == CpuAccount(
        busy=10, spin=235, irqs_off=70, stolen=0, idle=185, refill=0, handlers=0, lock_spin=235
    )


def test_waiting_for_a_mutex_is_idle_time_of_the_cpu(run):
    result = run(
        program(
            on(0, mutex_lock(0), compute(300), mutex_unlock(0)),
            on(1, mutex_lock(0), compute(10), mutex_unlock(0)),
            wakeup=15,
            mutex="sleeping",
        )
    )
    assert (result.cpus[1].idle, result.cpus[1].busy, result.end) == (315, 10, 325)


def test_what_a_handler_steals_from_spinning_is_not_spinning(run):
    # CPU 2 spins for the lock 0-2000 but for the handler 1100-1200.
    result = run(
        program(
            on(0, call(2)),
            on(1, spin_lock(0), compute(2000), spin_unlock(0)),
            on(2, spin_lock(0), spin_unlock(0)),
        )
    )
    assert (result.cpus[2].spin, result.cpus[2].stolen) == (1900, 100)


def test_the_waking_of_a_deep_state_cut_by_the_runs_end_counts_up_to_it(run):
    # Interrupt at 1100, waking until 1500: 50 of it before the end at 1150.
    result = run(program(on(0, call(1)), cpus=2, idle=[(0, 400)], duration=1150))
    assert (result.cpus[1].stolen, result.cpus[1].idle, result.cpus[1].handlers) == (50, 1100, 0)


def test_everything_adds_up_to_the_runs_length(run):
    result = run(
        program(
            on(0, call(1, 2, pages=2), sleep(40), full_flush(1), compute(123)),
            on(0, compute(777), working_set=3),
            on(1, irqs_off(900), call(0, 2), mutex_lock(1), compute(60), mutex_unlock(1)),
            on(2, mutex_lock(1), compute(3000), mutex_unlock(1), working_set=7),
            walk=11,
            quantum=100,
            context_switch=9,
            wakeup=13,
            line=3,
            send=5,
            idle=[(0, 17), (300, 41)],
        )
    )
    for cpu in result.cpus:
        assert cpu.busy + cpu.spin + cpu.irqs_off + cpu.stolen + cpu.idle == result.end
    assert sum(cpu.handlers for cpu in result.cpus) > 3


def test_spinning_for_locks_is_told_from_waiting_for_answers(run):
    # CPU 0: off 0-130, waits for the answer to 1180. CPU 2: window to 70, spins from there to 305.
    result = run(
        program(
            on(0, call(1, pages=3)),
            on(1, spin_lock(0), compute(300), spin_unlock(0), compute(1000)),
            on(2, irqs_off(70), spin_lock(0), spin_unlock(0)),
            line=5,
        )
    )
    assert [(cpu.spin, cpu.lock_spin) for cpu in result.cpus] == [(1055, 0), (0, 0), (235, 235)]


def test_a_handler_on_a_cpu_without_a_task_wakes_it_for_nobody(run):
    # CPU 1 is idle from 0, and in the handler 1100-1200; CPU 2 computes, and is in it as long.
    result = run(program(on(0, call(1, 2)), on(2, compute(5000)), cpus=3))
    told = [(cpu.stolen, cpu.awake, cpu.woken) for cpu in result.cpus]
    assert told == [(0, 0, 0), (100, 100, 1), (100, 0, 0)]


def test_waking_up_for_a_handler_is_part_of_it(run):
    # Interrupt at 1100, awake at 1500, in the handler to 1600; cut at 1150, while it still wakes.
    programs = [program(on(0, call(1)), cpus=2, idle=[(0, 400)], duration=t) for t in (1150, 2000)]
    results = [run(one).cpus[1] for one in programs]
    assert [(cpu.awake, cpu.woken, cpu.handlers) for cpu in results] == [(50, 1, 0), (500, 1, 1)]


def test_from_when_a_task_is_runnable_a_handler_takes_its_time(run):
    # CPU 1's task sleeps 0-1130; the handler runs 1100-1200, so 30 of it are nobody's.
    result = run(program(on(0, call(1)), on(1, sleep(1130), compute(10))))
    assert (result.cpus[1].stolen, result.cpus[1].awake, result.cpus[1].woken) == (100, 30, 1)


def test_a_task_that_comes_with_the_interrupt_is_the_one_interrupted(run):
    result = run(program(on(0, call(1)), on(1, sleep(1100), compute(10))))
    assert (result.cpus[1].stolen, result.cpus[1].awake, result.cpus[1].woken) == (100, 0, 0)
