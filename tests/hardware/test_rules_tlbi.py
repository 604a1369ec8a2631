"""Section 8 of the machine-model page: an invalidation that the interconnect broadcasts.

On the plain machine ``n`` pages keep the server busy for ``n * 100 + 200``, everything for 500; the
answers are there 1000 after the service. A computing CPU loses a quarter of the service.
"""

from __future__ import annotations

import pytest

from pmsim.hardware.topology import Topology
from tests.hardware.machines import (
    EVERYTHING,
    call,
    call_times,
    compute,
    full_flush,
    invalidate,
    irqs_off,
    on,
    program,
    sleep,
    spin_lock,
    spin_unlock,
    tlbi,
)


def served(result, number=0):
    return result.calls[number].served


# -- the service and the wait ---------------------------------------------------------------------


@pytest.mark.parametrize(("pages", "service"), [(1, 300), (4, 600), (0, 500)])
def test_the_initiator_waits_for_the_service_and_the_round_trip(run, pages, service):
    result = run(program(on(0, compute(70), invalidate(pages)), cpus=2))
    assert served(result) == 70 + service
    assert call_times(result) == [(70, 70 + service + 1000)]


@pytest.mark.parametrize(("pages", "operations"), [(1, 1), (8, 1), (9, 2), (24, 3)])
def test_an_operation_covers_so_many_pages(run, pages, operations):
    result = run(program(on(0, invalidate(pages)), cpus=2, tlbi=tlbi(pages=8)))
    assert served(result) == operations * 100 + 200


def test_the_server_takes_initiators_in_the_order_of_asking(run):
    # CPU 1 asks at 0 and is served until 300; CPU 0, which asks at 50, after that.
    result = run(program(on(0, irqs_off(50), invalidate(1)), on(1, invalidate(1)), cpus=3))
    assert [(call.cpu, call.served) for call in result.calls] == [(1, 300), (0, 600)]
    assert call_times(result) == [(0, 1300), (50, 1600)]


def test_initiators_of_one_instant_are_served_in_the_order_of_their_steps(run):
    result = run(program(*(on(cpu, invalidate(1)) for cpu in range(3))))
    assert [(call.cpu, call.served) for call in result.calls] == [(0, 300), (1, 600), (2, 900)]


def test_the_server_is_free_again_while_the_answers_are_on_their_way(run):
    # The first is answered at 1300, but served at 300: the second, at 400, need not wait.
    result = run(program(on(0, invalidate(1)), on(1, irqs_off(400), invalidate(1)), cpus=2))
    assert served(result, 1) == 700


def test_the_farthest_cpu_decides_when_the_answers_are_there(run):
    # 2 packages of 2 cores: a core is 20 away, a package 700.
    costs = tlbi(round_trip=(1, 5, 20, 20, 700))
    far = program(on(0, invalidate(1)), topology=Topology(packages=2, cores=2), tlbi=costs)
    near = program(on(0, invalidate(1)), topology=Topology(packages=1, cores=2), tlbi=costs)
    assert call_times(run(far)) == [(0, 300 + 700)]
    assert call_times(run(near)) == [(0, 300 + 20)]


def test_hops_multiply_the_round_trip(run):
    hops = ((0, 1, 3), (1, 0, 1), (3, 1, 0))
    ring = Topology(packages=3, hops=hops)
    result = run(program(on(1, invalidate(1)), on(0, irqs_off(9000), invalidate(1)), topology=ring))
    assert call_times(result) == [(0, 1300), (9000, 9300 + 3000)]


def test_alone_on_the_machine_there_is_nobody_to_wait_for(run):
    result = run(program(on(0, invalidate(1)), cpus=1))
    assert call_times(result) == [(0, 300)]


def test_the_wait_is_spent_spinning(run):
    result = run(program(on(0, invalidate(1)), cpus=2))
    assert (result.cpus[0].spin, result.cpus[0].irqs_off) == (1300, 0)


