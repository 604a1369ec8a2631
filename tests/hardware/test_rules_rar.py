"""Section 12 of the machine-model page: remote actions.

On the plain machine a payload takes 500, marking a target 100, the way 1000, the processor acts
after 1, for 40: a lone call at 0 of CPU 0 on CPU 1 is marked at 600, arrives at 1600, and is
acknowledged at 1641, when the action is over.
"""

from __future__ import annotations

from functools import partial

import pytest

from pmsim.hardware.proposals import RarCosts
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.rar import RAR
from tests.hardware import machines
from tests.hardware.adapters import rows_of
from tests.hardware.machines import (
    call,
    call_times,
    compute,
    empty,
    flush_kernel,
    full_flush,
    irqs_off,
    on,
    same_everywhere,
)

program = partial(machines.program, shootdown=Shootdown(RAR))
KNOWN = {"payload": 500, "queue": 100, "delivery": same_everywhere(1000), "action": 40}


def acks(result, number=0):
    return result.calls[number].acks


def test_a_payload_is_written_the_target_marked_and_its_processor_acts(run):
    result = run(program(on(0, call(1, pages=3)), on(1, compute(9000))))
    assert (acks(result), call_times(result), result.calls[0].gone) == (
        {1: 1641},
        [(0, 1641)],
        1641,
    )
    assert (result.cpus[1].stolen, result.cpus[1].handlers) == (41, 1)
    assert (result.cpus[0].irqs_off, result.cpus[0].spin) == (630, 1641 - 630)


@pytest.mark.parametrize("pages", [0, 1, 40])
def test_an_action_on_kernel_pages_drops_everything_the_initiator_what_its_ceiling_says(run, pages):
    tasks = (
        on(0, call(1, pages=pages), compute(10), working_set=4),
        on(1, compute(9000), working_set=4),
    )
    result = run(program(*tasks, walk=50))
    assert [cpu.refill for cpu in result.cpus] == [200 if pages > 33 else 0, 200]
    assert result.cpus[1].stolen == 41


@pytest.mark.parametrize(("pages", "refill"), [(3, 0), (40, 200)])
def test_an_action_on_user_pages_drops_those_up_to_the_ceiling(run, pages, refill):
    tasks = (on(0, ("flush_user", pages)), on(1, compute(9000), working_set=4))
    result = run(program(*tasks, walk=50))
    assert (result.cpus[1].refill, result.cpus[1].stolen) == (refill, 41)


def test_whatever_is_called_is_an_action(run):
    result = run(program(on(0, empty(700)), on(1, compute(9000))))
    assert (acks(result), result.cpus[1].stolen, result.calls[0].gone) == ({1: 1641}, 41, None)


def test_windows_hold_no_action_off_and_are_pushed_by_it(run):
    result = run(program(on(0, call(1)), on(1, irqs_off(2000))))
    assert (acks(result), result.task_ends[1]) == ({1: 1641}, 2041)


def test_the_order_is_always_concurrent(run):
    result = run(program(on(0, full_flush(1)), cpus=2, order="serial", flush_all=5000))
    assert call_times(result) == [(0, 600 + 5000)]


def test_targets_are_sent_to_by_groups(run):
    costs = RarCosts(**KNOWN, send=10, fanout=2)
    result = run(program(on(0, call(1, 2, 3)), cpus=4, rar=costs))
    assert acks(result) == {1: 800 + 10 + 1041, 2: 800 + 20 + 1041, 3: 800 + 20 + 1041}


def test_without_targets_nothing_is_written_and_no_slot_taken(run):
    result = run(program(on(0, call(pages=3)), cpus=2, rar=RarCosts(**KNOWN, slots=1)))
    assert (call_times(result), result.cpus[0].irqs_off) == ([(0, 30)], 30)


ONE_SLOT = RarCosts(**KNOWN, slots=1)


def test_initiators_of_one_slot_go_one_after_the_other_a_line_apart(run):
    tasks = (on(0, call(2)), on(1, compute(50), call(2)), on(2, compute(9000)))
    result = run(program(*tasks, rar=ONE_SLOT, line=7))
    # CPU 0 goes on at 1641, its rar.line being 0; CPU 1 has the slot 7 later.
    assert call_times(result) == [(0, 1641), (50, 1648 + 1641)]
    assert result.cpus[1].spin == 1648 - 50 + 1641 - 600


def test_the_slot_is_let_go_when_the_task_goes_on_at_the_end_of_an_action(run):
    # CPU 3 has a slot of its own (3 mod 2 = 1). Its action on CPU 0 arrives at 1620 and lasts to
    # 1661, when CPU 0 goes on and CPU 2 gets their slot, 0.
    costs = RarCosts(**KNOWN, slots=2)
    tasks = (on(0, call(1)), on(1), on(2, compute(50), call(1)), on(3, compute(20), call(0)))
    result = run(program(*tasks, rar=costs))
    assert call_times(result) == [(0, 1661), (20, 1661), (50, 1661 + 1641)]


def test_cpus_that_have_a_slot_each_do_not_wait(run):
    tasks = (on(0, call(2)), on(1, call(2)), on(2, compute(9000)))
    assert call_times(run(program(*tasks))) == [(0, 1641), (0, 1681)]


def test_waiting_for_the_slot_is_part_of_the_rows_latency():
    tasks = (on(0, call(2)), on(1, compute(50), call(2)), on(2, compute(9000)))
    (_, _), (row, _) = rows_of(program(*tasks, rar=ONE_SLOT))
    assert (row["start_ps"], row["queue_ps"]) == (50, 1641 - 50 + 600)


def test_a_call_that_waits_for_its_slot_is_not_preempted(run):
    # CPU 1's first task asks at 50; its second one, runnable all the time, waits to the end.
    tasks = (
        on(0, flush_kernel(0), number=0),
        on(1, compute(50), flush_kernel(0), number=1),
        on(1, compute(10), number=2),
    )
    result = run(program(*tasks, rar=ONE_SLOT, quantum=20))
    assert result.task_ends[2] < result.calls[1].start or result.task_ends[2] > result.calls[1].end
