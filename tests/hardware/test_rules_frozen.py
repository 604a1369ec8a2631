"""Section 10 of the machine-model page: virtual CPUs that take turns, and are frozen otherwise.

The plain machine with two virtual CPUs to each of the host's, turns of 1000: a CPU of phase 0 runs
in [0, 1000), [2000, 3000), [4000, 5000); one of phase 1000 between. A lone call at ``t`` on one
target is queued at ``t + 100``, arrives at ``t + 1100`` and is taken 50 after its handler starts.
"""

from __future__ import annotations

from functools import partial

import pytest

from pmsim.hardware.fabric import SlowestReason
from pmsim.hardware.host import Host, phases_of
from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.deferred import DEFERRED
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.topology import Topology
from tests.hardware import machines
from tests.hardware.adapters import rows_of
from tests.hardware.machines import (
    call,
    compute,
    costs,
    flush_kernel,
    invalidate,
    irqs_off,
    mutex_lock,
    mutex_unlock,
    on,
    sleep,
    spin_lock,
    spin_unlock,
)


def turns(*phases, pv_flush=False, **host):
    return Host(overcommit=2, slice=1000, phases=phases, pv_flush=pv_flush, **host)


program = partial(machines.program, host=turns(0, 1000))
flush_user = ("flush_user", 0)


def test_computing_takes_running_time(run):
    result = run(program(on(0, compute(2500)), cpus=2))
    assert result.task_ends == {0: 4500}
    assert (result.cpus[0].busy, result.cpus[0].frozen) == (2500, 2000)


def test_what_ends_as_its_cpu_freezes_is_followed_when_that_runs_again(run):
    # The compute is over at 1000, the task's next step is taken at 2000.
    result = run(program(on(0, compute(1000), compute(10)), cpus=2))
    assert result.task_ends == {0: 2010}


def test_a_task_of_a_cpu_that_is_frozen_at_the_beginning_waits(run):
    assert run(program(on(1, compute(10)))).task_ends == {0: 1010}


def test_a_frozen_target_is_waited_for(run):
    # The interrupt comes at 1100 + 100; CPU 0 runs again at 2000 and takes at 2050.
    result = run(program(on(1, compute(100), call(0)), on(0, compute(9000))))
    assert result.calls[0].start == 1100
    # It arrives at 2200, while CPU 0 runs and CPU 1 does not: seen at 3000.
    assert result.calls[0].acks == {0: 2250}
    assert result.calls[0].end == 3000
    other = run(program(on(0, compute(100), call(1)), on(1, compute(9000)), host=turns(0, 0)))
    # Both run until 1000: the interrupt comes at 1200 and waits for 2000.
    assert other.calls[0].acks == {1: 2050}
    assert other.calls[0].end == 2050


def test_a_take_at_the_instant_of_freezing_does_not_take_what_comes_later(run):
    # CPU 1 always finds CPU 2 running. CPU 2's handler starts at 1950 and takes at 2000 as it
    # freezes; CPU 0's call is queued there after that, and waits for the next handler.
    host = turns(0, 0, 1000)
    first = on(1, compute(850), call(2))
    result = run(program(first, on(2, compute(9000)), host=host, cpus=3))
    assert result.calls[0].acks == {2: 2000}
    late = on(0, compute(910), call(2))  # queued at 2010, after 90 of running time and the gap
    both = run(program(first, late, on(2, compute(9000)), host=host))
    assert [call.acks for call in both.calls] == [{2: 2000}, {2: 3100}]
    assert both.cpus[2].handlers == 2


def test_queueing_and_sending_stop_while_the_initiator_is_frozen(run):
    # Queued at 1000 and 2100; the send of 30 lies behind that.
    result = run(
        program(on(0, compute(900), call(1, 2)), send=30, fanout=4, host=turns(0, 0, 0), cpus=3)
    )
    assert result.calls[0].acks == {1: 4050, 2: 4050}  # 2130 + 1000, frozen until 4000
    assert result.cpus[0].irqs_off == 230


