"""Section 3 of the machine-model page: reader-writer semaphores, worked out by hand.

Unless a test says otherwise a cache line takes 5 and a wake-up 30.
"""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.errors import DeadlockError, ProgramError
from tests.hardware.machines import call, compute, mutex_lock, mutex_unlock, on, sleep, spin_lock
from tests.hardware.machines import program as plain
from tests.reference.program import Program, Step, TaskSpec

READ, READ_END = ("read_lock", 0), ("read_unlock", 0)
WRITE, WRITE_END = ("write_lock", 0), ("write_unlock", 0)
DOWNGRADE = ("downgrade", 0)


def program(*tasks: TaskSpec, **changes: Any) -> Program:
    return plain(*tasks, **{"line": 5, "wakeup": 30, **changes})


def read(*steps: Step) -> tuple[Step, ...]:
    return READ, *(steps or (compute(10),)), READ_END


def write(*steps: Step) -> tuple[Step, ...]:
    return WRITE, *(steps or (compute(10),)), WRITE_END


def test_readers_share_it_in_no_time(run):
    result = run(program(on(0, *read(compute(100))), on(1, compute(10), *read(compute(100)))))
    assert result.task_ends == {0: 100, 1: 110}


def test_a_writer_spins_for_a_writer_that_runs(run):
    result = run(program(on(0, *write(compute(100))), on(1, compute(10), *write())))
    assert result.task_ends == {0: 100, 1: 115}
    assert result.cpus[1].spin == 95


def test_a_writer_sleeps_for_readers_and_is_woken_by_the_last(run):
    # CPU 2 asks at 20; the readers are done at 100 and 150. It is runnable at 180.
    result = run(
        program(
            on(0, *read(compute(100))),
            on(1, compute(10), *read(compute(140))),
            on(2, compute(20), *write()),
        )
    )
    assert result.task_ends == {0: 100, 1: 150, 2: 190}
    assert result.cpus[2].spin == 0


def test_a_reader_does_not_spin(run):
    # Released at 100, it is handed over, and the reader runs at 130.
    result = run(program(on(0, *write(compute(100))), on(1, compute(10), *read())))
    assert result.task_ends == {0: 100, 1: 140}
    assert result.cpus[1].spin == 0


def test_a_reader_does_not_overtake_a_writer_who_sleeps(run):
    # CPU 1 sleeps from 10 for the reader of CPU 0, CPU 2 from 20. Free at 100, CPU 1 writes from
    # 130 to 140, and hands it to CPU 2, which reads from 170.
    result = run(
        program(
            on(0, *read(compute(100))), on(1, compute(10), *write()), on(2, compute(20), *read())
        )
    )
    assert result.task_ends == {0: 100, 1: 140, 2: 180}


def test_nor_one_who_is_woken(run):
    # Free at 100; CPU 2 asks at 110, while CPU 1 is on its way, and reads from 170.
    result = run(
        program(
            on(0, *read(compute(100))), on(1, compute(10), *write()), on(2, compute(110), *read())
        )
    )
    assert result.task_ends == {0: 100, 1: 140, 2: 180}


def test_all_readers_who_sleep_are_let_in_together_over_the_heads_of_writers(run):
    # The owner is asleep, so that CPU 2, a writer, sleeps too. At 100 CPUs 1 and 3 are handed it,
    # and read from 130; CPU 3 is done at 180, CPU 2 runs at 210.
    result = run(
        program(
            on(0, *write(sleep(100))),
            on(1, compute(10), *read()),
            on(2, compute(20), *write()),
            on(3, compute(30), *read(compute(50))),
        )
    )
    assert result.task_ends == {0: 100, 1: 140, 3: 180, 2: 220}


def test_a_spinning_writer_comes_before_readers_who_sleep(run):
    # CPU 1 sleeps from 10; CPU 2 spins from 20, and writes from 105 to 115. CPU 1 reads at 145.
    result = run(
        program(
            on(0, *write(compute(100))), on(1, compute(10), *read()), on(2, compute(20), *write())
        )
    )
    assert result.task_ends == {0: 100, 2: 115, 1: 155}


