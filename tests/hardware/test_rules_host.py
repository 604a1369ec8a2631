"""Section 10 of the machine-model page: what the host adds to a guest's interrupts.

On the plain machine a lone call of CPU 0 on CPU 1 queues at 100, is sent then, arrives at 1100, is
taken at 1150, and its handler exits 50 after the function. The host takes 300 to send, 700 to
inject.
"""

from __future__ import annotations

from functools import partial

from pmsim.hardware.host import Host
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.sbi import SBI
from tests.hardware import machines
from tests.hardware.adapters import rows_of, unwatched_rows_of
from tests.hardware.machines import call, call_times, compute, flush_kernel, invalidate, on

GUEST = Host(exit=300, inject=700)

program = partial(machines.program, host=GUEST)


def acks(result, number=0):
    return result.calls[number].acks


def test_a_guest_leaves_to_send_and_its_target_to_be_interrupted(run):
    # Sent at 100 + 300, arrives at 1400, taken at 1400 + 50 + 700; two pages, then the exit.
    result = run(program(on(0, call(1, pages=2)), on(1, compute(9000))))
    assert acks(result) == {1: 2150 + 20}
    assert call_times(result) == [(0, 2170)]
    assert result.cpus[0].irqs_off == 100 + 300 + 20
    assert result.cpus[1].stolen == 50 + 700 + 20 + 50
    assert result.task_ends[1] == 9000 + 820


def test_every_group_is_a_write_for_which_the_guest_leaves(run):
    result = run(program(on(0, call(1, 2, 3)), cpus=4, send=10, fanout=2))
    assert acks(result) == {1: 300 + 310 + 1750, 2: 300 + 620 + 1750, 3: 300 + 620 + 1750}


def test_one_write_to_all_others_is_left_for_once(run):
    result = run(program(on(0, flush_kernel(0)), cpus=4, send=10, fanout=2, shorthand=True))
    assert acks(result) == dict.fromkeys((1, 2, 3), 300 + 310 + 1750)


def test_the_host_goes_through_the_targets_of_a_write_one_after_the_other(run):
    # t1 = 300. Groups {0,1} and {2,3}: 310 and 7 for CPU 1, then 310 and 7 for each of the others.
    host = Host(exit=300, kick=7)
    result = run(program(on(0, call(1, 2, 3)), cpus=4, send=10, fanout=2, host=host))
    sent = {1: 300 + 317, 2: 300 + 634, 3: 300 + 641}
    assert acks(result) == {c: time + 1050 for c, time in sent.items()}
    assert result.cpus[0].irqs_off == 300 + 641


def test_calls_that_come_while_one_is_injected_are_taken_with_it(run):
    # CPU 1's call, queued at 2100, is there when the handler that started at 1400 takes at 2150.
    result = run(program(on(0, call(2)), on(1, compute(2000), call(2)), cpus=3))
    assert (acks(result, 0), acks(result, 1)) == ({2: 2150}, {2: 2150})
    assert result.cpus[2].handlers == 1


def test_a_firmware_call_is_no_exception(run):
    # Trap to 500, queued at 600, sent at 900, arrives at 1900, taken at 2650.
    result = run(program(on(0, call(1)), on(1, compute(9000)), shootdown=Shootdown(SBI)))
    assert acks(result) == {1: 2650}


def test_what_interrupts_nobody_is_left_alone(run):
    assert call_times(run(program(on(0, invalidate(1)), cpus=2))) == [(0, 1300)]


def test_a_call_of_nobody_is_not_sent(run):
    assert call_times(run(program(on(0, call(pages=2)), cpus=2))) == [(0, 20)]


def test_a_host_that_costs_nothing_changes_nothing(run):
    bare = machines.program(on(0, call(1, pages=2)), on(1, compute(9000)))
    assert run(bare) == run(program(*bare.tasks, host=Host(pv_flush=True)))


def test_the_parts_of_a_latency_tell_what_the_host_added():
    [(row, _)] = rows_of(program(on(0, call(1)), on(1, compute(9000))))
    assert (row["send_ps"], row["entry_ps"]) == (300, 750)
    assert sum(row[name] for name in ("queue_ps", "delivery_ps")) == 1100


def test_a_call_that_meets_nothing_else_tells_what_the_host_took_up_to_its_slowest_target():
    # Nobody looks at CPUs 1 and 2. A write to each, 300 and 7; the last one is waited for.
    others = [on(c, compute(9000)) for c in (1, 2, 3)]
    host = Host(exit=300, kick=7)
    tasks = (on(0, compute(50), flush_kernel(0)), *others)
    [row] = unwatched_rows_of(program(*tasks, cpus=4, host=host))
    assert (row["slowest_cpu"], row["queue_ps"], row["send_ps"]) == (3, 300, 3 * 307)