def test_nobody_is_interrupted_and_nobody_wakes(run):
    # CPU 1 sleeps from 0 to 5000 in a state that takes 40 to leave; CPU 2 has no task at all.
    sleeper = on(1, sleep(5000), compute(10))
    result = run(program(on(0, invalidate(1)), sleeper, cpus=3, idle=((0, 40),)))
    assert [cpu.handlers for cpu in result.cpus] == [0, 0, 0]
    assert result.task_ends[1] == 5000 + 40 + 10
    assert [cpu.stolen for cpu in result.cpus] == [0, 0, 0]


def test_a_window_of_another_cpu_does_not_hold_it_up(run):
    result = run(program(on(0, invalidate(1)), on(1, irqs_off(9000))))
    assert call_times(result) == [(0, 1300)]
    assert result.task_ends[1] == 9000


def test_a_handler_on_the_initiator_lets_it_go_on_at_its_end(run):
    # CPU 1's call at 100 arrives at CPU 0 at 1200; its two pages keep the handler to 1320.
    result = run(program(on(0, invalidate(1)), on(1, compute(100), call(0, pages=2))))
    assert call_times(result)[0] == (0, 1320)
    assert (result.cpus[0].spin, result.cpus[0].stolen) == (1200, 120)


def test_a_handler_on_the_initiator_that_ends_earlier_delays_nothing(run):
    result = run(program(on(0, invalidate(4)), on(1, call(0))))
    assert call_times(result)[0] == (0, 1600)  # the handler: 1100 to 1200
    assert (result.cpus[0].spin, result.cpus[0].stolen) == (1500, 100)


def test_a_handler_on_the_initiator_when_the_service_ends_does_not_delay_the_charge(run):
    # Ten pages: served at 1200. CPU 0's handler runs from 1100 to 1250 (5 pages: 50); CPU 2 has
    # computed 1200 and loses a quarter of the service.
    victim = on(2, compute(5000))
    result = run(program(on(0, invalidate(10)), on(1, call(0, pages=5)), victim))
    assert served(result) == 1200
    assert result.task_ends[2] == 5000 + 300


def test_a_timer_of_a_sleeper_on_the_initiators_cpu_disturbs_nothing(run):
    # The sleeper is ready at 150, in the middle of the service; it runs when the call has ended.
    others = (on(0, sleep(150), compute(10), number=1), on(1, compute(1000), number=2))
    result = run(program(on(0, sleep(0), invalidate(1), number=0), *others))
    assert call_times(result) == [(0, 1300)]
    assert result.task_ends == {0: 1300, 1: 1310, 2: 1075}


def test_a_timer_that_ends_with_the_service_disturbs_nothing(run):
    others = (on(0, sleep(300), compute(10), number=1), on(1, compute(1000), number=2))
    result = run(program(on(0, sleep(0), invalidate(1), number=0), *others))
    assert result.task_ends == {0: 1300, 1: 1310, 2: 1075}


# -- under load -----------------------------------------------------------------------------------


def test_every_other_cpu_answers_the_barrier(run):
    # An operation of 100, the barrier's 200, and 7 for each of the 4 others.
    result = run(program(on(0, invalidate(1)), cpus=5, tlbi=tlbi(answer=7)))
    assert served(result) == 100 + 200 + 4 * 7


def test_a_service_takes_longer_for_each_that_is_waiting_or_being_served(run):
    # At 0, in the order of steps, CPUs 0 to 2 find 0, 1 and 2 before them; CPU 3 asks at 310, when
    # the first has been served, and finds two.
    late = on(3, irqs_off(310), invalidate(1))
    tasks = (*(on(cpu, invalidate(1)) for cpu in range(3)), late)
    result = run(program(*tasks, tlbi=tlbi(contention=10)))
    assert [call.served for call in result.calls] == [300, 610, 930, 1250]


