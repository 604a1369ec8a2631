"""Section 14 of the machine-model page: frees that others take note of at their ticks.

On the plain machine of two CPUs, a free of two pages takes 20 and 7 for the note; a look takes 6,
and 11 for each note. A tick at 10 000 alone is taken at 10 050, and its handler lasts 50 more than
its look.
"""

from __future__ import annotations

from functools import partial

from pmsim.hardware.proposals import LatrCosts
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocol import Shootdown
from tests.hardware import machines
from tests.hardware.machines import call, compute, irqs_off, on, sleep

program = partial(machines.program, shootdown=Shootdown(LATR))


def free(*targets, pages=2):
    return "free", (pages, targets)


def user(ps):
    return "user", ps


def the_call(result, number=0):
    one = result.calls[number]
    return one.start, one.end, one.gone


def test_a_free_goes_on_at_once_and_others_drop_it_at_their_next_tick(run):
    result = run(program(on(0, compute(1), free(1)), on(1, compute(20_000))))
    assert the_call(result) == (1, 28, 10_050 + 6 + 11)
    assert result.calls[0].acks == {}
    # The first tick takes 117, so that there is a second one, which finds nothing: 106.
    assert result.task_ends[1] == 20_000 + 117 + 106
    assert (result.cpus[1].handlers, result.cpus[1].stolen) == (2, 223)
    assert result.cpus[0].irqs_off == 27


def test_every_busy_cpu_pays_for_each_tick_and_idle_ones_for_none(run):
    result = run(program(on(0, compute(25_000)), cpus=3))
    # 50 + 3 * 3 + 50, twice.
    assert [cpu.stolen for cpu in result.cpus] == [218, 0, 0]


def test_a_cpu_without_a_task_sweeps_before_the_next_one(run):
    result = run(program(on(0, compute(1), free(1)), on(1, sleep(50), compute(5))))
    assert the_call(result) == (1, 28, 50 + 17)
    assert result.task_ends[1] == 50 + 17 + 5


def test_a_switch_sweeps_too_and_so_does_none_to_the_same_task(run):
    tasks = (
        on(0, compute(1), free(1)),
        on(1, compute(100)),
        on(1, compute(100)),
    )
    result = run(program(*tasks, context_switch=30))
    assert the_call(result) == (1, 28, 100 + 30 + 17)
    assert result.task_ends[2] == 100 + 30 + 17 + 100


def test_a_cpu_that_never_has_a_task_again_keeps_it(run):
    result = run(program(on(0, compute(1), free(1)), cpus=2, duration=50_000))
    assert the_call(result) == (1, 28, None)


def test_a_note_is_not_seen_at_the_instant_at_which_it_is_there(run):
    # At 28 CPU 1 takes up its task; the tick of 10 000 is the first look that sees the note.
    result = run(program(on(0, compute(1), free(1)), on(1, sleep(28), compute(15_000))))
    assert the_call(result) == (1, 28, 10_067)


def test_windows_hold_a_tick_off_and_one_behind_it_is_lost(run):
    result = run(program(on(0, compute(1), free(1)), on(1, irqs_off(25_000), compute(1))))
    assert the_call(result) == (1, 28, 25_000 + 50 + 17)
    assert result.cpus[1].handlers == 1


def test_a_tick_that_finds_a_call_in_its_queue_is_taken_with_it(run):
    # The call is queued at 9 950 and arrives at 10 950; the tick's look follows its function.
    tasks = (on(0, compute(9_850), call(1)), on(1, compute(15_000)))
    result = run(program(*tasks))
    assert result.calls[0].acks == {1: 11_000}
    assert (result.cpus[1].handlers, result.cpus[1].stolen) == (1, 106)


def test_a_ring_that_is_full_falls_back_to_a_call(run):
    result = run(program(on(0, compute(1), *[free(1)] * 3), on(1, compute(15_000))))
    assert [one.end for one in result.calls[:2]] == [28, 55]
    assert result.calls[2].acks == {1: 55 + 1150 + 20}
    # Two notes at the tick: 6 + 22.
    assert {one.gone for one in result.calls[:2]} == {10_078}


