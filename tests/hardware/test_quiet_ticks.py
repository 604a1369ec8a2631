"""Ticks that meet nothing, or one quiet call, are known whole, and nobody can tell the difference.

The programs here are made so that ticks come at every moment of a call to everybody: before it is
queued anywhere, between two queues, while it is sent, in the entry, function and exit of handlers,
while the initiator goes from line to line, and at the very instants at which one of these ends.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pmsim.hardware.costs import MachineCosts
from pmsim.hardware.passes import layout
from pmsim.hardware.proposals import LatrCosts
from pmsim.hardware.shootdown.latr import LATR
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.topology import Topology
from tests.hardware.adapters import kept_of, machine_of, run_fabric, run_unwatched
from tests.hardware.machines import compute, flush_kernel, on, program
from tests.hardware.strategies import Drawn, cuts
from tests.hardware.test_quiet import (
    assert_nobody_can_tell,
    on_a_steady_machine,
    plainly,
    without_acks,
)
from tests.reference.fuzz import Seeded, outcome
from tests.reference.generate import Source, random_cut, random_program
from tests.reference.machine import run as run_reference
from tests.reference.program import Program, Result, Step, TaskSpec


def length_of_a_call(costs: MachineCosts, n_cpus: int) -> int:
    """Return how long a call to all others may take, with nothing in its way."""
    ipi, others = costs.ipi, n_cpus - 1
    sending = others * (ipi.queue + ipi.send + max(ipi.line)) + max(ipi.delivery)
    return sending + ipi.entry + ipi.exit + costs.tlb.flush_all + 2 * costs.tlb.invlpg


def ticking_program(source: Source, max_cpus: int = 8) -> Program:
    """Return a random machine of busy CPUs that tick, and of which one calls all others."""
    program = on_a_steady_machine(random_program(source, max_cpus))
    n_cpus = program.topology.n_cpus
    grid = source.choice((1, 1, 7, 50))
    costs = program.costs
    call = length_of_a_call(costs, n_cpus)
    scan = grid * source.integer(0, 3) // source.choice((1, 1, 4))
    handler = costs.ipi.entry + costs.ipi.exit + n_cpus * scan
    tick = (
        handler + source.choice((call // 3, call, call, 3 * call)) + source.integer(grid, 5 * grid)
    )
    latr = LatrCosts(
        save=grid, scan=scan, sweep=grid, tick=tick, ring=source.choice((1, 2, 8)),
    )  # fmt: skip
    sched = replace(costs.sched, quantum=50 * (tick + call))
    walk = source.integer(0, 3) * source.choice((1, call // 8, call // 2))  # paid before the next?
    tlb = replace(costs.tlb, walk=walk, entries=4, kernel_entries=source.integer(0, 3))
    costs = replace(costs, latr=latr, sched=sched, tlb=tlb)
    pages = source.choice(((0, 1, 2), (34,), (34,), (1, 34)))
    calls_of = source.choice(("flush_kernel", "flush_kernel", "free_tables"))
    seldom = source.choice((0, 0, 10, 30))

    def rare(cpu: int) -> Step:
        some = tuple(other for other in range(n_cpus) if other != cpu and source.chance(50))
        return source.choice((
            ("irqs_off", source.integer(0, call)), ("sleep", source.integer(0, call)),
            ("call", (1, some)), ("free", (1, some)), ("flush_kernel", 1), ("flush_own", 34),
        ))  # fmt: skip

    def pause() -> Step:
        return ("compute", source.integer(0, source.choice((3, call, 2 * tick))))

    def calls(cpu: int) -> tuple[Step, ...]:
        steps: list[Step] = []
        for _ in range(source.integer(1, 9)):
            often: Step = (calls_of, source.choice(pages))
            steps += [pause(), rare(cpu) if source.chance(seldom) else often]
        return (*steps, ("compute", 4 * tick))

    def computes(cpu: int) -> tuple[Step, ...]:
        steps: list[Step] = []
        for _ in range(source.choice((0, 0, 0, 1, 3))):
            steps += [pause(), *([rare(cpu)] if source.chance(seldom) else [])]
        return (*steps, (source.choice(("compute", "user", "kernel")), 30 * tick))

    callers = [source.integer(0, n_cpus - 1) for _ in range(source.choice((1, 1, 1, 2)))]
    idle = source.integer(0, n_cpus - 1) if source.chance(25) else None
    tasks = tuple(
        TaskSpec(
            cpu, cpu, source.choice((0, 0, 1, 4)), (calls if cpu in callers else computes)(cpu)
        )
        for cpu in range(n_cpus)
        if cpu != idle
    )
    some = source.chance(35)
    isolated = tuple(
        cpu for cpu in range(n_cpus) if some and cpu not in callers and source.chance(60)
    )
    program = replace(program, costs=costs, tasks=tasks, isolated=isolated)
    return replace(program, shootdown=Shootdown(LATR), repeat_sync="none")


def flushing_program(source: Source, max_cpus: int = 5) -> Program:
    """Return a program of one CPU that has all others flush; they owe about what they can pay.

    So that what a call leaves hangs on when the handlers of this one and of the next began. Most of
    a call is the way from line to line, so that all take about as long: only the slowest so far is
    kept, and the others are not looked at.
    """
    program = ticking_program(source, max_cpus)
    costs, n_cpus = program.costs, program.topology.n_cpus
    assert costs.latr is not None
    ipi = replace(costs.ipi, line=(0,) * 5)
    ipi = replace(ipi, queue=length_of_a_call(replace(costs, ipi=ipi), n_cpus) // n_cpus)
    if source.chance(50):  # a tick takes the call along on many CPUs
        ipi = replace(ipi, entry=ipi.entry + 2 * ipi.queue)
    told = length_of_a_call(replace(costs, ipi=ipi), n_cpus)
    ipi = replace(ipi, line=(10 * told // n_cpus,) * 5)
    call = 11 * told
    handler = ipi.entry + ipi.exit + n_cpus * costs.latr.scan
    latr = replace(costs.latr, tick=handler + told // 2 + source.integer(1, 2 * told))
    tlb = replace(costs.tlb, walk=source.integer(call // 2, 6 * call), entries=1, kernel_entries=1)
    pauses = [source.integer(0, call) for _ in range(source.integer(1, 3))]
    steps = [
        step
        for _ in range(source.integer(5, 20))
        for step in (("compute", source.choice(pauses)), ("flush_kernel", 34))
    ]
    caller = source.integer(0, n_cpus - 1)
    others = ((source.choice(("compute", "user", "kernel")), 40 * call),)
    tasks = tuple(
        TaskSpec(cpu, cpu, 1, tuple(steps) if cpu == caller else others) for cpu in range(n_cpus)
    )
    costs = replace(costs, latr=latr, tlb=tlb, ipi=ipi)
    return replace(program, costs=costs, tasks=tasks, isolated=())


def owing_program(source: Source, max_cpus: int = 6) -> Program:
    """Return a program of one CPU that has all others flush; each owes about what it can pay.

    So that it matters by how much the handlers of a flush begin earlier or later than those of
    others. Flushes are mostly as far apart as ticks, which come as they are queued, so that some
    CPUs have one in their queue by then, and the others do not. Mostly nobody looks at a CPU for
    long: calls take about as long, and the slowest target is always the same, or not asked for.
    """
    program = on_a_steady_machine(random_program(source, max_cpus))
    costs, n_cpus = program.costs, program.topology.n_cpus
    others = n_cpus - 1
    grid = source.choice((1, 1, 7))

    def some(low: int, high: int) -> int:
        return grid * source.integer(low, high)

    own, thread, core, die, package = sorted(some(0, 8) for _ in range(5))
    ipi = replace(
        costs.ipi, entry=some(1, source.choice((2, 8))), exit=some(0, 4), send=some(0, 3),
        queue=some(1, source.choice((3, 20))), line=(0,) * 5,
        delivery=(own, thread, core, die, package),
    )  # fmt: skip
    scan = source.choice((some(0, 6), some(0, 6) // n_cpus, ipi.queue, 2 * ipi.queue))
    sweeps = ipi.entry + program.host.inject + n_cpus * scan + ipi.exit
    flush_all = some(0, 4)
    if others > 1 and source.chance(60):  # its own function ends last: nobody asks for the slowest
        send = -(-(package + 2 * ipi.entry + sweeps) // (others - 1)) + 1
        ipi = replace(ipi, send=send, fanout=1, shorthand=False, line=(send,) * 5)
        call = others * (ipi.queue + 2 * send) + flush_all
    else:  # most of a call is the way from line to line: all take about as long
        sent = others * (ipi.queue + ipi.send) + thread + ipi.entry + flush_all
        line = source.choice((1, 40, 40)) * sent // n_cpus
        ipi = replace(ipi, line=(line,) * 5)
        call = sent + others * line
    near = others * ipi.queue + ipi.entry  # to the beginning of a call
    pause = source.integer(0, source.choice((near, 4 * call)))
    each = source.choice((1, 1, 2, 3))
    drift = source.integer(-near, near) // source.choice((1, 4))
    tick = max(2 * sweeps + 1, (pause + call - sweeps) // each + sweeps + drift)
    deltas = [0, *(source.integer(0, near) // 2 for _ in range(source.integer(0, 2)))]
    gap = pause + call - ipi.entry - ipi.exit - flush_all
    owed = source.choice((1, 1, 2))
    walk = max(1, gap + source.integer(-near, source.choice((0, near)))) // owed
    tlb = replace(costs.tlb, flush_all=flush_all, walk=walk, entries=4, kernel_entries=1)
    latr = LatrCosts(save=grid, scan=scan, sweep=grid, tick=tick, ring=1)
    count = source.integer(3, 12)
    steps: list[Step] = [("compute", max(0, tick - source.integer(0, near)))]
    for _ in range(count):
        steps += [("flush_kernel", 34), ("compute", pause + source.choice(deltas))]
    caller = source.integer(0, n_cpus - 1)
    length = count * (pause + call + max(deltas)) + 2 * tick
    kind = source.choice(("compute", "user", "kernel"))
    tasks = tuple(
        TaskSpec(cpu, cpu, 1 if source.chance(5) else 0, tuple(steps)) if cpu == caller
        else TaskSpec(cpu, cpu, owed, ((kind, length),))
        for cpu in range(n_cpus)
    )  # fmt: skip
    sched = replace(costs.sched, quantum=50 * length)
    costs = replace(costs, sched=sched, ipi=ipi, tlb=tlb, latr=latr)
    program = replace(program, costs=costs, tasks=tasks, isolated=(), ceiling=33)
    return replace(program, shootdown=Shootdown(LATR), repeat_sync="none")


@st.composite
def ticking_programs(draw: st.DrawFn) -> Program:
    """Random programs of mostly quiet ticks."""
    make = draw(st.sampled_from((ticking_program, owing_program)))
    return make(Drawn(draw), max_cpus=5)


MAKERS = (ticking_program, owing_program, ticking_program, owing_program, flushing_program)


@pytest.mark.parametrize("seed", range(4))
def test_the_twins_agree_where_ticks_meet_calls(seed: int) -> None:
    for number in range(12):
        make = MAKERS[number % len(MAKERS)]
        program = make(Seeded([seed, number]))
        result = assert_nobody_can_tell(program)
        if isinstance(result, Result):
            assert_nobody_can_tell(random_cut(Seeded([seed, number, 1]), program, result))


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(ticking_programs(), st.data())
def test_the_twins_agree_on_any_program_of_mostly_quiet_ticks(
    program: Program, data: st.DataObject
) -> None:
    result = outcome(run_reference, program)
    if isinstance(result, Result) and data.draw(st.booleans()):
        program = cuts(data, program, result)
    assert_nobody_can_tell(program)


def test_many_ticks_are_quiet_and_many_meet_a_call() -> None:
    states = []
    for number in range(40):
        program = ticking_program(Seeded([8, number]))
        if isinstance(outcome(run_reference, program), Result):
            states.append(machine_of(program).fabric.state)
    assert sum(state[layout.QUIET_TICKED] > 0 for state in states) > 20
    assert sum(state[layout.QUIET_MET] >= 0 for state in states) > 8


def test_it_matters_when_a_flush_that_a_tick_met_began_where_debts_are_just_paid_or_not() -> None:
    # Twenty of these programs notice where a handler that begins with the tick is taken to begin as
    # the interrupt arrives, and twenty where one behind the tick is; one where that never waits for
    # the tick's, and two where the time that is left to pay in is taken for what it was before.
    for number in range(400):
        program = owing_program(Seeded([4, number]))
        expected = run_reference(program)
        assert run_unwatched(program) == without_acks(expected)


def for_long(program: Program) -> Program:
    """Return a program whose tasks do eight times what they did."""

    def eight_times(steps: tuple[Step, ...]) -> tuple[Step, ...]:
        (operation, argument), *more = steps
        return steps * 8 if more or not isinstance(argument, int) else ((operation, argument * 8),)

    tasks = tuple(replace(task, steps=eight_times(task.steps)) for task in program.tasks)
    return replace(program, tasks=tasks)


def test_nobody_can_tell_where_cpus_are_many_flushes_behind() -> None:
    # The reference would take minutes. Where somebody asks for acknowledgements, and looks at all
    # CPUs after each call, it has been compared above.
    for number in range(100):
        program = for_long(flushing_program(Seeded([9, number]), max_cpus=7))
        watched = outcome(run_fabric, program)
        if isinstance(watched, Result):
            blind = tuple(replace(call, acks={}) for call in watched.calls)
            watched = replace(watched, calls=blind)
        assert outcome(run_unwatched, program) == watched


def test_calls_that_ticks_met_are_kept_the_same_where_nobody_looks() -> None:
    for number in range(12):
        program = ticking_program(Seeded([5, number]))
        if not isinstance(outcome(run_reference, program), Result):
            continue
        watched, unwatched = kept_of(program), kept_of(program, watched=False)
        assert watched.keys() == unwatched.keys()
        for name, calls in watched.items():
            assert plainly(calls) == plainly(unwatched[name])


# Every offset: five CPUs in two packages; a call of CPU 2 is queued at its targets 2, 4, 6 and 8
# after it begins, and arrives at 9 + distance; a tick takes 3 + 5 + 2.

LENGTH = 60
"""In picoseconds, longer than a call from its beginning until all its handlers are over."""
TICK = 200


def met_at(offset: int, caller: int, **changes: Any) -> Program:
    """Return a program whose third tick comes so long after a call has begun."""
    plain = {"entry": 3, "exit": 2, "queue": 2, "send": 1, "scan": 1, "pages": 1}
    more: dict[str, Any] = {**plain, **changes}
    scan, pages = more.pop("scan"), more.pop("pages")
    more = {"delivery": (0, 0, 4, 9, 23), "line": (0, 0, 2, 1, 4)} | more
    ticks = 2 * (more["entry"] + 5 * scan + more["exit"])
    call = compute(3 * TICK - offset - ticks), flush_kernel(pages)
    others = [on(cpu, ("user", 9 * TICK), working_set=1) for cpu in range(5) if cpu != caller]
    tasks = on(caller, *call, compute(3 * TICK)), *others
    return program(
        *tasks, topology=Topology(packages=2, cores=3, cpus=5),
        shootdown=Shootdown(LATR), latr=LatrCosts(save=1, scan=scan, sweep=1, tick=TICK, ring=2),
        invlpg=4, flush_all=6, walk=1, **more,
    )  # fmt: skip


@pytest.mark.parametrize("isolated", [(), (0,), (1, 3), (0, 1, 3, 4)])
@pytest.mark.parametrize("pages", [1, 40])
def test_a_tick_leaves_out_who_is_isolated_at_every_moment_of_a_call(
    isolated: tuple[int, ...], pages: int
) -> None:
    met = 0
    for offset in range(0, LENGTH, 2 if pages == 1 else 3):
        one = replace(met_at(offset, 2, pages=pages, entry=9), isolated=isolated)
        result = assert_nobody_can_tell(one)
        assert isinstance(result, Result)
        assert [result.cpus[cpu].handlers for cpu in isolated] == [1] * len(isolated)  # the call's
        met += machine_of(one).fabric.state[layout.QUIET_MET] == 3 * TICK
    assert pages > 33 or met > 5


def test_an_isolated_cpu_has_had_no_ticks_when_another_task_comes() -> None:
    # Two ticks come while one program has CPU 1, a third as another one waits for it. Each takes
    # 3 + 2 * 1 + 2 = 7, and comes to CPU 0, which computes.
    waits = on(1, ("sleep", 2 * TICK + 50), compute(10))
    one = program(
        waits, on(1, ("user", 3 * TICK + TICK // 2)), on(0, compute(3 * TICK + 40)),
        topology=Topology(packages=1, cores=2), shootdown=Shootdown(LATR),
        latr=LatrCosts(save=1, scan=1, sweep=1, tick=TICK, ring=2), entry=3, exit=2,
        isolated=(1,),
    )  # fmt: skip
    busy, shared = run_unwatched(one).cpus
    assert (busy.stolen, busy.handlers) == (3 * 7, 3)
    assert (shared.stolen, shared.handlers) == (7, 1)


@pytest.mark.parametrize(
    ("caller", "more"),
    [
        (0, {}), (2, {}), (4, {}), (2, {"fanout": 2}), (1, {"fanout": 5, "send": 12}),
        (2, {"scan": 0}), (3, {"entry": 1, "exit": 0}), (2, {"entry": 9}), (2, {"queue": 1}),
        (2, {"queue": 7, "pages": 0}), (2, {"pages": 40}), (1, {"pages": 40, "entry": 9}),
        (2, {"delivery": (30,) * 5, "line": (1,) * 5}),  # all are the slowest
    ],
)  # fmt: skip
def test_a_tick_may_come_at_every_moment_of_a_call(caller: int, more: dict[str, Any]) -> None:
    met = 0
    for offset in range(LENGTH):
        one = met_at(offset, caller, **more)
        assert_nobody_can_tell(one)
        met += machine_of(one).fabric.state[layout.QUIET_MET] == 3 * TICK
    assert more.get("pages", 1) > 33 or met > 10


@pytest.mark.parametrize("apart", [0, 3, 12, 25])
@pytest.mark.parametrize("more", [{}, {"scan": 0, "queue": 7}, {"entry": 9, "pages": 40}])
def test_a_tick_may_come_at_every_moment_of_two_calls(apart: int, more: dict[str, Any]) -> None:
    for offset in range(-2, LENGTH + apart, 3):
        one = met_at(offset, 1, **more)
        (caller,) = (task for task in one.tasks if task.cpu == 1)
        (_, pause), *rest = caller.steps
        assert isinstance(pause, int)
        steps = compute(pause + apart), *rest
        second = replace(caller, cpu=3, number=len(one.tasks), steps=steps)
        others = tuple(task for task in one.tasks if task.cpu != 3)
        assert_nobody_can_tell(replace(one, tasks=(*others, second)))