def test_a_visit_takes_running_time_of_the_initiator(run):
    # The answer is there at 1150; 40 for the line, of which CPU 0 has 0 before it freezes at 1000.
    host = turns(0, 300)
    result = run(program(on(0, call(1)), on(1, compute(9000)), line=40, host=host))
    assert result.calls[0].acks == {1: 1150}
    assert result.calls[0].end == 2040


def test_a_timer_that_is_due_on_a_frozen_cpu_is_due_when_it_runs(run):
    # Both are due at 2000, by their numbers, though the second one's time has come first.
    late, early = on(0, sleep(1500), compute(10)), on(0, sleep(1200), compute(10))
    result = run(program(late, early, cpus=2))
    assert result.task_ends == {0: 2010, 1: 2020}


def test_idleness_counts_in_real_time(run):
    # Idle from 0 to 2000, when its timer ends: the state of residency 1500 takes 40 to leave.
    result = run(program(on(0, sleep(1200), compute(10)), cpus=2, idle=[(0, 7), (1500, 40)]))
    assert result.task_ends == {0: 2050}
    assert result.cpus[0].frozen == 1000


def test_a_cpu_without_tasks_is_idle_from_the_beginning_if_frozen_then(run):
    # CPU 0 calls at 100: its interrupt comes at 1200, CPU 1 has been idle for 1200 and runs.
    result = run(program(on(0, compute(100), call(1)), idle=[(0, 7), (1150, 40)], cpus=2))
    assert result.calls[0].acks == {1: 1290}


def test_a_frozen_owner_of_a_spinlock_holds_others_up(run):
    # CPU 0 takes it at 900 and needs 300, of which it has 100: it lets go at 2200.
    holder = on(0, compute(900), spin_lock(0), compute(300), spin_unlock(0))
    waiter = on(1, compute(50), spin_lock(0), spin_unlock(0))
    result = run(program(holder, waiter, line=7))
    assert result.task_ends[1] == 3000  # handed over at 2207, while CPU 1 is frozen
    assert result.cpus[1].lock_spin == 950


def test_a_spinner_for_a_mutex_does_not_mind_that_the_owner_is_frozen(run):
    holder = on(0, mutex_lock(0), compute(1200), mutex_unlock(0))
    waiter = on(1, mutex_lock(0), mutex_unlock(0))
    result = run(program(holder, waiter, line=7))
    assert result.task_ends == {0: 2200, 1: 3000}


def test_a_window_ends_by_running_time(run):
    result = run(program(on(0, compute(900), irqs_off(300), compute(1)), cpus=2))
    assert result.task_ends == {0: 2201}


def test_a_broadcast_passes_in_real_time(run):
    # Served at 900 + 300, answered at 2200, when CPU 0 runs.
    result = run(program(on(0, compute(900), invalidate(1)), cpus=2))
    assert result.calls[0].end == 2200
    assert result.calls[0].served == 1200


def test_a_frozen_cpu_loses_running_time_to_a_broadcast(run):
    # CPU 1 has had 200 by the end of the service, at 1200 + 300: a quarter of 200 is lost.
    host = turns(500, 1000)
    tasks = on(0, compute(700), invalidate(1)), on(1, compute(900))
    result = run(program(*tasks, host=host))
    assert result.calls[0].served == 1500
    assert result.cpus[1].stolen == 300 // 4


def test_the_accounts_add_up_with_the_frozen_time(run):
    tasks = on(0, compute(900), call(1), sleep(77)), on(1, irqs_off(1500), call(0))
    for cpu in run(program(*tasks, idle=[(0, 30)], duration=7777)).cpus:
        parts = cpu.busy, cpu.spin, cpu.irqs_off, cpu.stolen, cpu.idle, cpu.frozen
        assert sum(parts) == 7777


def test_where_there_is_one_cpu_for_each_the_phases_say_nothing(run):
    tasks = on(0, compute(100), call(1)), on(1, compute(9000))
    host = Host(overcommit=1, slice=10, phases=(3, 5))
    assert run(program(*tasks, host=host)) == run(machines.program(*tasks))


# -- paravirtual flushes ---------------------------------------------------------------------------


