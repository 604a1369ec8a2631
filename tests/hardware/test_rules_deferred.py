"""Section 13 of the machine-model page: isolated CPUs in user mode are left out of calls.

On the plain machine leaving one out takes 5 in the place of the queue's 100, and an entry from user
mode that drops everything 70. A call of CPU 0 at 0 on CPU 1 alone arrives at 1100, is taken at
1150, or at 1220 where its handler comes from user mode.
"""

from __future__ import annotations

from functools import partial

import pytest

from pmsim.hardware.proposals import DeferredCosts
from pmsim.hardware.shootdown.deferred import DEFERRED
from pmsim.hardware.shootdown.protocol import Shootdown, with_options
from tests.hardware import machines
from tests.hardware.adapters import rows_of
from tests.hardware.machines import call, compute, flush_kernel, irqs_off, on, sleep

program = partial(machines.program, shootdown=Shootdown(DEFERRED), isolated=(1, 2, 3))


def user(ps):
    return "user", ps


def the_call(result, number=0):
    one = result.calls[number]
    return one.start, one.end, one.gone


def test_a_cpu_in_user_mode_is_left_out_and_drops_everything_on_its_next_entry(run):
    # CPU 1 is left out (5), CPU 2 computes in the kernel: q = 105, arrives at 1105, taken at 1155.
    tasks = (on(0, compute(1), flush_kernel(2)), on(1, user(5000), compute(10)), on(2, compute(9)))
    result = run(program(*tasks))
    assert result.calls[0].acks == {2: 1 + 105 + 1050 + 20}
    assert the_call(result) == (1, 1176, 5070)
    assert result.task_ends[1] == 5000 + 70 + 10
    assert (result.cpus[1].handlers, result.cpus[1].irqs_off) == (0, 70)


def test_every_entry_drops_everything_whether_anything_was_deferred_or_not(run):
    result = run(program(on(1, user(100), compute(10), working_set=4), cpus=2, walk=50))
    assert result.task_ends[0] == 100 + 70 + 200 + 10


def test_a_task_that_ends_after_a_user_compute_enters_first(run):
    result = run(program(on(1, user(100)), cpus=2))
    assert (result.task_ends[0], result.cpus[1].irqs_off) == (170, 70)


def test_two_user_computes_in_a_row_are_one_stay_and_one_of_0_is_one_too(run):
    result = run(program(on(1, user(100), user(0), user(50)), cpus=2))
    assert result.task_ends[0] == 220
    assert run(program(on(1, user(0), compute(5)), cpus=2)).task_ends[0] == 75


def test_cpus_that_are_not_isolated_are_called_and_enter_at_no_cost(run):
    tasks = (on(0, compute(1), flush_kernel(0)), on(1, user(5000)))
    result = run(program(*tasks, isolated=()))
    assert (result.calls[0].acks, result.task_ends[1]) == ({1: 1151}, 5000 + 100)


def test_where_all_are_left_out_nobody_is_sent_to_and_nobody_visited(run):
    tasks = (on(0, compute(1), flush_kernel(3)), on(1, user(5000)), on(2, user(7000)))
    result = run(program(*tasks))
    assert the_call(result) == (1, 1 + 10 + 30, 7070)
    serial = run(program(*tasks, order="serial"))
    assert the_call(serial) == (1, 1 + 10 + 30, 7070)
    assert serial.cpus[0].irqs_off == 40


def test_a_call_with_somebody_left_out_is_not_one_to_all_others(run):
    tasks = (on(0, compute(1), flush_kernel(0)), on(1, user(5000)), on(2), on(3))
    result = run(program(*tasks, cpus=4, shorthand=True, send=10))
    assert result.calls[0].acks == {2: 1 + 205 + 10 + 1050, 3: 1 + 205 + 20 + 1050}


def test_a_handler_that_comes_from_user_mode_drops_everything_before_it_takes(run):
    # The call that frees tables is never deferred: it is taken at 1100 + 50 + 70.
    tasks = (on(0, ("free_tables", 1)), on(1, user(5000), working_set=4))
    result = run(program(*tasks, walk=50))
    assert result.calls[0].acks == {1: 1230}
    assert result.cpus[1].stolen == 50 + 70 + 10 + 50
    assert result.cpus[1].refill == 200
    assert result.task_ends[1] == 5000 + 180 + 200 + 70


def test_what_was_put_off_is_gone_when_such_a_handler_takes(run):
    # CPU 1, busy in the kernel, frees tables from 200 on: CPU 2's handler starts at 1400.
    tasks = (
        on(0, compute(1), flush_kernel(0)),
        on(1, compute(200), ("free_tables", 0)),
        on(2, user(5000)),
    )
    result = run(program(*tasks))
    assert result.calls[0].gone == 200 + 200 + 1000 + 50 + 70


