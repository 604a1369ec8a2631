"""Section 15 of the machine-model page: calls of a protocol's code that nobody waits for.

On the plain machine a call of CPU 0 at *t* on one CPU is in its queue at t + 100, arrives there at
t + 1100 and is taken at t + 1150; dropping two pages takes 20. So CPU 0 goes on at t + 120. Each
program runs on both implementations.
"""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.hardware.host import Host
from pmsim.hardware.interruptions import COLUMNS
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.own import record_of
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import number_of
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import flush
from pmsim.hardware.topology import Topology
from tests.hardware import machines
from tests.hardware.adapters import rows_of, unwatched_rows_of
from tests.hardware.machines import compute, flush_kernel, on
from tests.reference.program import CallRecord, Program, Step

BUSY = compute(9000)


def flush_on(*cpus: int, pages: int = 2) -> Step:
    return "call", (pages, cpus)


def program(method: Any, *tasks: Any, **changes: Any) -> Program:
    """Return a program whose shootdowns are made by a method."""
    made = type("Mine", (), {"promises": "requested", "shootdown": method})
    return machines.program(*tasks, shootdown=Shootdown(record_of("mine", made)), **changes)


def goes_on(self: Any, initiator: Any, flush: Any) -> Any:
    yield from initiator.cross_call(flush.targets, flush.function, wait=False)


def goes_on_but_on_cpu_0(self: Any, initiator: Any, flush: Any) -> Any:
    goes_on = initiator.cpu.number == 0
    yield from initiator.cross_call(flush.targets, flush.function, wait=not goes_on)


def first_2_then_all(self: Any, initiator: Any, flush: Any) -> Any:
    if 2 in flush.targets:
        yield from initiator.cross_call([2], flush.function, wait=False)
    yield from initiator.cross_call(flush.targets, flush.function)


def told(one: CallRecord) -> tuple[int, int, int | None]:
    return one.start, one.end, one.gone


def test_the_initiator_goes_on_when_all_are_sent_to_and_it_has_run_the_function(run):
    result = run(program(goes_on, on(0, compute(1), flush_kernel(2)), on(1, BUSY)))
    (one,) = result.calls
    assert told(one) == (1, 1 + 100 + 20, 1 + 1150 + 20)
    assert one.acks == {1: 1151}  # as the function begins
    assert (result.cpus[0].spin, result.cpus[0].irqs_off) == (0, 120)
    assert (result.cpus[1].handlers, result.cpus[1].stolen) == (1, 50 + 20 + 50)


def test_whoever_has_run_it_before_the_initiator_goes_on_counts_in_each_of_many_calls(run):
    steps = [step for _ in range(40) for step in (compute(10_000), flush_on(1, 2))]
    busy = compute(10**6)
    result = run(program(goes_on, on(0, *steps), on(1, busy), on(2, busy), send=1000, delivery=0))
    # Both have it queued by 200; CPU 1 is sent to by 1200, CPU 2 by 2200; CPU 0 is done at 2220.
    starts = [10_000 + k * (10_000 + 2220) for k in range(40)]
    assert [one.start for one in result.calls] == starts
    assert [one.acks for one in result.calls] == [
        {1: t + 1200 + 50, 2: t + 2200 + 50} for t in starts
    ]


def test_in_the_serial_order_too(run):
    tasks = (on(0, compute(1), flush_kernel(2)), on(1, BUSY))
    (one,) = run(program(goes_on, *tasks, order="serial")).calls
    assert told(one) == (1, 121, 1171)


def test_all_others_are_sent_to_by_one_write_where_a_machine_can(run):
    tasks = (on(0, compute(1), flush_kernel(2)), on(1, BUSY), on(2, BUSY))
    (one,) = run(program(goes_on, *tasks, send=30, shorthand=True)).calls
    # Queued by 201, sent by 231, taken at 231 + 1050.
    assert told(one) == (1, 231 + 20, 231 + 1050 + 20)


def test_an_idle_target_is_woken(run):
    task = on(0, compute(1), flush_kernel(2))
    (one,) = run(program(goes_on, task, cpus=2, idle=[(0, 300)])).calls
    assert told(one) == (1, 121, 1101 + 300 + 50 + 20)


def test_a_frozen_target_runs_it_when_it_runs_again(run):
    # CPU 1 runs from 1500 to 2500; the interrupt is there at 1101.
    host = Host(overcommit=2, slice=1000, phases=(0, 1500))
    (one,) = run(program(goes_on, on(0, compute(1), flush_kernel(2)), on(1, BUSY), host=host)).calls
    assert told(one) == (1, 121, 1500 + 50 + 20)