def test_one_that_has_been_served_as_another_asks_is_out_of_the_way(run):
    tasks = (on(0, invalidate(1)), on(1, irqs_off(300), invalidate(1)))
    result = run(program(*tasks, tlbi=tlbi(contention=10)))
    assert served(result, 1) == 600


def test_with_contention_more_initiators_get_less_done(run):
    # Six of each: alone 300 + 1000 for one. Eight CPUs find seven before them but at first, so that
    # one takes 300 + 7 * 1000: five and a half times as long, though they wait side by side.
    def rate(cpus):
        tasks = [on(cpu, *[invalidate(1)] * 6) for cpu in range(cpus)]
        result = run(program(*tasks, cpus=8, tlbi=tlbi(contention=1000)))
        return 6 * cpus / result.end

    assert rate(1) == 1 / 1300
    assert 5 < rate(1) / rate(8) < 7300 / 1300


def test_an_own_barrier_is_waited_for_beside_the_server(run):
    # The server takes 100 for each; the barriers of 200, and 7 for the other CPU, overlap.
    costs = tlbi(answer=7, own_barrier=True)
    result = run(program(on(0, invalidate(1)), on(1, invalidate(1)), tlbi=costs))
    assert [call.served for call in result.calls] == [100, 200]
    assert call_times(result) == [(0, 100 + 207 + 1000), (0, 200 + 207 + 1000)]


def test_without_an_own_barriers_operations_the_server_is_passed_in_no_time(run):
    costs = tlbi(operation=0, own_barrier=True)
    result = run(program(on(0, invalidate(1)), on(1, compute(5000)), tlbi=costs))
    assert (served(result), call_times(result), result.task_ends[1]) == (0, [(0, 1200)], 5000)


# -- errata ---------------------------------------------------------------------------------------


def test_a_barrier_is_repeated_with_one_operation_when_the_answers_are_there(run):
    # Four pages: served at 600, answered at 1600; then one operation and a barrier: 1900, and back.
    result = run(program(on(0, invalidate(4)), cpus=2, repeat_sync="per_sync"))
    assert call_times(result) == [(0, 2900)]
    assert served(result) == 1900
    assert result.calls[0].gone == 600
    assert result.cpus[0].spin == 2900


def test_the_repetition_queues_again_like_any_other(run):
    # CPU 1 asks at 1250 and is served from then to 1850: CPU 0's repetition, at 1300, is after it.
    tasks = (on(0, invalidate(1)), on(1, irqs_off(1250), invalidate(4)))
    result = run(program(*tasks, cpus=3, repeat_sync="per_sync"))
    assert call_times(result)[0] == (0, 1850 + 300 + 1000)
    # CPU 1's own: answered at 2850, served at 3150.
    assert call_times(result)[1] == (1250, 3150 + 1000)


def test_a_handler_that_runs_as_the_answers_come_delays_the_repetition(run):
    # CPU 1's call at 100 arrives at CPU 0 at 1200; its two pages keep the handler to 1320.
    tasks = (on(0, invalidate(1)), on(1, compute(100), call(0, pages=2)))
    result = run(program(*tasks, repeat_sync="per_sync"))
    assert call_times(result)[0] == (0, 1320 + 1300)


def test_others_lose_by_the_repetition_as_by_any_other(run):
    costs = tlbi(operation=300)
    result = run(program(on(0, invalidate(1)), on(1, compute(5000)), tlbi=costs,
                         repeat_sync="per_sync"))  # fmt: skip
    assert result.task_ends[1] == 5000 + 500 // 4 + 500 // 4


def test_the_repetition_makes_no_debts(run):
    # Everything is served at 500, and the debt of 30 paid before 1500, when it is repeated.
    task = on(1, compute(5000), working_set=3)
    costs = tlbi(share=0)
    result = run(program(on(0, EVERYTHING), task, walk=10, tlbi=costs, repeat_sync="per_sync"))
    assert result.cpus[1].refill == 30
    assert call_times(result) == [(0, 1500 + 300 + 1000)]


