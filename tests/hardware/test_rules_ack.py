"""Section 4 of the machine-model page, `ack`: calls that are acknowledged at the start.

On the plain machine a lone call of CPU 0 on CPU 1 queues at 100, arrives at 1100, is taken at 1150;
its function takes 10 a page, and the handler exits 50 after the last function.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.protocol import with_options
from tests.hardware import machines
from tests.hardware.machines import call, call_times, compute, flush_kernel, full_flush, on

program = partial(machines.program, shootdown=with_options(IPI, {"ack": "entry"}))


def free_tables(pages):
    return "free_tables", pages


def acks(result, number=0):
    return result.calls[number].acks


def test_a_call_is_acknowledged_when_its_function_begins_and_the_handler_goes_on(run):
    # The function runs from 1150 to 1180, when the initiator has long gone on.
    result = run(program(on(0, call(1, pages=3)), cpus=2))
    assert acks(result) == {1: 1150}
    assert call_times(result) == [(0, 1150)]
    assert (result.end, result.cpus[1].stolen) == (1230, 1230 - 1100)


def test_by_itself_it_is_acknowledged_when_its_function_ends(run):
    result = run(machines.program(on(0, call(1, pages=3)), cpus=2))
    assert acks(result) == {1: 1180}
    assert (result.end, result.cpus[1].stolen) == (1230, 1230 - 1100)


def test_functions_of_one_handler_run_in_turn_and_each_is_acknowledged_at_its_own_start(run):
    # Both are queued at 100: that of CPU 0 runs from 1150 to 1180, that of CPU 1 to 1230.
    result = run(program(on(0, call(2, pages=3)), on(1, call(2, pages=5)), cpus=3))
    assert (acks(result, 0), acks(result, 1)) == ({2: 1150}, {2: 1180})
    assert result.cpus[2].stolen == 1280 - 1100


def test_the_next_call_of_an_initiator_finds_its_own_function_still_running(run):
    # l = 100 + 3000 ends the first. The second arrives at 4200, the handler ends at 4150 + 200.
    changes = {"invlpg": 1000, "exit": 200}
    result = run(program(on(0, call(1, pages=3), call(1, pages=3)), cpus=2, **changes))
    assert call_times(result) == [(0, 3100), (3100, 6200)]
    assert (acks(result, 0), acks(result, 1)) == ({1: 1150}, {1: 4400})
    assert result.cpus[1].handlers == 2
    assert result.end == 4400 + 3000 + 200


def test_where_page_tables_are_freed_every_target_has_to_be_done(run):
    result = run(program(on(0, free_tables(3)), cpus=2))
    assert acks(result) == {1: 1180}


def test_a_call_that_frees_page_tables_waits_for_those_before_it_in_the_handler(run):
    # CPU 0's begins at 1150 and is acknowledged then; CPU 1's, which frees, ends at 1210.
    result = run(program(on(0, call(2, pages=3)), on(1, free_tables(3)), cpus=3))
    assert acks(result, 0) == {2: 1150}
    assert acks(result, 1)[2] == 1210


def test_a_full_flush_is_owed_when_it_ends_not_when_it_is_acknowledged(run):
    # It runs from 1150 to 1250; the compute has had 1100 by then and ends 1300 after its 200 more.
    result = run(
        program(on(0, full_flush(1)), on(1, compute(1200), working_set=4), flush_all=100, walk=50)
    )
    assert acks(result) == {1: 1150}
    assert result.cpus[1].refill == 200
    assert result.task_ends[1] == 1200 + 200 + (1300 - 1100)


def test_in_the_serial_order_the_initiators_own_function_follows_the_acknowledgement(run):
    result = run(program(on(0, flush_kernel(3)), cpus=2, order="serial"))
    assert call_times(result) == [(0, 1150 + 30)]


def test_what_was_told_is_gone_when_the_last_function_ends_whenever_it_was_acknowledged(run):
    result = run(program(on(0, call(1, pages=3)), cpus=2))
    assert (result.calls[0].end, result.calls[0].gone) == (1150, 1180)
    result = run(machines.program(on(0, call(1, pages=3)), cpus=2, line=100))
    assert (result.calls[0].end, result.calls[0].gone) == (1280, 1180)


def test_the_initiators_own_function_may_be_the_last(run):
    result = run(machines.program(on(0, call(1, pages=3)), cpus=2, order="serial"))
    assert (result.calls[0].end, result.calls[0].gone) == (1210, 1210)
    result = run(machines.program(on(0, call(pages=3)), cpus=1))
    assert (result.calls[0].end, result.calls[0].gone) == (30, 30)


def test_what_a_cut_run_does_not_come_to_is_not_gone_in_it(run):
    cut = program(on(0, call(1, pages=3)), cpus=2, duration=1180)
    assert run(cut).calls[0].gone is None
    assert run(replace(cut, duration=1181)).calls[0].gone == 1180


def test_what_drops_nothing_is_never_gone(run):
    assert run(program(on(0, machines.empty(30)), cpus=2)).calls[0].gone is None