def test_at_an_instant_lower_cpus_have_stepped_and_higher_ones_have_not(run):
    # CPU 2 leaves user mode at 500, as CPU 1 calls and as CPU 3 does.
    calls = (compute(500), flush_kernel(0))
    tasks = (on(1, *calls), on(2, user(500), compute(9000)), on(3, *calls))
    result = run(program(*tasks, cpus=4))
    assert set(result.calls[0].acks) == {0, 3}
    assert set(result.calls[1].acks) == {0, 1, 2}


def test_a_cpu_in_a_handler_or_on_its_way_to_user_mode_is_called(run):
    # The handler of CPU 0's first call runs on CPU 1 from 1100 to 1270.
    tasks = (
        on(0, ("free_tables", 0)),
        on(1, user(5000)),
        on(2, compute(1200), flush_kernel(0)),
    )
    result = run(program(*tasks, context_switch=0))
    assert set(result.calls[1].acks) == {0, 1}
    asleep = (on(0, compute(50), flush_kernel(0)), on(1, sleep(50), user(5000)))
    assert set(run(program(*asleep)).calls[0].acks) == {1}


def test_being_preempted_in_user_mode_is_an_entry_before_the_task_goes_to_the_tail(run):
    tasks = (on(1, user(300), number=0), on(1, compute(100), number=1))
    result = run(program(*tasks, cpus=2, quantum=200))
    # 200 in user mode, 70, the other's 100, then 100 and the entry at the end.
    assert result.task_ends == {1: 370, 0: 370 + 100 + 70}


def test_a_task_preempted_between_two_steps_comes_back_to_user_mode(run):
    tasks = (on(1, user(200), compute(10), number=0), on(1, compute(100), number=1))
    result = run(program(*tasks, cpus=2, quantum=200))
    assert result.task_ends == {1: 370, 0: 370 + 70 + 10}


def test_a_handler_at_the_last_picosecond_comes_from_user_mode_and_the_entry_is_another(run):
    # The user compute is over at 1100, as the interrupt arrives.
    tasks = (on(0, ("free_tables", 0)), on(1, user(1100), compute(10)))
    result = run(program(*tasks))
    assert result.calls[0].acks == {1: 1220}
    assert result.task_ends[1] == 1270 + 70 + 10


def test_what_never_enters_the_kernel_again_never_drops_it(run):
    tasks = (on(0, compute(1), flush_kernel(0)), on(1, user(5000)))
    result = run(program(*tasks, duration=5070))
    assert the_call(result) == (1, 6, None)
    assert run(program(*tasks, duration=5071)).calls[0].gone == 5070


def test_an_entry_that_ends_as_a_call_begins_is_not_after_it(run):
    # CPU 1's entry takes nothing, at 500, after CPU 0 has left it out; the next one is at 900.
    tasks = (on(0, compute(500), flush_kernel(0)), on(1, user(500), compute(100), user(300)))
    result = run(program(*tasks, deferred=DeferredCosts(check=5)))
    assert the_call(result) == (500, 505, 900)


@pytest.mark.parametrize(("defers", "left_out"), [("purge", False), ("all", True)])
def test_what_is_deferred_is_purges_or_every_flush(run, defers, left_out):
    chosen = with_options(DEFERRED, {"defers": defers})
    tasks = (on(0, compute(1), call(1)), on(1, user(5000)))
    result = run(program(*tasks, shootdown=chosen))
    assert (result.calls[0].acks == {}) is left_out
    assert result.calls[0].gone == (5070 if left_out else 1221)


def test_code_that_was_patched_is_never_put_off(run):
    chosen = with_options(DEFERRED, {"defers": "all"})
    tasks = (on(0, compute(1), ("sync_core", None)), on(1, user(5000)))
    assert run(program(*tasks, shootdown=chosen)).calls[0].acks == {1: 1221}


def test_a_window_is_no_user_mode(run):
    tasks = (on(0, compute(1), flush_kernel(0)), on(1, user(0), irqs_off(5000)))
    assert set(run(program(*tasks)).calls[0].acks) == {1}


def test_the_row_counts_whom_it_left_out():
    tasks = (on(0, compute(1), flush_kernel(2)), on(1, user(5000)), on(2, compute(9)))
    ((row, _),) = rows_of(program(*tasks))
    assert (row["targets"], row["left_out"], row["queue_ps"], row["gone_ps"]) == (1, 1, 105, 5070)