@pytest.mark.parametrize(
    ("pages", "service", "answers"),
    [(1, 2 * 100 + 200 + 200, 2), (3, 3 * (2 * 100 + 200) + 200, 4), (0, 2 * 300 + 200 + 200, 2)],
)
def test_repeated_operations_are_one_service_and_an_answer_more_each(run, pages, service, answers):
    result = run(program(on(0, invalidate(pages)), cpus=2, repeat_sync="per_operation"))
    assert served(result) == service
    assert call_times(result) == [(0, service + answers * 1000)]


# -- what the others lose, and for how long -------------------------------------------------------


def test_a_computing_cpu_goes_on_losing_its_share_for_the_recovery(run):
    result = run(program(on(0, invalidate(1)), on(1, compute(5000)), tlbi=tlbi(recovery=800)))
    assert result.task_ends[1] == 5000 + (300 + 800) // 4


def test_time_in_which_two_disturb_counts_once(run):
    # Services end at 300, 600 and 3000: the others are disturbed from 0 to 600 + 800, and from 2700
    # to 3800. Without round trip, so that CPU 0 asks again at 300.
    costs = tlbi(recovery=800, round_trip=0)
    noise = on(0, invalidate(1), invalidate(1), irqs_off(2100), invalidate(1))
    result = run(program(noise, on(1, compute(9000)), tlbi=costs))
    assert result.task_ends[1] == 9000 + (300 + 800) // 4 + 300 // 4 + (300 + 800) // 4


def test_several_initiators_take_no_more_from_others_than_one_does(run):
    # One asks every 1300; with the others disturbed for 1000 after each, it disturbs them always.
    costs = tlbi(recovery=1000)

    def lost(cpus):
        noise = [on(cpu, *[invalidate(1)] * 120) for cpu in range(cpus)]
        end = run(program(*noise, on(7, compute(100_000)), cpus=8, tlbi=costs)).task_ends[cpus]
        return (end - 100_000) / end

    assert [round(lost(cpus), 2) for cpus in (1, 2, 4)] == [0.25, 0.25, 0.25]


def test_a_compute_that_has_had_nothing_recovers_from_nothing(run):
    # Begun at 300, as the service ends.
    late = on(1, irqs_off(300), compute(5000))
    result = run(program(on(0, invalidate(1)), late, tlbi=tlbi(recovery=800)))
    assert result.task_ends[1] == 5300


def test_a_compute_that_is_over_does_not_recover(run):
    late = on(1, compute(300), compute(5000))
    result = run(program(on(0, invalidate(1)), late, tlbi=tlbi(recovery=800)))
    assert result.task_ends[1] == 5300


# -- what the others lose -------------------------------------------------------------------------


def test_a_computing_cpu_loses_its_share_of_the_service(run):
    result = run(program(on(0, invalidate(4)), on(1, compute(5000))))
    assert result.task_ends[1] == 5000 + 600 // 4
    assert (result.cpus[1].busy, result.cpus[1].stolen) == (5000, 150)


def test_the_loss_is_rounded_down(run):
    costs = tlbi(operation=101, barrier=1, share=333_333)
    result = run(program(on(0, invalidate(1)), on(1, compute(5000)), tlbi=costs))
    assert result.task_ends[1] == 5000 + 33  # a third of 102 is 33.99996


def test_a_compute_that_has_had_less_than_the_service_loses_a_share_of_that(run):
    # Begun at 200 by the window's end, it has had 100 of the 300 when the service ends.
    result = run(program(on(0, invalidate(1)), on(1, irqs_off(200), compute(5000))))
    assert result.task_ends[1] == 200 + 5000 + 25


def test_a_compute_that_is_over_when_the_service_ends_loses_nothing(run):
    over, left = on(1, compute(300)), on(2, compute(301))
    result = run(program(on(0, invalidate(1)), over, left))
    assert (result.task_ends[1], result.task_ends[2]) == (300, 301 + 75)