def test_a_flush_of_user_space_leaves_out_who_is_frozen(run):
    # CPU 1 is looked at in 5 and left out. It drops everything at 1000, for 70.
    host = turns(0, 1000, pv_flush=True)
    result = run(program(on(0, flush_user), on(1, compute(200)), host=host))
    assert [(call.end, call.acks, call.gone) for call in result.calls] == [(5, {}, 1070)]
    assert result.task_ends[1] == 1270
    assert (result.cpus[1].stolen, result.cpus[1].handlers) == (70, 0)


def test_who_runs_is_called_and_so_is_everybody_for_the_kernels_pages(run):
    host = turns(0, 1000, pv_flush=True)
    result = run(program(on(1, flush_kernel(0)), on(0, compute(9000)), host=host))
    assert result.calls[0].acks == {0: 2150}
    result = run(program(on(1, flush_user), on(0, compute(9000)), host=turns(0, 0, pv_flush=True)))
    assert result.calls[0].acks == {0: 2050}


def test_a_cpu_that_is_left_out_twice_drops_once(run):
    host = turns(0, 1000, pv_flush=True)
    result = run(program(on(0, flush_user, compute(10), flush_user), on(1, compute(1)), host=host))
    assert [call.gone for call in result.calls] == [1070, 1070]
    assert result.cpus[1].stolen == 70


def test_what_is_under_way_is_pushed_back_by_the_drop(run):
    # CPU 1's window of 300 begins at 1900 and has 100 when it freezes. Left out at 2500 it drops
    # from 3000 to 3070; the window goes on to 3270.
    host = turns(0, 1000, pv_flush=True)
    tasks = on(0, compute(1500), flush_user), on(1, compute(900), irqs_off(300), compute(1))
    result = run(program(*tasks, host=host))
    assert result.calls[0].start == 2500
    assert result.task_ends[1] == 3271


def test_after_a_drop_the_tasks_refill(run):
    host = turns(0, 1000, pv_flush=True)
    tasks = on(0, flush_user), on(1, compute(200), working_set=3)
    result = run(program(*tasks, host=host, walk=10))
    assert result.cpus[1].refill == 30
    assert result.task_ends[1] == 1000 + 70 + 30 + 200


def test_a_run_does_not_wait_for_what_a_frozen_cpu_owes(run):
    host = turns(0, 1000, pv_flush=True)
    result = run(program(on(0, flush_user), host=host, cpus=2))
    assert result.end == 5
    assert result.calls[0].gone is None


# -- deferral --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("called", "ack", "end"), [(950, 2170, 2340), (900, 2050, 2270)])
def test_a_stay_is_taken_up_as_soon_as_the_cpu_runs_again(run, called, ack, end):
    # CPU 1's stay is preempted at 200 and makes way at 270; the switch back is over at 1000, as the
    # CPU freezes. It is in user mode from 2000 on: the handler of 2050 comes from it (70 more than
    # the entry of 50). The one of 2000 goes first, and does not. The last 100 and an entry follow.
    caller = on(0, compute(called - 500), ("free_tables", 0), number=0)
    stay = on(1, ("user", 300), number=1)
    other = on(1, irqs_off(650), number=2)
    deferring = {"shootdown": Shootdown(DEFERRED), "isolated": (1,), "host": turns(500, 0)}
    result = run(program(caller, stay, other, quantum=200, context_switch=40, **deferring))
    assert result.task_ends[2] == 960
    assert result.calls[0].acks == {1: ack}
    assert result.task_ends[1] == end


def test_an_entry_that_is_over_as_its_cpu_freezes_is_one_before_the_drop(run):
    # CPU 1 is left out in user mode at 600. Its entry, begun at 930, is over at 1000. At 1200 it is
    # left out frozen, and drops everything from 2000 to 2070.
    caller = on(0, compute(100), flush_kernel(0), compute(595), flush_user, number=0)
    stay = on(1, ("user", 930), compute(10), number=1)
    host = turns(500, 0, pv_flush=True)
    result = run(program(caller, stay, host=host, shootdown=Shootdown(DEFERRED), isolated=(1,)))
    assert [(call.end, call.gone) for call in result.calls] == [(605, 1000), (1205, 2070)]
    assert result.task_ends[1] == 2080


