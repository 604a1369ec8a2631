"""Section 3 of the machine-model page: computing, windows, handlers and latched interrupts.

A lone call by CPU 0 at 0 on CPU 1 arrives at 1100; its handler lasts from 1100 to 1200.
"""

from __future__ import annotations

import pytest

from pmsim.hardware.topology import Topology
from tests.hardware.machines import (
    call,
    call_times,
    compute,
    full_flush,
    irqs_off,
    on,
    program,
    sleep,
)


def test_a_handler_pushes_back_the_end_of_a_compute_by_its_whole_length(run):
    # Entry 50, three pages of 10, exit 50.
    result = run(program(on(0, call(1, pages=3)), on(1, compute(5000))))
    assert result.task_ends[1] == 5000 + 130
    assert result.cpus[1].stolen == 130


def test_a_debt_set_while_a_compute_lasts_is_paid_by_it(run):
    # At 1100 one picosecond is left: 1200 + 40 of debt + 1.
    task = on(1, compute(1101), call(2), working_set=4)
    result = run(program(on(0, full_flush(1)), task, cpus=3, walk=10))
    assert result.calls[1].start == 1241


def test_a_debt_set_by_a_handler_that_starts_as_a_compute_ends_is_paid_by_the_next(run):
    # The compute is over at 1100; the next step, a call on CPU 2 alone, starts at 1200 and ends
    # 1150 later, at 2350; then 40 of debt and 5 of work.
    task = on(1, compute(1100), call(2), compute(5), working_set=4)
    result = run(program(on(0, full_flush(1)), task, cpus=3, walk=10))
    assert result.calls[1].start == 1200
    assert result.task_ends[1] == 2395


def test_a_compute_of_zero_takes_the_debt_of_a_task_that_owes(run):
    task = on(1, compute(1100), compute(0), working_set=4)
    result = run(program(on(0, full_flush(1)), task, walk=10))
    assert result.task_ends[1] == 1240


def test_a_window_takes_exactly_its_length_and_a_handler_due_in_it_starts_at_its_end(run):
    # Handler from 1300: take and acknowledgement at 1350. The next step comes after it, at 1400.
    result = run(program(on(0, call(1)), on(1, irqs_off(1300), call(0))))
    assert result.calls[0].acks == {1: 1350}
    assert result.calls[1].start == 1400
    assert result.cpus[1].irqs_off == 1300 + 100  # the window, and the call until it has sent


def test_a_handler_due_as_a_window_ends_starts_before_the_next_step(run):
    result = run(program(on(0, call(1)), on(1, irqs_off(1100), call(0))))
    assert result.calls[1].start == 1200


def test_a_handler_due_as_a_window_would_begin_starts_first(run):
    # The window lasts from 1200 to 1300.
    result = run(program(on(0, call(1)), on(1, compute(1100), irqs_off(100))))
    assert result.calls[0].acks == {1: 1150}
    assert result.task_ends[1] == 1300


def test_a_sleep_due_as_a_handler_starts_begins_at_the_handlers_end(run):
    # Asleep from 1200 to 1700.
    result = run(program(on(0, call(1)), on(1, compute(1100), sleep(500))))
    assert result.task_ends[1] == 1700


def test_a_task_that_waits_for_a_call_takes_interrupts(run):
    # CPU 1 calls at 1000: from 1100 on it spins, until CPU 0's acknowledgement at 2150. The
    # handler from 1100 to 1200 is stolen from its spinning.
    result = run(program(on(0, call(1)), on(1, compute(1000), call(0))))
    assert call_times(result) == [(0, 1150), (1000, 2150)]
    assert result.cpus[1].spin == 2150 - 1100 - 100


# Two threads per core: CPU 0 is another core's, CPU 2 the same core's as CPU 3. Interrupts from
# CPU 0 take 1000, from CPU 2 they take 20.
TWO_CORES = {"topology": Topology(cores=2, threads=2), "delivery": (0, 20, 1000, 0, 0)}


def test_an_interrupt_that_arrives_during_a_handler_starts_one_without_a_gap(run):
    # CPU 0's handler on 3: 1100 to 1200, take at 1150. CPU 2 calls at 1051: q = 1151, after the
    # take, a = 1171: its handler from 1200 to 1300, acknowledgement at 1250.
    result = run(
        program(on(0, call(3)), on(2, compute(1051), call(3)), on(3, compute(5000)), **TWO_CORES)
    )
    assert call_times(result) == [(0, 1150), (1051, 1250)]
    assert (result.cpus[3].handlers, result.cpus[3].stolen) == (2, 200)


def test_a_step_due_in_a_handler_waits_for_the_last_of_several_without_a_gap(run):
    # As before; the compute is over at 1100, the next step at 1300.
    result = run(
        program(
            on(0, call(3)),
            on(2, compute(1051), call(3)),
            on(3, compute(1100), irqs_off(7)),
            **TWO_CORES,
        )
    )
    assert result.task_ends[2] == 1307


def test_a_step_due_in_a_handler_does_not_wait_for_a_later_handler(run):
    # CPU 2 calls at 1081: q = 1181, a = 1201. The step is taken at 1200, as the handler ends; the
    # window lasts to 1207, and the second handler starts there.
    result = run(
        program(
            on(0, call(3)),
            on(2, compute(1081), call(3)),
            on(3, compute(1100), irqs_off(7)),
            **TWO_CORES,
        )
    )
    assert call_times(result)[1] == (1081, 1207 + 50)
    assert result.task_ends[2] == 1307  # it ends where the handler that starts at 1207 ends


@pytest.mark.parametrize("riders", [1, 2, 3])
def test_a_cpu_runs_as_many_handlers_as_calls_found_its_queue_empty(run, riders):
    # CPUs 0 .. riders all queue on the last CPU at 100: one interrupt, one handler for them all.
    target = riders + 1
    callers = [on(c, call(target)) for c in range(target)]
    result = run(program(*callers, on(target, compute(5000))))
    assert result.cpus[target].handlers == 1
    assert call_times(result) == [(0, 1150)] * target