def test_a_run_until_done_waits_for_the_handler_and_the_task_does_not(run):
    result = run(program(goes_on, on(0, compute(1), flush_kernel(2)), cpus=2))
    assert result.task_ends == {0: 121}
    assert result.end == 1101 + 50 + 20 + 50


@pytest.mark.parametrize(("cut", "gone"), [(1171, None), (1172, 1171)])
def test_what_is_not_run_by_the_end_of_a_run_is_never_gone_in_it(run, cut, gone):
    tasks = (on(0, compute(1), flush_kernel(2)), on(1, BUSY))
    (one,) = run(program(goes_on, *tasks, duration=cut)).calls
    assert told(one) == (1, 121, gone)
    assert one.acks == ({} if gone is None else {1: 1151})


def test_functions_that_somebody_waits_for_run_first(run):
    # CPU 1 takes both calls at 1151: that of CPU 2 (30), then that of CPU 0 (20), queued before it.
    tasks = (
        on(0, compute(1), flush_on(1)),
        on(1, BUSY),
        on(2, compute(5), flush_on(1, pages=3)),
    )
    first, second = run(program(goes_on_but_on_cpu_0, *tasks)).calls
    assert told(first) == (1, 121, 1151 + 30 + 20)
    assert first.acks == {1: 1151 + 30}
    assert told(second) == (5, 1151 + 30, 1151 + 30)


def test_the_next_call_waits_for_the_data_as_it_queues(run):
    tasks = (on(0, compute(1), flush_kernel(2), flush_kernel(2)), on(1, BUSY))
    result = run(program(goes_on, *tasks, line=7))
    first, second = result.calls
    # CPU 1 gives the data back at 1151; the line takes 7. Then it is queued (100), and sent.
    at = 1151 + 7
    assert told(first) == (1, 121, 1171)
    assert told(second) == (121, at + 120, at + 1150 + 20)
    assert (result.cpus[0].spin, result.cpus[0].irqs_off) == (at - 121, 2 * 120)


def test_data_that_was_given_back_long_ago_takes_its_line_alone(run):
    tasks = (on(0, compute(1), flush_kernel(2), compute(5000), flush_kernel(2)), on(1, BUSY))
    _, second = run(program(goes_on, *tasks, line=7)).calls
    assert told(second) == (5121, 5121 + 7 + 120, 5121 + 7 + 1150 + 20)


def test_data_was_waited_for_once(run):
    # The second call fetches the line of the first one's data, and is waited for: the third one
    # finds nothing in use.
    flushes = flush_kernel(2), compute(5000), ("sync_core", None), ("sync_core", None)
    result = run(program(goes_on, on(0, compute(1), *flushes), on(1, BUSY), line=7))
    _, second, third = result.calls
    assert (second.start, second.end) == (5121, 5121 + 7 + 1150 + 7)
    assert third.end - third.start == 1150 + 7


def test_calls_to_others_wait_for_nothing(run):
    tasks = (on(0, compute(1), flush_on(1), flush_on(2)), on(1, BUSY), on(2, BUSY))
    first, second = run(program(goes_on, *tasks, line=7)).calls
    assert told(first) == (1, 121, 1171)
    assert told(second) == (121, 241, 121 + 1170)


def test_calls_that_are_not_the_protocols_use_the_same_data(run):
    tasks = (on(0, compute(1), flush_kernel(2), ("sync_core", None)), on(1, BUSY))
    _, second = run(program(goes_on, *tasks, sync_core=5)).calls
    assert (second.start, second.end) == (121, 1151 + 1150 + 5)


def test_it_is_the_cpus_data_whichever_task_calls(run):
    tasks = (on(0, compute(1), flush_kernel(2)), on(0, flush_kernel(2)), on(1, BUSY))
    first, second = run(program(goes_on, *tasks)).calls
    assert told(first) == (1, 121, 1171)
    assert told(second) == (121, 1151 + 120, 1151 + 1150 + 20)


PARTS = on(0, compute(1), flush_on(1, 2, 3)), on(1, BUSY), on(2, BUSY)
"""CPU 0 calls CPU 2 (1 to 121), then CPUs 1, 2 and 3: it queues to CPU 1 by 221, and waits for the
data of CPU 2 (1151, and the line, 7: 1158); then it queues to CPUs 2 and 3 (1258, 1358), and sends.
"""


