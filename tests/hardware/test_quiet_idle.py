"""Calls are known whole where some CPUs are idle, and nobody can tell the difference.

An idle CPU may have to wake up before it answers, how deep it sleeps hangs on how long nobody has
called it, and a task may come to it at every moment of a call.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pmsim.hardware.costs import IdleState
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act
from pmsim.hardware.proposals import LatrCosts
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocol import Shootdown
from tests.hardware.adapters import machine_of, run_unwatched, unwatched_rows_of
from tests.hardware.machines import compute, flush_kernel, on, program, sleep
from tests.hardware.test_quiet import (
    EITHER,
    Run,
    assert_nobody_can_tell,
    busy_program,
    ends_of,
    leaving_out,
    lone_program,
    without_acks,
)
from tests.hardware.test_quiet_ticks import (
    LENGTH,
    TICK,
    flushing_program,
    length_of_a_call,
    met_at,
    owing_program,
    ticking_program,
)
from tests.reference.fuzz import Seeded, outcome
from tests.reference.generate import Source, random_cut
from tests.reference.machine import run as run_reference
from tests.reference.program import Program, Result, Step, TaskSpec

CALLS = ("flush_kernel", "free_tables", "call", "invalidate", "free")
MAKERS = (busy_program, lone_program, ticking_program, owing_program, flushing_program)


def resting(source: Source, program: Program) -> Program:
    """Return a program with idle states, of which some CPUs have no task, or one that sleeps."""
    call = length_of_a_call(program.costs, program.topology.n_cpus)
    states = tuple(
        IdleState(f"C{depth}", exit=source.integer(0, 3) * source.choice((1, call // 8, call)),
                  residency=depth * source.choice((1, call // 3, call, 3 * call)))
        for depth in range(source.integer(0, 2))
    )  # fmt: skip

    def sleeps(task: TaskSpec) -> TaskSpec:
        steps: list[Step] = []
        for step in task.steps[:-1]:
            steps += [step, *([sleep(source.integer(0, 2 * call))] if source.chance(50) else [])]
        (operation, whole), times = task.steps[-1], source.integer(1, 4)
        assert isinstance(whole, int)
        for _ in range(times):
            longest = source.choice((call, 4 * call, whole // times))
            part = source.choice((whole // times, source.integer(0, call)))
            steps += [(operation, part), sleep(source.integer(0, longest))]
        return replace(task, steps=(*steps, (operation, whole // times)))

    tasks = []
    for task in program.tasks:
        calls = any(operation in CALLS for operation, _ in task.steps)
        if source.chance(90 if calls else 20):
            tasks.append(task)
        elif source.chance(50):
            tasks.append(sleeps(task))
    return replace(
        program,
        costs=replace(program.costs, idle=states),
        tasks=tuple(tasks) or program.tasks,
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_twins_agree_where_some_cpus_are_idle(seed: int) -> None:
    for number in range(25):
        source = Seeded([seed, number])
        one = resting(source, MAKERS[number % len(MAKERS)](source))
        result = assert_nobody_can_tell(one)
        if isinstance(result, Result):
            assert_nobody_can_tell(random_cut(source, one, result))


def test_calls_are_quiet_where_some_cpus_are_idle() -> None:
    met = quiet = 0
    for number in range(60):
        source = Seeded([3, number])
        one = resting(source, MAKERS[number % len(MAKERS)](source))
        if isinstance(outcome(run_reference, one), Result):
            state = machine_of(one).fabric.state
            quiet += int(state[layout.QUIET_CALLS]) % layout.TICKS
            met += int(state[layout.QUIET_MET] >= 0)
    assert quiet > 100
    assert met > 3


# By hand, on the plain machine: CPU 0 calls at 1000, of three others. The interrupts arrive at
# 1000 + 3 * 100 + 1000 = 2300; a handler lasts 100.

CALLS_THRICE = on(0, *[s for wait in (1000, 1000, 100) for s in (compute(wait), flush_kernel(0))])
OTHERS = [on(cpu, compute(20_000)) for cpu in (1, 3)]
STATES = [(0, 400), (2000, 700)]


@EITHER
def test_a_cpu_that_nobody_needs_sleeps_as_deep_as_the_time_between_calls_allows(run: Run) -> None:
    # CPU 2 has been idle for 2300 and wakes up in 700: it answers at 3050, and is idle from 3100
    # on. The second call begins at 4050 and arrives 2250 later: 700 again, until 6100. The third
    # begins at 6200 and arrives at 7500, 1350 after CPU 2's handler was over: it wakes up in 400.
    result = run(program(CALLS_THRICE, *OTHERS, idle=STATES, cpus=4))
    assert ends_of(result) == [3050, 6100, 7950]
    assert [cpu.handlers for cpu in result.cpus] == [0, 3, 3, 3]
    assert [cpu.stolen for cpu in result.cpus] == [0, 300, 700 + 700 + 400 + 300, 300]


def test_such_calls_are_known_whole() -> None:
    quiet = machine_of(program(CALLS_THRICE, *OTHERS, idle=STATES, cpus=4)).fabric.state
    assert quiet[layout.QUIET_CALLS] == 3


@pytest.mark.parametrize(
    ("latency", "end", "slowest"), [(0, 2500, 1), (50, 2500, 1), (51, 2501, 2)]
)
def test_the_slowest_is_who_is_idle_where_waking_up_takes_longer_than_what_is_read_before(
    latency: int, end: int, slowest: int
) -> None:
    # Those that are busy answer at 2350, and three lines of 50 are read. CPU 2's is the second.
    once = on(0, compute(1000), flush_kernel(0))
    one = program(once, *OTHERS, idle=[(0, latency)], cpus=4, line=50)
    assert_nobody_can_tell(one)
    (row,) = unwatched_rows_of(one)
    assert (row["end_ps"], row["slowest_cpu"]) == (end, slowest)


def test_the_last_handler_of_such_a_call_starts_where_its_cpu_is_awake() -> None:
    state = machine_of(program(CALLS_THRICE, *OTHERS, idle=STATES, cpus=4)).fabric.state
    assert act(state, layout.DO_ASK_LAST_START, 0, 0) == 7500 + 400


@EITHER
@pytest.mark.parametrize(
    ("sleeps", "end"),
    [
        (1500, 2350),  # awake at 1900, before the interrupt
        (2250, 2700),  # awake at 2650: its handler starts then
        (2300, 2750),  # woken by the interrupt, as it came first
        (2400, 2750),
    ],
)
def test_a_task_that_comes_before_the_interrupt_wakes_its_cpu_up(
    run: Run, sleeps: int, end: int
) -> None:
    once = on(0, compute(1000), flush_kernel(0))
    sleeper = on(2, sleep(sleeps), compute(5000))
    result = run(program(once, *OTHERS, sleeper, idle=[(0, 400)]))
    assert ends_of(result) == [end]


@EITHER
def test_a_call_that_leaves_some_out_waits_for_who_is_idle(run: Run) -> None:
    # CPU 1 is in user mode and left out (5), CPUs 2 and 3 are told by 1000 + 5 + 200: CPU 2 wakes
    # up in 400 from 2205 on.
    once = on(0, compute(1000), flush_kernel(0))
    others = on(1, ("user", 20_000)), on(3, compute(20_000))
    some = leaving_out(once, *others, idle=[(0, 400)], isolated=(1,), cpus=4)
    result = run(some)
    assert ends_of(result) == [2205 + 400 + 50]
    assert [cpu.handlers for cpu in result.cpus] == [0, 0, 1, 1]


# Ticks at every moment of a call to CPUs of which one is idle (`test_quiet_ticks.met_at`).


@pytest.mark.parametrize(("idle", "latency"), [(0, 7), (1, 0), (3, 30), (4, 7)])
def test_a_tick_may_come_at_every_moment_of_a_call_to_somebody_idle(
    idle: int, latency: int
) -> None:
    met = 0
    for offset in range(0, LENGTH + latency, 2):
        one = met_at(offset, 2)
        costs = replace(one.costs, idle=(IdleState("C1", exit=latency, residency=5),))
        tasks = tuple(task for task in one.tasks if task.cpu != idle)
        one = replace(one, costs=costs, tasks=tasks)
        assert_nobody_can_tell(one)
        met += machine_of(one).fabric.state[layout.QUIET_MET] == 3 * TICK
    assert met > 5


def test_a_cpu_that_gets_a_task_has_had_none_of_the_ticks_and_all_of_the_calls() -> None:
    # CPU 1 is idle for four calls and three ticks, of which one meets a call, and computes then.
    costs = LatrCosts(save=1, scan=1, sweep=1, tick=2300, ring=2)
    calls = on(0, *[compute(1000), flush_kernel(0)] * 4, compute(10_000))
    sleeper = on(1, sleep(8000), compute(3000))
    one = program(
        calls, sleeper, on(2, compute(20_000)), shootdown=Shootdown(LATR), latr=costs,
        idle=[(0, 40)],
    )  # fmt: skip
    expected = run_reference(one)
    assert run_unwatched(one) == without_acks(expected)
    assert machine_of(one).fabric.state[layout.QUIET_MET] >= 0
