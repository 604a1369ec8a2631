"""Section 4 of the machine-model page: a cross-call, from its queueing to its end.

On the plain machine a call at ``t`` on ``n`` targets has sent at ``t + n * 100``; each target's
interrupt arrives 1000 later, is taken after 50, and its handler exits 50 after the last function.
"""

from __future__ import annotations

import pytest

from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.protocol import with_options
from pmsim.hardware.shootdown.protocols import BY_INTERRUPTS
from pmsim.hardware.topology import Topology
from tests.hardware.machines import (
    call,
    call_times,
    compute,
    flush_kernel,
    irqs_off,
    on,
    program,
    sleep,
)


def acks(result, number=0):
    return result.calls[number].acks


def test_targets_are_queued_one_after_the_other(run):
    # CPU 0 queues on 1 at 100, on 2 at 200, on 3 at 300; CPU 4 calls 2 at 50 (q = 150) and is the
    # first there: a = 1150. CPU 0's call finds only 1 and 3 empty: a = 300 + 1000 = 1300.
    result = run(program(on(0, call(1, 2, 3)), on(4, compute(50), call(2))))
    assert acks(result, 0) == {1: 1350, 2: 1200, 3: 1350}
    assert acks(result, 1) == {2: 1200}


@pytest.mark.parametrize(
    ("fanout", "expected"),
    [
        (1, {1: 10, 2: 20, 3: 30, 5: 40}),
        (2, {1: 10, 2: 20, 3: 20, 5: 30}),
        (4, {1: 10, 2: 10, 3: 10, 5: 20}),
        (6, {1: 10, 2: 10, 3: 10, 5: 10}),
    ],
)
def test_targets_are_sent_to_in_groups_of_consecutive_cpu_numbers(run, fanout, expected):
    # CPU 4 is no target. t1 = 400; acknowledged 1050 after the group's send.
    result = run(program(on(0, call(1, 2, 3, 5)), cpus=6, send=10, fanout=fanout))
    assert acks(result) == {c: 400 + sent + 1050 for c, sent in expected.items()}


AT_ONCE = with_options(IPI, {"shorthand": "true"})
GROUP_BY_GROUP = with_options(IPI, {"shorthand": "false"})


@pytest.mark.parametrize("targets", [(1, 2, 3, 4, 5), None])
@pytest.mark.parametrize(
    ("shorthand", "shootdown", "writes"),
    [
        (False, BY_INTERRUPTS, 3),
        (True, BY_INTERRUPTS, 1),
        (False, AT_ONCE, 1),
        (True, GROUP_BY_GROUP, 3),
    ],
)
def test_a_call_of_all_others_is_sent_by_one_write(run, targets, shorthand, shootdown, writes):
    # Groups {0,1}, {2,3}, {4,5}. t1 = 500; the call ends when the last group has acknowledged.
    step = call(*targets) if targets else flush_kernel(0)
    result = run(
        program(on(0, step), cpus=6, send=10, fanout=2, shorthand=shorthand, shootdown=shootdown)
    )
    groups = {1: 1, 2: 2, 3: 2, 4: 3, 5: 3} if writes == 3 else dict.fromkeys(range(1, 6), 1)
    assert acks(result) == {c: 500 + 10 * group + 1050 for c, group in groups.items()}
    assert result.cpus[0].irqs_off == 500 + 10 * writes


