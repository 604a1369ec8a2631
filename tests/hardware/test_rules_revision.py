"""Cases in which what was planned for a call turns out otherwise, after it has started.

An implementation that works ahead has to revise its plans in each of them.
"""

from __future__ import annotations

import pytest

from pmsim.hardware.topology import Topology
from tests.hardware.machines import (
    call,
    call_times,
    compute,
    flush_kernel,
    irqs_off,
    mutex_lock,
    mutex_unlock,
    on,
    program,
    sleep,
)


@pytest.mark.parametrize(
    ("step", "end"), [(irqs_off(200), 1480), (compute(200), 2470)], ids=["window", "no window"]
)
def test_a_window_can_make_a_call_end_earlier(run, step, end):
    """A delayed interrupt lets a later call be coalesced with another.

    CPUs 0, 1, 2 in one package, 3 in the other. Functions cost 10. CPU 0's call at 0: l = 310,
    interrupts to 1 and 2 at 310, to 3 at 1300 (t1 = 300, delivery 1000). CPU 1 computes to 1000 and
    is stopped from 310 to 420: it calls at 1110; its call is in CPU 3's queue at 1410.

    Without the window CPU 3's first handler takes at 1350: CPU 1's call opens another one, by an
    interrupt at 1410 + 1000: taken at 2460, acknowledged at 2470. With interrupts off from 1200 to
    1400 the first handler takes at 1450, both calls: acknowledged at 1460 and 1470. CPU 1's other
    targets: interrupts at 1420, taken at 1470, acknowledged at 1480.
    """
    result = run(
        program(
            on(0, flush_kernel(1)),
            on(1, compute(1000), flush_kernel(1)),
            on(2, compute(9000)),
            on(3, compute(1200), step, compute(5000)),
            topology=Topology(2, 1, 3, 1, cpus=4),
            delivery=(10, 10, 10, 10, 1000),
        )
    )
    assert call_times(result)[1] == (1110, end)


def test_a_window_that_begins_before_an_interrupt_delays_the_call(run):
    # Off from 1000 to 3000: taken at 3050.
    result = run(program(on(0, call(1)), on(1, compute(1000), irqs_off(2000))))
    assert call_times(result) == [(0, 3050)]


def test_a_targets_own_call_delays_the_handler_until_it_has_sent(run):
    # CPU 1 calls at 1050: off until 1150; handler from there: taken at 1200.
    result = run(program(on(0, call(1)), on(1, compute(1050), call(0))))
    assert call_times(result)[0] == (0, 1200)


def test_a_task_that_ends_before_the_interrupt_leaves_an_idle_cpu_to_wake(run):
    # Idle from 1050, for 50: exit 30.
    result = run(program(on(0, call(1)), on(1, compute(1050)), idle=[(0, 30), (51, 500)]))
    assert call_times(result) == [(0, 1180)]


def test_a_timer_before_the_interrupt_spares_the_call_a_deep_state(run):
    # CPU 1 would be idle for 1100 when the interrupt comes; the timer at 1000 wakes it, by 1070,
    # and it computes.
    result = run(
        program(on(0, call(1)), on(1, sleep(1000), compute(5000)), idle=[(0, 30), (900, 70)])
    )
    assert call_times(result) == [(0, 1150)]


def test_a_timer_before_the_interrupt_fixes_when_the_cpu_is_awake(run):
    # Timer at 1090, exit 70: awake at 1160, where the handler starts; without it, at 1170.
    result = run(program(on(0, call(1)), on(1, sleep(1090)), idle=[(0, 30), (900, 70)]))
    assert call_times(result) == [(0, 1210)]


def test_a_mutex_released_by_another_cpu_wakes_a_target_before_its_interrupt(run):
    # Released at 1080, runnable at 1090: as above.
    result = run(
        program(
            on(0, call(2)),
            on(1, mutex_lock(0), compute(1080), mutex_unlock(0)),
            on(2, mutex_lock(0), mutex_unlock(0)),
            wakeup=10,
            idle=[(0, 30), (900, 70)],
            mutex="sleeping",
        )
    )
    assert call_times(result) == [(0, 1210)]


def test_a_call_joins_a_handler_that_has_started_and_not_yet_taken(run):
    # The handler starts at 1100, takes at 1150; CPU 1's call, made at 1045, queues at 1145.
    result = run(program(on(0, call(2)), on(1, compute(1045), call(2)), cpus=3))
    assert call_times(result) == [(0, 1150), (1045, 1150)]


def test_a_call_queued_before_an_earlier_started_one_takes_its_place_as_the_opener(run):
    # CPU 0 calls 1, 2, 3 at 0, and is in CPU 3's queue at 300; CPU 4, a core of the same package as
    # 3, calls it at 150, is there at 250 and interrupts at 250 + 10. CPU 0's call, in the queue at
    # 300, is taken with it at 310: no interrupt of its own (which would come at 1300).
    result = run(
        program(
            on(0, call(1, 2, 3)),
            on(4, compute(150), call(3)),
            topology=Topology(packages=2, cores=3),
            delivery=(10, 10, 10, 10, 1000),
        )
    )
    assert result.calls[0].acks[3] == 310
    assert result.cpus[3].handlers == 1


def test_a_call_that_loses_its_opener_place_may_have_to_open_later(run):
    # As before, but CPU 0 is in CPU 3's queue at 300 and CPU 4's handler takes at 290 (called at
    # 130, q = 230, a = 240): CPU 0's call finds the queue empty again, interrupts at 1300.
    result = run(
        program(
            on(0, call(1, 2, 3)),
            on(4, compute(130), call(3)),
            topology=Topology(packages=2, cores=3),
            delivery=(10, 10, 10, 10, 1000),
        )
    )
    assert result.calls[0].acks[3] == 1350
    assert result.cpus[3].handlers == 2