def test_windows_and_spinning_lose_nothing(run):
    # CPU 2 waits from 0 to 700 for the spinlock that CPU 1 holds in its window.
    holder = on(1, spin_lock(0), irqs_off(700), spin_unlock(0))
    waiter = on(2, compute(10), spin_lock(0), spin_unlock(0))
    result = run(program(on(0, invalidate(1)), holder, waiter))
    assert (result.task_ends[1], result.task_ends[2]) == (700, 700)


def test_the_initiators_own_cpu_loses_nothing(run):
    # Its other task has computed before, and does so after.
    result = run(program(on(0, invalidate(1), compute(10)), on(0, compute(10))))
    assert result.cpus[0].stolen == 0


def test_a_handler_is_not_slowed_and_counts_for_nothing(run):
    # CPU 1's handler runs from 1100 to 1200; the service, of 10 pages, ends at 1200, so that CPU 1
    # has had 1100 of it.
    caller = on(2, call(1))
    result = run(program(on(0, invalidate(10)), on(1, compute(5000)), caller))
    assert result.task_ends[1] == 5000 + 100 + 1100 // 4


def test_the_loss_begins_when_the_service_ends_and_handlers_push_its_end_back(run):
    # Share 1: CPU 1 stands still from 1150, in the middle of its handler (1100 to 1200), for the
    # 1100 that it has computed: from 1200 to 2300, and the last 3900 then.
    costs = tlbi(operation=950, share=1_000_000)
    p = program(on(0, invalidate(1)), on(1, compute(5000)), on(2, call(1)), tlbi=costs)
    assert run(p).task_ends[1] == 5000 + 100 + 1100
    at_2300 = run(program(*p.tasks, tlbi=costs, duration=2300)).cpus[1]
    assert (at_2300.busy, at_2300.stolen) == (1100, 1200)
    at_2301 = run(program(*p.tasks, tlbi=costs, duration=2301)).cpus[1]
    assert (at_2301.busy, at_2301.stolen) == (1101, 1200)


def test_a_run_that_is_cut_counts_the_loss_up_to_there(run):
    tasks = (on(0, invalidate(4)), on(1, compute(5000)))
    for duration, stolen in ((600, 0), (601, 1), (700, 100), (750, 150), (800, 150)):
        cpu = run(program(*tasks, duration=duration)).cpus[1]
        assert (cpu.busy, cpu.stolen) == (duration - stolen, stolen)


def test_a_service_that_ends_as_the_run_does_is_not_charged(run):
    tasks = (on(0, EVERYTHING), on(1, compute(5000), working_set=3))
    result = run(program(*tasks, duration=500, walk=10))
    assert (result.cpus[0].spin, result.cpus[1].busy) == (500, 500)


def test_losses_add_up(run):
    # Share 1, no round trip: services end at 300 and 600. CPU 1 has computed 300 by the first, and
    # no more by the second, since it stood still: it loses 300 each time.
    costs = tlbi(round_trip=0, share=1_000_000)
    result = run(program(on(0, invalidate(1), invalidate(1)), on(1, compute(5000)), tlbi=costs))
    assert result.task_ends[1] == 5000 + 300 + 300


def test_the_quantum_is_looked_at_when_the_loss_is_over(run):
    # Task 1 is ready at 310; task 2, with 300 of CPU time, stands still from 300 to 375.
    tasks = (on(1, sleep(310), compute(10), number=1), on(1, compute(1000), number=2))
    result = run(program(on(0, invalidate(1), number=0), *tasks, quantum=200))
    assert result.task_ends[1] == 375 + 10
    assert result.task_ends[2] == 1000 + 75 + 10


def test_a_compute_that_is_taken_up_again_has_had_nothing_yet(run):
    # CPU 1's tasks take turns of 200: task 1 has the CPU again at 400, and at 500, when the service
    # ends, has had 100 of it.
    tasks = (on(1, compute(1000), number=1), on(1, compute(1000), number=2))
    result = run(program(on(0, invalidate(3), number=0), *tasks, quantum=200))
    assert result.cpus[1].stolen == 25