def test_it_waits_in_the_middle_of_queueing_and_sends_when_all_have_it(run):
    result = run(program(first_2_then_all, *PARTS, on(3, BUSY), line=7))
    (one,) = result.calls
    assert one.acks == dict.fromkeys((1, 2, 3), 1358 + 1050 + 20)
    assert told(one) == (1, 2428 + 3 * 7, 2428)
    cpu = result.cpus[0]
    assert cpu.irqs_off == 120 + 100 + (1378 - 1158)
    assert cpu.spin == (1158 - 221) + (2449 - 1378)
    assert [one.handlers for one in result.cpus] == [0, 1, 2, 1]


def test_the_waiting_is_a_part_of_queueing():
    ((row, _),) = rows_of(program(first_2_then_all, *PARTS, on(3, BUSY), line=7))
    parts = {name: ps for name, ps in row.items() if name.endswith("_ps") and ps}
    assert parts == {
        "start_ps": 1, "end_ps": 2449, "gone_ps": 2428,
        # The first call, queued and run here; the second from 121 to 1358, and its slowest target.
        "queue_ps": 100 + 1237, "local_ps": 20,
        "delivery_ps": 1000, "entry_ps": 50, "function_ps": 20, "visit_ps": 3 * 7,
    }  # fmt: skip
    assert (row["targets"], row["slowest_cpu"]) == (3, 1)


def test_who_queues_behind_a_call_that_is_not_sent_yet_waits_for_its_interrupt(run):
    # CPU 3 calls CPU 1 at 300 and finds its queue full: both are taken at 1358 + 1050.
    other = on(3, compute(300), flush_on(1, pages=1))
    result = run(program(first_2_then_all, *PARTS, other, line=7))
    (second,) = [one for one in result.calls if one.cpu == 3]
    assert second.acks == {1: 2408 + 20 + 10}
    # CPU 3 itself has been called by CPU 0: a handler from 2358 to 2478.
    assert (second.start, second.end) == (300, 2478)
    assert result.cpus[1].handlers == 1


def test_a_call_of_which_others_send_the_interrupt_is_taken_before_it_is_sent(run):
    # CPU 3 calls CPU 1 before (10): its interrupt arrives at 1110, and takes at 1160 what CPU 0
    # has queued there by 221.
    other = on(3, compute(10), flush_on(1, pages=1))
    result = run(program(first_2_then_all, *PARTS, other, line=7))
    first, second = result.calls
    assert first.acks == {1: 1160 + 10 + 20, 2: 2428, 3: 2428}
    assert told(second) == (10, 1170 + 7, 1170)
    assert result.cpus[1].handlers == 1


def test_another_cpus_code_can_tell_when_it_is_gone():
    tasks = (on(0, compute(1), flush_kernel(2)), on(1, BUSY))
    (row,) = unwatched_rows_of(program(goes_on, *tasks))
    assert (row["end_ps"], row["gone_ps"], row["targets"], row["left_out"]) == (121, 1171, 1, 0)


class Noted:
    """Takes interruptions."""

    def __init__(self) -> None:
        self.rows: list[dict[str, int]] = []

    def interruptions(self, rows: Any) -> None:
        self.rows += [dict(zip(COLUMNS, row, strict=True)) for row in rows.tolist()]


def test_an_interruption_is_noted_when_the_cpu_has_run_the_function():
    made = type("Mine", (), {"promises": "requested", "shootdown": goes_on})
    machine = Machine(
        Topology(cores=3), machines.costs(), shootdown=Shootdown(record_of("mine", made))
    )
    noted = Noted()
    machine.watch_interruptions([1], noted)

    def body(task: Task) -> Any:
        function = flush(machine.costs.tlb, 2, 33)
        yield from task.compute(1)
        yield from task.cross_call(function, operation=7)
        yield from task.cross_call(function, operation=8)

    machine.spawn(0, body)
    machine.run()
    # CPU 1 has the first call in its queue at 101, and both are sent at 201. It gives the data
    # back at 1251, has the second call at 1351, and CPU 2 at 1451: that is sent then.
    found = [(one["operation"], one["cpu"], one["start_ps"], one["end_ps"]) for one in noted.rows]
    assert found == [(7, 1, 1201, 1201 + 120), (8, 1, 2451, 2451 + 120)]
    assert [(one["initiator"], one["opened"]) for one in noted.rows] == [(0, 1), (0, 1)]
    assert {one["protocol"] for one in noted.rows} == {number_of(machine.shootdown.protocol)}