def test_an_entry_of_the_ring_is_free_again_when_all_have_begun_to_look(run):
    tasks = (on(0, compute(1), *[free(1)] * 2, compute(9_955), free(1)), on(1, compute(25_000)))
    result = run(program(*tasks))
    # The tick comes at 10 000 on CPU 0, too, and takes 106: it goes on at 10 116.
    assert result.calls[2].start == 55 + 9_955 + 106
    assert result.calls[2].acks == {}


def test_an_entry_of_the_ring_is_free_at_the_instant_at_which_the_last_one_wakes_up(run):
    # CPU 1 takes its task up at 55, which is before CPU 0's step of that instant, and looks.
    result = run(program(on(0, compute(1), *[free(1)] * 3), on(1, sleep(55))))
    assert [(one.start, one.end, one.gone) for one in result.calls] == [
        (1, 28, 55 + 17), (28, 55, None), (55, 82, None),
    ]  # fmt: skip
    late = run(program(on(0, compute(1), *[free(1)] * 3), on(1, sleep(56))))
    assert late.calls[2].acks == {1: 55 + 1150 + 20}


def test_a_larger_ring_has_room_for_so_many_notes_and_for_as_many_after_a_tick(run):
    costs = LatrCosts(save=7, scan=3, sweep=11, tick=10_000, ring=19)
    frees = [free(1)] * 19
    tasks = (
        on(0, compute(1), *frees, compute(12_000), *frees, free(1)),
        on(1, compute(15_000)),
    )
    result = run(program(*tasks, latr=costs))
    # A tick of both CPUs at 10 000 frees all 19; the next, at 20 000, comes too late for the last.
    assert [bool(one.acks) for one in result.calls] == [False] * 38 + [True]
    # Without a pause the first note comes at 1 and the last ends at 514; calls of over 1 170 each
    # follow, of which nine begin before the tick.
    full = run(program(on(0, compute(1), *frees, *frees), on(1, compute(15_000)), latr=costs))
    assert [bool(one.acks) for one in full.calls] == [False] * 19 + [True] * 9 + [False] * 10


def test_isolated_cpus_in_user_mode_have_no_ticks_and_keep_it(run):
    tasks = (on(0, compute(1), free(1, 2)), on(1, user(25_000)), on(2, compute(25_000)))
    result = run(program(*tasks, isolated=(1, 2)))
    assert result.task_ends[1] == 25_000
    assert result.cpus[2].handlers == 2
    assert the_call(result) == (1, 28, None)


def test_a_second_task_that_is_runnable_brings_the_ticks_back(run):
    tasks = (on(1, user(25_000)), on(1, compute(1)))
    result = run(program(*tasks, cpus=2, isolated=(1,)))
    assert result.cpus[1].handlers == 2


def test_nobody_is_left_a_note_where_nobody_is_concerned(run):
    result = run(program(on(0, compute(1), free()), on(1, compute(100))))
    assert the_call(result) == (1, 21, 21)


def test_a_sweep_owes_no_refill_but_the_initiator_does(run):
    tasks = (
        on(0, compute(1), free(1, pages=40), compute(5), working_set=4),
        on(1, compute(12_000), working_set=4),
    )
    result = run(program(*tasks, walk=50))
    assert (result.cpus[0].refill, result.cpus[1].refill) == (200, 0)


def test_a_program_for_machines_with_ticks_calls_where_there_are_none(run):
    result = run(machines.program(on(0, compute(1), free(1)), on(1, compute(2_000))))
    assert result.calls[0].acks == {1: 1 + 1150 + 20}


def test_a_tick_that_a_run_is_cut_at_does_not_come(run):
    costs = LatrCosts(tick=1_000)
    result = run(program(on(0, compute(5_000)), duration=2_000, latr=costs))
    assert result.cpus[0].handlers == 1