def test_any_other_call_is_sent_group_by_group_where_all_others_take_one_write(run):
    result = run(program(on(0, call(2, 3, 4, 5)), cpus=6, send=10, fanout=2, shorthand=True))
    assert acks(result) == {c: 400 + 10 * (c // 2) + 1050 for c in (2, 3, 4, 5)}


def test_a_group_without_a_target_is_not_sent(run):
    # Groups {0,1}, {2,3}, {4,5}: the second holds no target, the third is the second to be sent.
    result = run(program(on(0, call(1, 5)), cpus=6, send=10, fanout=2))
    assert acks(result) == {1: 200 + 10 + 1050, 5: 200 + 20 + 1050}


def test_every_write_goes_through_the_firmware_where_the_kernel_cannot_send(run):
    # Each group is 7 in the firmware and 10 to send; t1 = 300.
    result = run(program(on(0, call(1, 3, 5)), cpus=6, send=10, ecall=7, fanout=2))
    assert acks(result) == {1: 300 + 17 + 1050, 3: 300 + 34 + 1050, 5: 300 + 51 + 1050}
    assert result.cpus[0].irqs_off == 300 + 51


def test_the_local_part_lasts_until_every_group_is_sent_and_the_function_has_run(run):
    # Two targets are queued in 200; they lie in two groups, sent in 20; two pages cost 20.
    result = run(program(on(0, call(1, 5, pages=2)), cpus=6, send=10, fanout=2))
    assert result.cpus[0].irqs_off == 200 + 20 + 20


def test_jitter_is_drawn_per_target_ascending_in_the_order_of_calls(run):
    # CPU 0 and CPU 3 call 1 and 2 at 0: CPU 0 draws 5 and 70, CPU 3 draws 900 and 0. CPU 0's q on 1
    # and 2 are the same as CPU 3's: its calls stand first, and bring the interrupts.
    result = run(program(on(3, call(1, 2)), on(0, call(1, 2)), cpus=4, jitter=(5, 70, 900, 0)))
    assert acks(result, 0) == {1: 1255, 2: 1320}
    assert acks(result, 1) == {1: 1255, 2: 1320}


def test_jitter_of_a_later_call_continues_the_stream(run):
    # CPU 0's first call draws 5 and 70: acknowledged at 1255 and 1320; the second, at 1320, draws
    # 900 and 0: 1320 + 200 + 1000 + 50 + jitter.
    result = run(program(on(0, call(1, 2), call(1, 2)), cpus=3, jitter=(5, 70, 900, 0)))
    assert acks(result, 1) == {1: 2570 + 900, 2: 2570}


def test_a_call_that_finds_others_in_the_queue_rides_along(run):
    # CPU 1 calls 2 at 500; the queue is not empty from 100 to 1150: it is acknowledged with CPU 0.
    result = run(program(on(0, call(2)), on(1, compute(500), call(2)), cpus=3))
    assert call_times(result) == [(0, 1150), (500, 1150)]
    assert result.cpus[2].handlers == 1


def test_sending_costs_the_same_for_a_call_that_rides_along(run):
    # CPU 1's send of 40 to CPU 2 brings no interrupt, but is paid.
    result = run(program(on(0, call(2)), on(1, compute(500), call(2)), cpus=3, send=40))
    assert (result.cpus[0].irqs_off, result.cpus[1].irqs_off) == (140, 140)


def test_a_handler_runs_each_function_in_queue_order_and_acknowledges_at_its_end(run):
    # CPU 1's three pages (30) stand behind CPU 0's one (10): 1150, 1160, 1190, exit to 1240.
    result = run(
        program(
            on(0, call(2, pages=1)),
            on(1, compute(500), call(2, pages=3)),
            on(2, compute(5000)),
        )
    )
    assert call_times(result) == [(0, 1160), (500, 1190)]
    assert result.cpus[2].stolen == 1240 - 1100


def test_in_the_concurrent_order_the_function_runs_here_while_it_runs_there(run):
    # One page costs 600: l = 100 + 600; the target: interrupt 100, take 150, acknowledged at 750.
    result = run(program(on(0, call(1, pages=1)), cpus=2, delivery=0, invlpg=600))
    assert call_times(result) == [(0, 750)]
    assert (result.cpus[0].irqs_off, result.cpus[0].spin) == (700, 50)


def test_in_the_serial_order_the_function_runs_here_after_it_has_run_there(run):
    # l = 100; acknowledged at 750; then 600 with interrupts off.
    result = run(program(on(0, call(1, pages=1)), cpus=2, delivery=0, invlpg=600, order="serial"))
    assert call_times(result) == [(0, 1350)]
    assert (result.cpus[0].irqs_off, result.cpus[0].spin) == (100 + 600, 650)


def test_interrupts_of_an_initiator_are_off_until_its_local_part_is_over(run):
    # Both call each other at 0 and are off until 700. Interrupts of 100 start handlers at 700: take
    # 750, acknowledged at 1350, exit 1400. Both calls end as the handlers on their CPUs end.
    result = run(program(on(0, call(1, pages=1)), on(1, call(0, pages=1)), delivery=0, invlpg=600))
    assert [c.acks for c in result.calls] == [{1: 1350}, {0: 1350}]
    assert call_times(result) == [(0, 1400), (0, 1400)]


def test_in_the_serial_order_interrupts_of_an_initiator_are_on_once_it_has_sent(run):
    # Handlers from 100: take 150, acknowledged at 750, exit 800. Then both run it for 600.
    result = run(
        program(
            on(0, call(1, pages=1)),
            on(1, call(0, pages=1)),
            delivery=0,
            invlpg=600,
            order="serial",
        )
    )
    assert [c.acks for c in result.calls] == [{1: 750}, {0: 750}]
    assert call_times(result) == [(0, 1400), (0, 1400)]
    assert result.cpus[0].stolen == 700


def test_a_handler_that_starts_at_the_end_of_the_serial_function_is_part_of_the_call(run):
    # As CPU 0 runs its function of 600 from 1750 (100 + 1000 + 50 + 600) to 2350, CPU 2's
    # interrupt arrives: called at 1000, a = 2100. Handler 2350 to 3050: there the call ends.
    result = run(
        program(
            on(0, call(1, pages=1)),
            on(2, compute(1000), call(0, pages=1)),
            invlpg=600,
            order="serial",
        )
    )
    assert call_times(result)[0] == (0, 3050)


def test_targets_are_visited_in_ascending_order_each_for_a_cache_line(run):
    # 1 keeps interrupts off until 3000 and acknowledges at 3050, 2 at 1350, 3 at 1350:
    # 3050 + 20, + 20, + 20.
    result = run(program(on(0, call(1, 2, 3)), on(1, irqs_off(3000)), cpus=4, line=20))
    assert acks(result) == {1: 3050, 2: 1350, 3: 1350}
    assert call_times(result) == [(0, 3110)]


def test_a_late_target_is_waited_for_after_the_earlier_ones_are_left(run):
    # w_1 = 1370, w_2 = 1390, w_3 = 3050 + 20.
    result = run(program(on(0, call(1, 2, 3)), on(3, irqs_off(3000)), line=20))
    assert call_times(result) == [(0, 3070)]


def test_the_first_visit_does_not_begin_before_the_local_part_is_over(run):
    # t1 = 200; sent to 1 at 1200, to 2 at 2200, which is l. Acknowledged at 1250 and 2250. The line
    # of 1 is paid from 2200 to 2300, that of 2 to 2400.
    result = run(program(on(0, call(1, 2)), cpus=3, send=1000, delivery=0, line=100))
    assert acks(result) == {1: 1250, 2: 2250}
    assert call_times(result) == [(0, 2400)]


def test_visits_cost_the_line_of_each_targets_distance(run):
    # CPU 1 is a thread (5), 2 a core (10), 4 in the other package (40): all acknowledged at 1350.
    result = run(
        program(
            on(0, call(1, 2, 4)),
            topology=Topology(packages=2, cores=2, threads=2),
            line=(0, 5, 10, 20, 40),
        )
    )
    assert call_times(result) == [(0, 1350 + 55)]


def test_handlers_on_the_initiator_do_not_slow_its_visits(run):
    # CPU 0 visits 1 at 1250 (q 200, a 1200) + 300 = 1550, 2 at + 300 = 1850. CPU 3's call at 300
    # interrupts it from 1400 to 1500: that is stolen, the visits end at 1850 all the same.
    result = run(program(on(0, call(1, 2)), on(3, compute(300), call(0)), line=300))
    assert call_times(result)[0] == (0, 1850)
    assert result.cpus[0].stolen == 100
    assert result.cpus[0].spin == 1850 - 200 - 100


def test_a_call_whose_last_visit_ends_in_a_handler_ends_with_the_handler(run):
    # CPU 0 would go on at 1150; CPU 2's interrupt (called at 0, a = 1100) is handled to 1200.
    result = run(program(on(0, call(1)), on(2, call(0)), cpus=3))
    assert call_times(result) == [(0, 1200), (0, 1150)]


@pytest.mark.parametrize("order", ["concurrent", "serial"])
def test_a_call_without_targets_costs_its_local_function_with_interrupts_off(run, order):
    result = run(program(on(0, call(pages=3), compute(5)), order=order))
    assert call_times(result) == [(0, 30)]
    assert (result.cpus[0].irqs_off, result.task_ends[0]) == (30, 35)


@pytest.mark.parametrize("order", ["concurrent", "serial"])
def test_a_call_without_targets_that_costs_nothing_takes_no_time(run, order):
    # The task goes on in the same step: nobody else gets in.
    result = run(program(on(0, compute(7), call(), compute(10)), on(0, compute(20)), order=order))
    assert call_times(result) == [(7, 7)]
    assert result.task_ends == {0: 17, 1: 37}


def test_a_call_on_everybody_on_a_machine_of_one_cpu_has_no_targets(run):
    result = run(program(on(0, flush_kernel(2))))
    assert call_times(result) == [(0, 20)]
    assert result.calls[0].acks == {}


def test_a_flush_on_everybody_spares_the_caller(run):
    result = run(program(on(1, flush_kernel(0)), cpus=4))
    assert set(acks(result)) == {0, 2, 3}


def test_a_call_ends_when_its_task_could_go_on_even_if_its_quantum_is_over(run):
    # The task has had 100, its quantum; task 1 wakes at 500. The call ends at 1250, then task 1.
    result = run(
        program(
            on(0, compute(100), call(1), compute(10), number=1),
            on(0, sleep(500), compute(50), number=0),
            cpus=2,
            quantum=100,
        )
    )
    assert call_times(result) == [(100, 1250)]
    assert result.task_ends == {0: 1300, 1: 1310}
