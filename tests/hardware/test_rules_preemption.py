"""Section 3 of the machine-model page: tasks that keep their CPU, with preemption off."""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.errors import ProgramError
from tests.hardware.adapters import run_fabric
from tests.hardware.machines import (
    PREEMPT_OFF,
    PREEMPT_ON,
    call,
    call_times,
    compute,
    irqs_off,
    mutex_lock,
    on,
    program,
    sleep,
    spin_lock,
    spin_unlock,
)


def test_a_task_keeps_its_cpu_for_longer_than_its_quantum(run):
    # Without it task 0 would lose the CPU at 100 and be back at 110.
    result = run(
        program(on(0, PREEMPT_OFF, compute(250), PREEMPT_ON), on(0, compute(10)), quantum=100)
    )
    assert result.task_ends == {0: 250, 1: 260}


def test_the_run_queue_is_looked_at_before_and_after(run):
    # 0 has had its quantum at 100, before it can switch preemption off, and 1 its own at 200. 0
    # keeps the CPU to 350 and makes way before the step behind: 1 to 360, 0 to 370.
    result = run(
        program(
            on(0, compute(100), PREEMPT_OFF, compute(150), PREEMPT_ON, compute(10)),
            on(0, compute(110)),
            quantum=100,
        )
    )
    assert result.task_ends == {0: 370, 1: 360}


def test_what_was_used_up_meanwhile_counts(run):
    # 60 with preemption off, 40 more make the quantum.
    result = run(
        program(
            on(0, PREEMPT_OFF, compute(60), PREEMPT_ON, compute(100)),
            on(0, compute(10)),
            quantum=100,
        )
    )
    assert result.task_ends == {0: 170, 1: 110}


def test_it_nests_and_counts_spinlocks(run):
    # Only the last release gives the CPU away, at 80, before the step behind it.
    steps = (
        PREEMPT_OFF, spin_lock(0), compute(20), PREEMPT_OFF, compute(20), PREEMPT_ON,
        compute(20), spin_unlock(0), compute(20), PREEMPT_ON, compute(20),
    )  # fmt: skip
    result = run(program(on(0, *steps), on(0, compute(10)), quantum=10))
    assert result.task_ends == {0: 110, 1: 90}


def test_a_call_begins_though_the_quantum_is_over(run):
    # It would begin at 110; 1 has the CPU when it has ended.
    result = run(
        program(
            on(0, PREEMPT_OFF, compute(100), call(1), PREEMPT_ON, compute(1)),
            on(0, compute(10)),
            on(1, compute(10)),
            quantum=100,
        )
    )
    assert call_times(result) == [(100, 1250)]
    assert result.task_ends == {0: 1261, 1: 1260, 2: 10}


def test_handlers_and_windows_come_all_the_same(run):
    # The handler of CPU 1's call runs from 1100 to 1200.
    result = run(
        program(
            on(0, PREEMPT_OFF, compute(1150), irqs_off(50), PREEMPT_ON),
            on(1, call(0)),
            on(0, compute(10)),
            quantum=100,
        )
    )
    assert result.task_ends == {0: 1300, 1: 1150, 2: 1310}
    assert result.cpus[0].stolen == 100


@pytest.mark.parametrize(
    ("steps", "at_ps"),
    [
        ((PREEMPT_OFF, compute(7), sleep(1)), 7),
        ((PREEMPT_OFF, compute(7), mutex_lock(0)), 7),
        ((PREEMPT_OFF, compute(7), ("read_lock", 0)), 7),
        ((PREEMPT_OFF, compute(7), ("write_lock", 0)), 7),
        ((PREEMPT_OFF, compute(7)), 7),
        ((compute(7), PREEMPT_ON), 7),
        ((spin_lock(0), compute(7), PREEMPT_ON), 7),
    ],
)
def test_what_could_give_the_cpu_up_is_an_error_and_so_is_what_is_not_off(
    run: Any, steps: Any, at_ps: int
) -> None:
    with pytest.raises(ProgramError) as error:
        run(program(on(0, *steps)))
    assert error.value.at_ps == at_ps


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ((PREEMPT_OFF, sleep(1)), "sleeps while preemption is off"),
        ((PREEMPT_OFF, mutex_lock(0)), "asks for mutex 0 while preemption is off"),
        ((PREEMPT_OFF, spin_lock(0), sleep(1)), "sleeps while it holds a spinlock"),
        ((PREEMPT_OFF,), "ends while preemption is off"),
        ((PREEMPT_ON,), "switches preemption on, which is on"),
    ],
)
def test_the_error_says_what_was_wrong(steps: Any, message: str) -> None:
    with pytest.raises(ProgramError, match=message):
        run_fabric(program(on(0, *steps)))