def test_a_cpu_that_is_to_drop_everything_when_it_runs_is_in_user_mode_until_then(run):
    # CPU 0 leaves CPU 1 out at 1100, as it is frozen, and CPU 2 at 1150, as it is in user mode:
    # what it is to drop from 2000 on is no handler yet. They take each other's calls at 2550.
    calls = on(0, compute(600), flush_user), on(2, compute(650), flush_kernel(0), compute(10))
    stay = on(1, ("user", 5000))
    host = turns(500, 0, 500, pv_flush=True)
    leaving_out = {"shootdown": Shootdown(DEFERRED), "isolated": (1,)}
    result = run(program(calls[0], stay, calls[1], host=host, **leaving_out))
    assert [(call.start, call.acks) for call in result.calls] == [
        (1100, {2: 2550}),
        (1150, {0: 2550}),
    ]
    assert [call.gone for call in result.calls] == [2550, 2550]


# -- rows, and the draw ----------------------------------------------------------------------------


def test_a_cpu_that_is_dropping_everything_is_in_no_user_mode_and_is_called(run):
    # CPU 1 is left out at 1990, frozen in user mode, and drops everything from 2000 to 2070. A
    # flush of the kernel's page finds it at that at 2050, and calls it; in user mode at 2080.
    def flushed(pause):
        caller = on(0, compute(990), flush_user, compute(pause), flush_kernel(0))
        host = turns(1500, 0, pv_flush=True)
        stay = on(1, ("user", 5000))
        return run(program(caller, stay, host=host, shootdown=Shootdown(DEFERRED), isolated=(1,)))

    called, left_out = flushed(55), flushed(85)
    assert [call.start for call in called.calls] == [1990, 2050]
    assert [call.start for call in left_out.calls] == [1990, 2080]
    assert [len(one.calls[1].acks) for one in (called, left_out)] == [1, 0]


def test_who_is_left_out_of_two_calls_owes_none_that_was_between_them(run):
    # CPU 1, frozen until 1000, is left out at 100 and at 300. The kernel's page of 200 it is called
    # for, and CPU 2 is left out, in user mode until 800: it has dropped it after its entry, at 870.
    host = Host(overcommit=2, slice=1000, phases=(0, 1000, 0, 0, 0), pv_flush=True)
    tasks = (
        on(0, compute(100), flush_user),
        on(3, compute(200), flush_kernel(0)),
        on(4, compute(300), flush_user),
        on(2, ("user", 800)),
    )
    result = run(program(*tasks, host=host, shootdown=Shootdown(DEFERRED), isolated=(2,)))
    between = next(call for call in result.calls if call.cpu == 3)
    assert 1 in between.acks
    assert 2 not in between.acks
    assert between.gone == max(between.acks.values())


def test_a_row_says_how_long_somebody_was_frozen_on_the_way():
    tasks = on(0, compute(100), call(1)), on(1, compute(9000))
    [(row, _)] = rows_of(program(*tasks, host=turns(0, 0)))
    assert SlowestReason(row["slowest_reason"]) is SlowestReason.FROZEN
    assert (row["frozen_ps"], row["delivery_ps"], row["entry_ps"]) == (800, 1000, 50)


def test_phases_are_drawn_below_the_period_for_each_cpu():
    import numpy as np

    host = Host(overcommit=3, slice=50)
    drawn = phases_of(host, 2000, np.random.default_rng(1))
    assert (drawn.min(), drawn.max()) == (0, 149)
    assert phases_of(Host(slice=50), 3, None).tolist() == [0, 0, 0]
    assert phases_of(Host(overcommit=2, slice=50, phases=(120, 7)), 2, None).tolist() == [20, 7]
    with pytest.raises(ValueError, match="needs a random generator"):
        phases_of(host, 2, None)
    with pytest.raises(ValueError, match="2 phases for 3 CPUs"):
        Machine(Topology(cores=3), costs(), host=turns(0, 1))