def test_a_writer_woken_in_vain_is_handed_it_by_the_last_reader(run):
    # CPU 1 sleeps from 10 and is woken at 100. CPU 2 writes from 110 and reads from 120 to 180, so
    # that CPU 1 asks anew at 130, and sleeps, marked. It owns it at 180 and runs at 210. CPU 3, who
    # asks at 190, finds an owner that sleeps, and is woken at 220.
    result = run(
        program(
            on(0, *read(compute(100))),
            on(1, compute(10), *write()),
            on(2, compute(110), WRITE, compute(10), DOWNGRADE, compute(60), READ_END),
            on(3, compute(190), *write()),
        )
    )
    assert result.task_ends == {0: 100, 1: 220, 2: 180, 3: 260}


def test_a_writer_that_goes_on_as_a_reader_lets_readers_in_and_sends_spinners_to_sleep(run):
    # CPU 1, a reader, sleeps from 10, CPU 2 spins from 20. At 50 CPU 1 is handed it, and reads from
    # 80 to 90; CPU 2 sleeps to 130, when the reader of CPU 0 is done, and runs at 160.
    result = run(
        program(
            on(0, WRITE, compute(50), DOWNGRADE, compute(80), READ_END),
            on(1, compute(10), *read()),
            on(2, compute(20), *write()),
        )
    )
    assert result.task_ends == {0: 130, 1: 90, 2: 170}
    assert result.cpus[2].spin == 30


def asks_for_what_the_next_one_owns(*others: TaskSpec) -> Program:
    """Task 0 sends task 2 to sleep at 1160, and then asks for what task 1 of that CPU owns."""
    return program(
        on(0, WRITE, compute(1160), DOWNGRADE, mutex_lock(1), mutex_unlock(1), READ_END, number=0),
        on(1, mutex_lock(1), compute(25), mutex_unlock(1), number=1),
        on(1, *write(), number=2),
        *others,
        quantum=15,
        context_switch=8,
    )


def test_whoever_gets_the_cpu_of_a_spinner_runs_in_the_step_that_sends_it_to_sleep(run):
    # Task 1 goes to the tail at 15, and task 2 spins from 23. At 1160 it sleeps, and task 1 is
    # switched to: it runs, so task 0 spins. Task 1 computes from 1168 to 1178, task 0 goes on at
    # 1183, and wakes task 2, who runs at 1213 and writes from 1221.
    result = run(asks_for_what_the_next_one_owns())
    assert result.task_ends == {0: 1183, 1: 1178, 2: 1231}
    assert (result.cpus[0].spin, result.cpus[1].spin) == (23, 1160 - 23)


def test_but_not_while_a_handler_has_the_cpu(run):
    # As above, but the handler on CPU 1 lasts from 1100 to 1200. Nobody runs there at 1160, so task
    # 0 sleeps. Task 1 computes from 1208 to 1218; task 0 goes on at 1248, and task 2 at 1278. The
    # caller leaves CPU 1 a line after 1150.
    result = run(asks_for_what_the_next_one_owns(on(2, call(1), number=3)))
    assert result.task_ends == {0: 1248, 1: 1218, 2: 1296, 3: 1155}
    assert (result.cpus[0].spin, result.cpus[1].spin) == (0, 1100 - 23)


def test_on_a_machine_where_nobody_spins_a_writer_is_handed_it(run):
    result = run(
        program(
            on(0, *write(compute(100))),
            on(1, compute(10), *write()),
            on(2, compute(110), *write()),
            mutex="sleeping",
        )
    )
    assert result.task_ends == {0: 100, 1: 140, 2: 180}


ERRORS = {
    "reading twice": (READ, READ),
    "reading what one writes": (WRITE, READ),
    "writing what one reads": (READ, WRITE),
    "reading under a spinlock": (spin_lock(0), READ),
    "writing under a spinlock": (spin_lock(0), WRITE),
    "releasing what one does not read": (READ_END,),
    "releasing as a writer what one reads": (READ, WRITE_END),
    "downgrading what one reads": (READ, DOWNGRADE),
    "ending as a reader": (READ,),
}


@pytest.mark.parametrize("steps", ERRORS.values(), ids=ERRORS.keys())
def test_misuse_is_an_error_of_the_program_at_its_instant(run, steps):
    with pytest.raises(ProgramError) as error:
        run(program(on(0, compute(70), *steps)))
    assert error.value.at_ps == 70


def test_a_deadlock_names_the_semaphore(run):
    with pytest.raises(DeadlockError, match="semaphore 0"):
        run(
            program(
                on(0, READ, compute(10), ("write_lock", 1)),
                on(1, ("write_lock", 1), compute(10), WRITE),
            )
        )