# -- everything -----------------------------------------------------------------------------------


def test_everything_makes_every_task_of_every_cpu_owe_its_refill(run):
    # 3 entries at 10 each; the initiator's own is paid by its compute after the call.
    initiator = on(0, EVERYTHING, compute(100), working_set=3)
    asleep = on(2, sleep(4000), compute(100), working_set=3)
    result = run(program(initiator, on(1, compute(5000), working_set=3), asleep, walk=10))
    assert [cpu.refill for cpu in result.cpus] == [30, 30, 30]
    assert result.task_ends == {0: 1500 + 130, 1: 5000 + 125 + 30, 2: 4130}


def test_pages_leave_no_debt(run):
    result = run(program(on(0, invalidate(40)), on(1, compute(9000), working_set=3), walk=10))
    assert [cpu.refill for cpu in result.cpus] == [0, 0]


def test_a_compute_that_is_over_leaves_the_debt_to_the_next(run):
    task = on(1, compute(500), compute(0), working_set=3)
    result = run(program(on(0, EVERYTHING), task, walk=10))
    assert (result.task_ends[1], result.cpus[1].refill) == (530, 30)


def test_a_debt_is_restored_not_added_to(run):
    # Nothing is lost. Served at 200 and, asked for at 50, at 400: of the 300 owed since 200 CPU 1
    # has paid 200 by then, and owes 300 again.
    costs = tlbi(everything=0, share=0)
    victim = on(1, compute(5000), working_set=30)
    later = on(2, irqs_off(50), EVERYTHING)
    result = run(program(on(0, EVERYTHING), victim, later, walk=10, tlbi=costs))
    assert (result.task_ends[1], result.cpus[1].refill) == (5000 + 500, 500)


def test_no_debt_is_paid_while_the_compute_stands_still(run):
    # CPU 1 stands still from 500 to 625 and pays the 30 from then on.
    task = on(1, compute(5000), working_set=3)
    for duration, paid in ((620, 0), (635, 10), (655, 30), (700, 30)):
        result = run(program(on(0, EVERYTHING), task, walk=10, duration=duration))
        assert result.cpus[1].refill == paid


def test_a_cross_call_that_empties_the_tlb_meanwhile_restores_the_same_debt(run):
    # CPU 2's call is handled on CPU 1 from 1100 to 1200; everything is served at 1150, when CPU 1
    # has computed 1100: it loses a quarter of that, and owes 30 once.
    costs = tlbi(everything=950)
    tasks = (on(0, EVERYTHING), on(1, compute(5000), working_set=3), on(2, full_flush(1)))
    result = run(program(*tasks, walk=10, tlbi=costs))
    assert (result.task_ends[1], result.cpus[1].refill) == (5000 + 100 + 275 + 30, 30)


def test_operations_on_pages_may_drop_everything(run):
    # As everything does, but in the time that a page takes; the barrier alone drops nothing.
    tasks = (on(0, invalidate(1)), on(1, compute(5000), working_set=3))
    result = run(program(*tasks, walk=10, drops_all=True))
    assert call_times(result) == [(0, 1300)]
    assert (result.task_ends[1], result.cpus[1].refill) == (5000 + 75 + 30, 30)


def test_services_that_end_at_one_instant_are_charged_in_the_order_of_their_turns(run):
    # CPU 1's service lasts from 0 to 300. CPU 0's takes nothing, at 300, and is no recovery's end:
    # CPU 2 loses a quarter of 300 and of the recovery from then on, once.
    costs = tlbi(operation=0, everything=300, own_barrier=True, recovery=200)
    tasks = (on(0, compute(100), invalidate(1)), on(1, EVERYTHING), on(2, compute(5000)))
    result = run(program(*tasks, tlbi=costs))
    assert result.task_ends[2] == 5000 + (300 + 200) // 4
