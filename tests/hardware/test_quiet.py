"""Calls that meet nothing else are known whole, and nobody can tell the difference.

The programs here are made so that such calls are many, and so that all that may end them comes in
between: windows, sleeps, calls on some CPUs, full flushes, invalidations, preemption. They run
unwatched too: who asks for acknowledgements looks at every CPU after every call, and then no CPU is
ever more than one call behind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pmsim.hardware.host import BARE_METAL
from pmsim.hardware.passes import layout
from pmsim.hardware.proposals import DeferredCosts
from pmsim.hardware.shootdown.deferred import DEFERRED
from pmsim.hardware.shootdown.ipi import IPI
from pmsim.hardware.shootdown.protocol import Shootdown, with_options
from pmsim.hardware.specimens import WholeCalls
from tests.hardware.adapters import (
    accounts_at,
    detail_of,
    kept_of,
    machine_of,
    rows_of,
    run_fabric,
    run_unwatched,
    unwatched_rows_of,
)
from tests.hardware.machines import (
    call,
    call_times,
    compute,
    empty,
    flush_kernel,
    invalidate,
    irqs_off,
    on,
    program,
    sleep,
    tlbi,
)
from tests.hardware.strategies import Drawn, cuts
from tests.hardware.test_latency_parts import check_rows, parts_of
from tests.reference.fuzz import Outcome, Seeded, outcome
from tests.reference.generate import Source, random_cut, random_program
from tests.reference.machine import run as run_reference
from tests.reference.program import Program, Result, Step, TaskSpec

leaving_out = partial(program, shootdown=Shootdown(DEFERRED))

LATE = 200_000
"""When all tasks have done what they do, and only compute."""


def on_a_steady_machine(program: Program) -> Program:
    """Return a program on CPUs that always run, as nothing else is quiet, and with rare ticks."""
    costs, host = program.costs, BARE_METAL if program.host.freezes else program.host
    if costs.latr is not None:  # else there are thousands of ticks
        costs = replace(costs, latr=replace(costs.latr, tick=LATE // 8 + costs.latr.tick))
    return replace(program, costs=costs, host=host, jitter=())


def busy_program(source: Source, max_cpus: int = 6) -> Program:
    """Return a random machine on which every CPU computes all the time, and calls now and then."""
    program = on_a_steady_machine(random_program(source, max_cpus))
    n_cpus = program.topology.n_cpus
    rare: list[Step] = [("irqs_off", 300), ("sleep", 200), ("flush_kernel", 10_000)]
    rare += [("invalidate", 1)] if program.costs.tlbi is not None else []
    call = source.choice(("flush_kernel", "flush_kernel", "free_tables"))
    percent = source.choice((5, 15, 40))
    pauses = source.choice(((1, 10, 100), (0, 1, 2), (100,)))

    def steps(cpu: int) -> tuple[Step, ...]:
        taken: list[Step] = []
        some = tuple(other for other in range(n_cpus) if other != cpu and source.chance(50))
        for _ in range(source.integer(0, 6)):
            taken.append(("compute", source.integer(0, 300) * source.choice(pauses)))
            often: Step = (call, source.integer(0, 2))
            seldom = source.choice([*rare, ("call", (1, some))])
            taken.append(seldom if source.chance(percent) else often)
        return (*taken, ("compute", LATE))

    tasks = [
        TaskSpec(cpu, number, 10 if source.chance(50) else 0, steps(cpu))
        for number, cpu in enumerate([*range(n_cpus), *([0] if source.chance(20) else [])])
    ]
    sched = replace(program.costs.sched, quantum=max(program.costs.sched.quantum, 500))
    costs = replace(program.costs, sched=sched)  # else most of it would be switches
    return replace(program, costs=costs, tasks=tuple(tasks))


def seeded(seed: int, number: int) -> Program:
    """Return one of the programs that are always the same."""
    return busy_program(Seeded([seed, number]))


@st.composite
def busy_programs(draw: st.DrawFn) -> Program:
    """Random programs of mostly quiet calls."""
    return busy_program(Drawn(draw), max_cpus=4)


def lone_program(source: Source, max_cpus: int = 5) -> Program:
    """Return a random machine of which one CPU does the same over and over, and others seldom do.

    So that nobody looks at a CPU for long to whom much has happened.
    """
    program = on_a_steady_machine(random_program(source, max_cpus))
    n_cpus = program.topology.n_cpus
    kinds = ["flush_kernel", "flush_kernel", "free_tables"]
    kinds += ["invalidate"] * 3 if program.costs.tlbi is not None else []
    event = (source.choice(kinds), source.choice((0, 1, 2, 34, 34)))
    pauses = source.choice(((0, 1), (1, 10, 100), (100, 300), (1000,), (1, 3000)))
    others = source.choice((0, 0, 5, 20))
    calls = source.integer(3, 14)

    def happens() -> Step:
        if source.chance(others):
            rare: tuple[Step, ...] = (("flush_kernel", 1), ("free_tables", 1), ("flush_own", 34))
            return source.choice((*rare, ("invalidate", 1)))
        return event

    def repeats() -> tuple[Step, ...]:
        steps: list[Step] = []
        for _ in range(calls):
            steps += [("compute", source.integer(0, 3) * source.choice(pauses)), happens()]
        return (*steps, ("compute", LATE))

    def computes() -> tuple[Step, ...]:
        kind = source.choice(("compute", "user", "user", "kernel"))
        taken: list[Step] = []
        for _ in range(source.choice((0, 0, 1, 4))):
            taken.append((kind, source.integer(0, 300) * source.choice(pauses)))
            taken += [("irqs_off", 0)] if source.chance(20) else []
        return (*taken, (kind, LATE))

    callers = [source.integer(0, n_cpus - 1) for _ in range(source.choice((1, 1, 1, 2)))]
    tasks = tuple(
        TaskSpec(cpu, cpu, source.choice((0, 1, 10)), repeats() if cpu in callers else computes())
        for cpu in range(n_cpus)
    )
    most = range(n_cpus) if source.chance(70) else [c for c in range(n_cpus) if source.chance(60)]
    sched = replace(program.costs.sched, quantum=LATE * 10)
    walk = source.integer(0, 3) * source.choice(pauses)  # a debt is paid before the next, or not
    tlb = replace(program.costs.tlb, walk=walk, entries=4, kernel_entries=source.integer(0, 3))
    costs = replace(program.costs, sched=sched, tlb=tlb)
    if costs.tlbi is not None and source.chance(50):  # CPUs stand still for long, or once for all
        share, recovery = source.choice((250_000, 1_000_000)), source.integer(0, 3)
        recovery *= source.choice(pauses)
        tlbi = replace(costs.tlbi, victim_share_ppm=share, recovery=recovery)
        costs = replace(costs, tlbi=tlbi)
    return replace(program, costs=costs, tasks=tasks, isolated=tuple(most))


@st.composite
def lone_programs(draw: st.DrawFn) -> Program:
    """Random programs in which much happens to CPUs at which nobody looks."""
    return lone_program(Drawn(draw), max_cpus=4)


def assert_nobody_can_tell(program: Program) -> Outcome:
    """Compare a program with the reference, watched and unwatched; return what the reference says.

    Unwatched, calls come without their acknowledgements.
    """
    expected = outcome(run_reference, program)
    assert outcome(run_fabric, program) == expected
    if not isinstance(expected, Result):
        assert outcome(run_unwatched, program) == expected
        return expected
    assert outcome(run_unwatched, program) == without_acks(expected)
    check_rows(program)
    assert unwatched_rows_of(program) == [row for row, _ in rows_of(program)]
    return expected


def without_acks(result: Result) -> Result:
    """Return a result that does not tell when calls were acknowledged."""
    return replace(result, calls=tuple(replace(call, acks={}) for call in result.calls))


many_programs = settings(
    max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


@pytest.mark.parametrize("seed", range(4))
def test_the_twins_agree_where_most_calls_are_quiet(seed: int) -> None:
    for number in range(20):
        program = seeded(seed, number)
        result = assert_nobody_can_tell(program)
        if isinstance(result, Result):
            assert_nobody_can_tell(random_cut(Seeded([seed, number, 1]), program, result))


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(busy_programs(), st.data())
def test_the_twins_agree_on_any_program_of_mostly_quiet_calls(
    program: Program, data: st.DataObject
) -> None:
    result = outcome(run_reference, program)
    if isinstance(result, Result) and data.draw(st.booleans()):
        program = cuts(data, program, result)
    assert_nobody_can_tell(program)


@settings(
    max_examples=100, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(lone_programs(), st.data())
def test_the_twins_agree_where_nobody_looks_at_a_cpu_for_long(
    program: Program, data: st.DataObject
) -> None:
    result = outcome(run_reference, program)
    if isinstance(result, Result) and data.draw(st.booleans()):
        program = cuts(data, program, result)
    assert_nobody_can_tell(program)


def test_accounts_read_in_the_middle_are_right_and_change_nothing() -> None:
    for number in range(6):
        program = seeded(7, number)
        result = outcome(run_reference, program)
        if not isinstance(result, Result):
            continue
        handled = sorted({ack for call in result.calls for ack in call.acks.values()})
        instants = [*handled[:: max(1, len(handled) // 8)], result.end]
        expected = [run_reference(replace(program, duration=at)).cpus for at in instants]
        assert accounts_at(program, instants) == expected


def plainly(calls: WholeCalls) -> dict[str, object]:
    """Return all that is kept of some calls as lists, which compare."""
    row = {name: column.tolist() for name, column in calls.row.items()}
    names = [field.name for field in fields(WholeCalls) if field.name != "row"]
    return {"row": row, **{name: getattr(calls, name).tolist() for name in names}}


def test_calls_that_are_kept_are_the_same_where_nobody_looks() -> None:
    for number in range(12):
        program = seeded(5, number)
        if not isinstance(outcome(run_reference, program), Result):
            continue
        watched, unwatched = kept_of(program), kept_of(program, watched=False)
        assert watched.keys() == unwatched.keys()
        for name, calls in watched.items():
            assert plainly(calls) == plainly(unwatched[name])


def test_every_acknowledgement_in_the_detail_is_the_reference_s() -> None:
    for number in range(12):
        program = seeded(6, number)
        result = outcome(run_reference, program)
        if not isinstance(result, Result):
            continue
        kept, _ = detail_of(program, watched=False)
        told = zip(kept.targets("cpu"), kept.targets("ack"), strict=True)
        assert sorted(told) == sorted(ack for call in result.calls for ack in call.acks.items())


def test_calls_to_everybody_while_all_compute_are_quiet() -> None:
    events = [int(machine_of(seeded(9, n)).fabric.state[layout.QUIET_CALLS]) for n in range(60)]
    quiet = [count % layout.TICKS for count in events]
    assert sum(quiet) > 100
    assert sum(count > 2 for count in quiet) > 10


def test_calls_that_leave_some_out_while_all_compute_are_quiet() -> None:
    # CPU 0 calls four times. CPU 1 is in user mode and left out (5), CPU 2 is not (100): its
    # interrupt comes 1105 after the call, and its handler lasts 100. All is over before the next.
    calls = on(0, *[compute(1000), flush_kernel(0)] * 4, compute(1000))
    tasks = (calls, on(1, ("user", 20_000)), on(2, compute(20_000)))
    some = leaving_out(*tasks, isolated=(1, 2))
    assert_nobody_can_tell(some)
    machine = machine_of(some)
    assert machine.fabric.state[layout.QUIET_CALLS] == 4
    result = run_unwatched(some)
    assert call_times(result) == [(1000 + k * 2155, 1000 + k * 2155 + 1155) for k in range(4)]
    assert [call.gone for call in result.calls] == [20_070] * 4
    assert [cpu.handlers for cpu in result.cpus] == [0, 0, 4]


# By hand, on the plain machine: CPU 0 calls at 1000, of three. The interrupts arrive at
# 1000 + 2 * 100 + 1000 = 2200; a handler lasts 100 and ten a page.

EITHER = pytest.mark.parametrize("run", [run_reference, run_fabric, run_unwatched])
Run = Callable[[Program], Result]

CALL_AT_1000 = on(0, compute(1000), flush_kernel(0))
COMPUTES = on(1, compute(10_000))


def ends_of(result: Result) -> list[int]:
    return [call.end for call in result.calls]


@EITHER
def test_a_window_that_begins_after_the_call_holds_its_handler_off(run: Run) -> None:
    result = run(program(CALL_AT_1000, COMPUTES, on(2, compute(1500), irqs_off(1500))))
    assert ends_of(result) == [3050]
    assert result.task_ends == {0: 3050, 1: 10_100, 2: 3100}


@EITHER
def test_a_window_that_ends_as_the_interrupt_arrives_does_not(run: Run) -> None:
    result = run(program(CALL_AT_1000, COMPUTES, on(2, compute(1500), irqs_off(700))))
    assert ends_of(result) == [2250]
    assert result.task_ends == {0: 2250, 1: 10_100, 2: 2300}


@EITHER
@pytest.mark.parametrize(("leaves", "end", "gone"), [(2199, 2650, 2199), (2200, 2250, 2300)])
def test_a_cpu_is_idle_for_a_call_only_before_the_interrupt_arrives(
    run: Run, leaves: int, end: int, gone: int
) -> None:
    last = on(2, compute(leaves))
    result = run(program(CALL_AT_1000, COMPUTES, last, idle=[(0, 400)]))
    assert ends_of(result) == [end]
    assert result.task_ends[2] == gone


@EITHER
def test_a_cpu_that_sleeps_and_wakes_before_the_interrupt_has_left_idleness(run: Run) -> None:
    sleeper = on(2, compute(1100), sleep(500), compute(5000))
    result = run(program(CALL_AT_1000, COMPUTES, sleeper, idle=[(0, 400)]))
    assert ends_of(result) == [2250]
    assert result.task_ends[2] == 1100 + 500 + 400 + 5000 + 100


@EITHER
def test_calls_that_begin_at_one_instant_share_a_handler(run: Run) -> None:
    both = [on(cpu, compute(1000), flush_kernel(1)) for cpu in (0, 1)]
    result = run(program(*both, on(2, compute(10_000))))
    assert ends_of(result) == [2310, 2310]  # each at its own handler's end
    assert [cpu.handlers for cpu in result.cpus] == [1, 1, 1]
    assert [cpu.stolen for cpu in result.cpus] == [110, 110, 120]


@EITHER
@pytest.mark.parametrize(
    ("duration", "handlers", "stolen"),
    [
        (30_000, 3, 370),
        (14_000, 3, 330),  # 110 into the third, that began at 13,890
        (13_900, 3, 230),
        (13_890, 2, 220),
        (13_889, 2, 220),
        (8_050, 2, 210),  # 110 into the second, that began at 7,940
    ],
)
def test_what_several_calls_have_stolen_adds_up(
    run: Run, duration: int, handlers: int, stolen: int
) -> None:
    # Calls at 1000, 6740 and 12,690: each takes 1250 and its function, 0, 20 and 50.
    steps = [compute(1000), flush_kernel(0), compute(4490), flush_kernel(2), compute(4680)]
    caller = on(0, *steps, flush_kernel(5))
    result = run(program(caller, *[on(cpu, compute(25_000)) for cpu in (1, 2)], duration=duration))
    assert (result.cpus[2].handlers, result.cpus[2].stolen) == (handlers, stolen)
    if duration == 30_000:
        assert result.task_ends[2] == 25_370


def test_a_call_that_begins_while_the_answers_to_another_are_read_leaves_that_alone() -> None:
    # CPU 0 calls at 5000: the handlers are over at 6300, the answers are read until 7250.
    # CPU 1 has called before, from 100 to 2350, and calls again at 6500.
    reader = on(0, compute(4900), flush_kernel(0))
    other = on(1, compute(100), flush_kernel(0), compute(4050), flush_kernel(3))
    both = program(reader, other, on(2, compute(10_000)), line=500)
    assert_nobody_can_tell(both)
    result = run_fabric(both)
    assert call_times(result) == [(100, 2350), (5000, 7250), (6500, 8780)]
    assert [call.acks for call in result.calls] == [
        {0: 1350, 2: 1350},
        {1: 6250, 2: 6250},
        {0: 7780, 2: 7780},
    ]


@EITHER
def test_a_cpu_that_is_idle_as_the_call_begins_answers_when_it_is_awake(run: Run) -> None:
    idle = on(2, compute(900))
    result = run(program(CALL_AT_1000, COMPUTES, idle, idle=[(0, 400)]))
    assert ends_of(result) == [2650]
    assert result.cpus[2].stolen == 500


@EITHER
def test_a_window_that_is_open_as_the_call_begins_holds_its_handler_off(run: Run) -> None:
    result = run(program(CALL_AT_1000, COMPUTES, on(2, compute(900), irqs_off(1301))))
    assert ends_of(result) == [2251]


@EITHER
def test_a_call_that_begins_before_the_handlers_of_another_are_over_waits_for_them(
    run: Run,
) -> None:
    again = on(0, compute(1000), flush_kernel(0), flush_kernel(0))
    result = run(program(again, COMPUTES, on(2, compute(10_000)), exit=5000))
    assert ends_of(result) == [2250, 7300]  # the first handlers are over at 7250
    assert result.cpus[2].handlers == 2


@EITHER
def test_functions_that_run_on_after_their_acknowledgement_hold_the_next_call_off(
    run: Run,
) -> None:
    again = on(0, compute(1000), empty(5000), empty(5000))
    at_entry = with_options(IPI, {"ack": "entry"})
    both = program(again, COMPUTES, on(2, compute(10_000)), order="serial", shootdown=at_entry)
    result = run(both)
    # The initiator's own function runs from 2250 to 7250; the targets' are over at 7300.
    assert ends_of(result) == [7250, 7250 + 1250 + 5000]
    assert result.cpus[2].stolen == 2 * 5100


@EITHER
def test_a_call_on_some_cpus_leaves_the_others_alone(run: Run) -> None:
    caller = on(0, compute(1000), flush_kernel(0), compute(1000), call(1), compute(100))
    result = run(program(caller, COMPUTES, on(2, compute(10_000))))
    assert [cpu.handlers for cpu in result.cpus] == [0, 2, 1]
    assert result.task_ends == {0: 2250 + 1000 + 1150 + 100, 1: 10_200, 2: 10_100}


def test_a_call_on_some_cpus_between_two_on_all_leaves_the_second_as_it_was() -> None:
    steps = [compute(1000), flush_kernel(0), compute(1000), call(1), compute(100), flush_kernel(0)]
    others = [on(cpu, compute(10_000)) for cpu in (1, 2)]
    between = program(on(0, *steps), *others, send=30, line=20)
    assert_nobody_can_tell(between)
    first, _, second = run_fabric(between).calls
    after = second.start - first.start
    assert second.acks == {cpu: ack + after for cpu, ack in first.acks.items()}


@EITHER
def test_a_full_flush_of_all_leaves_a_debt_on_each_target(run: Run) -> None:
    flushes = on(0, compute(1000), flush_kernel(34))
    owes = on(2, compute(10_000), working_set=10)
    result = run(program(flushes, COMPUTES, owes, walk=7))
    assert result.cpus[2].refill == 70
    assert result.task_ends == {0: 2250, 1: 10_100, 2: 10_170}


@EITHER
def test_deliveries_that_jitter_differ_from_target_to_target(run: Run) -> None:
    result = run(program(CALL_AT_1000, COMPUTES, on(2, compute(10_000)), jitter=(0, 700)))
    assert ends_of(result) == [2950]


def test_rows_of_calls_that_are_alike_have_the_same_parts_where_nobody_looks() -> None:
    # CPU 1 tells 0 and 2: the latter last, in a group of its own.
    like = [compute(1000), flush_kernel(3)] * 4
    rows = unwatched_rows_of(
        program(on(0, compute(9000)), on(1, *like), on(2, compute(9000)), send=7)
    )
    parts = {"queue_ps": 200, "send_ps": 14, "delivery_ps": 1000, "entry_ps": 50, "function_ps": 30}
    assert [(row["slowest_cpu"], parts_of(row)) for row in rows] == [(2, parts)] * 4


@pytest.mark.parametrize("fanout", [1, 2, 3, 4])
@pytest.mark.parametrize("caller", range(5))
def test_groups_of_quiet_calls_are_sent_to_one_after_the_other(fanout: int, caller: int) -> None:
    tasks = [on(cpu, compute(9000)) for cpu in range(5) if cpu != caller]
    caller_task = on(caller, *[compute(1000), flush_kernel(3)] * 2)
    assert_nobody_can_tell(program(*tasks, caller_task, cpus=5, send=7, fanout=fanout))


@EITHER
def test_a_call_before_page_tables_are_freed_is_acknowledged_at_its_end(run: Run) -> None:
    frees: Step = ("free_tables", 5)
    caller = on(0, compute(1000), frees, compute(1000), flush_kernel(5))
    at_entry = with_options(IPI, {"ack": "entry"})
    result = run(program(caller, COMPUTES, on(2, compute(10_000)), shootdown=at_entry))
    assert ends_of(result) == [2300, 3300 + 1250]


@EITHER
def test_a_cpu_without_tasks_is_idle(run: Run) -> None:
    result = run(program(CALL_AT_1000, COMPUTES, cpus=3, idle=[(0, 400)]))
    assert ends_of(result) == [2650]


@EITHER
def test_a_cpu_that_wakes_as_the_call_begins_answers_when_it_is_awake(run: Run) -> None:
    wakes = on(2, compute(100), sleep(800), compute(10_000))
    result = run(program(CALL_AT_1000, COMPUTES, wakes, idle=[(0, 5000)]))
    assert ends_of(result) == [5950]  # it wakes from 900 to 5900
    assert result.task_ends[2] == 5900 + 100 + 10_000


# What makes a handler that is still to come end later, of calls on some CPUs: each of them holds a
# call on all off.


@EITHER
def test_a_call_on_all_waits_for_the_handler_of_a_call_on_one(run: Run) -> None:
    caller = on(0, compute(1000), call(2), flush_kernel(0))
    result = run(program(caller, COMPUTES, on(2, compute(10_000)), exit=5000))
    assert ends_of(result) == [2150, 7200]


@EITHER
def test_a_call_on_all_waits_for_a_handler_that_has_taken_a_second_call(run: Run) -> None:
    # On CPU 2 the handler begins at 2100 and takes both: 3000 for the second, over at 10,150.
    first = on(0, compute(1000), call(2), compute(20_000))
    second = on(1, compute(1000), call(2, pages=30), compute(3000), flush_kernel(0))
    both = program(first, second, on(2, compute(10_000)), exit=5000, invlpg=100)
    assert call_times(run(both)) == [(1000, 2150), (1000, 5150), (8150, 10_200)]


@EITHER
def test_a_call_on_all_waits_for_a_handler_that_a_window_has_held_off(run: Run) -> None:
    caller = on(0, compute(1000), call(2), compute(2500), flush_kernel(0))
    held_off = on(2, compute(1500), irqs_off(3500), compute(10_000))
    result = run(program(caller, COMPUTES, held_off, exit=5000))
    assert ends_of(result) == [5050, 10_100]  # the first handler lasts from 5000 to 10,050


@EITHER
def test_a_debt_from_before_a_call_is_still_owed_after_it(run: Run) -> None:
    flushes = [step for pages in (0, 34, 0) for step in (compute(1000), flush_kernel(pages))]
    owes = on(2, compute(10_000), working_set=10)
    result = run(program(on(0, *flushes), COMPUTES, owes, walk=7))
    assert result.task_ends == {0: 3 * 2250, 1: 10_300, 2: 10_370}


@EITHER
@pytest.mark.parametrize(
    ("duration", "handlers", "stolen"),
    [(8900, 3, 300), (8950, 3, 300), (8970, 4, 320), (9000, 4, 350), (9050, 4, 400)],
)
def test_calls_that_are_alike_add_up_on_cpus_that_nobody_has_looked_at(
    run: Run, duration: int, handlers: int, stolen: int
) -> None:
    # The first is kept whole, the others are not. The fourth is told at 7750, and comes at 8950.
    alike = on(0, *[compute(1000), flush_kernel(0)] * 4)
    result = run(program(alike, COMPUTES, on(2, compute(10_000)), duration=duration))
    assert [cpu.handlers for cpu in result.cpus] == [0, handlers, handlers]
    assert [cpu.stolen for cpu in result.cpus] == [0, stolen, stolen]


def test_a_call_that_leaves_nobody_out_between_two_that_do_leaves_the_second_as_it_was() -> None:
    # CPU 3 is in user mode and left out of the first and third call, but not of the second, which
    # meets a window: it begins at 3255, reaches all at 4555, and CPU 3's handler takes it at 4675.
    calls = [flush_kernel(0), compute(1000), ("free_tables", 0), compute(1000), flush_kernel(0)]
    window = on(2, compute(3100), irqs_off(200), compute(20_000))
    user = on(3, ("user", 20_000))
    caller = on(0, compute(1000), *calls)
    between = leaving_out(caller, on(1, compute(20_000)), window, user, isolated=(3,))
    assert_nobody_can_tell(between)
    result = run_fabric(between)
    assert call_times(result) == [(1000, 2255), (3255, 4675), (5675, 6930)]
    assert [call.acks for call in result.calls] == [
        {1: 2255, 2: 2255},
        {1: 4605, 2: 4605, 3: 4675},
        {1: 6930, 2: 6930},
    ]
    assert [call.gone for call in result.calls] == [4675, 4675, 20_000 + 170 + 70]


# What drawn programs hardly ever meet: that it matters whether a debt has been paid in full, in how
# long a service that follows upon another, and at which instant a call was left to somebody.


@EITHER
@pytest.mark.parametrize("walk", [2150, 2151, 2220])
def test_a_debt_is_paid_only_in_what_an_entry_from_user_mode_leaves(run: Run, walk: int) -> None:
    # A call takes 1000 + 1320: 100 of it are its handler, 70 the entry. So CPU 2 has 2150 between
    # two flushes for a debt of one entry; what is left of it is dropped with the rest.
    calls = on(0, *[compute(1000), ("free_tables", 34)] * 5)
    owes = [on(cpu, ("user", 30_000), working_set=1) for cpu in (1, 2)]
    result = run(leaving_out(calls, *owes, walk=walk, isolated=(1, 2)))
    assert [call.end - call.start for call in result.calls] == [1320] * 5
    assert [cpu.refill for cpu in result.cpus] == [0, 4 * 2150 + walk, 4 * 2150 + walk]


@EITHER
def test_services_that_follow_fast_take_less_of_what_has_just_begun(run: Run) -> None:
    # CPU 1 begins 50 before the first service of 300 ends, and loses all of what it has done in
    # each, and of the recovery: 50 + 300 and 200 + 200. It has still to stand for 50 of that when
    # the third ends, of which it loses the 200 that it had done, and 50; then 250 + 50, 300 + 50,
    # and 300 + 300 where much has been done meanwhile.
    pauses = (1000, 200, 50, 50, 50, 1000)
    services = [step for pause in pauses for step in (compute(pause), invalidate(1))]
    costs = tlbi(share=1_000_000, recovery=300, round_trip=0)
    result = run(program(on(0, *services), on(1, irqs_off(1250), compute(5000)), tlbi=costs))
    assert result.cpus[1].stolen == 350 + 400 + 250 + 300 + 350 + 600
    assert result.task_ends[1] == 1250 + 5000 + 2250


@EITHER
def test_a_long_service_takes_no_more_than_a_compute_has_done_before_it_ends(run: Run) -> None:
    # Services of 300 end at 1300 and 2600, with a recovery of 1000 each: CPU 1 has begun at 1290,
    # and loses 10 + 1000 and 300 + 1000. One of 9900 ends at 12,500: by then it has done
    # 12,500 - 1290 - 2310, and loses that. Of three more, far apart, each takes all of 1300.
    steps = [compute(1000), invalidate(1), compute(1000), invalidate(1), invalidate(97)]
    costs = tlbi(share=1_000_000, recovery=1000, round_trip=0)
    caller = on(0, *steps, *[compute(20_000), invalidate(1)] * 3)
    result = run(program(caller, on(1, irqs_off(1290), compute(100_000)), tlbi=costs))
    lost = 1010 + 1300 + 8900 + 3 * 1300
    assert result.cpus[1].stolen == lost
    assert result.task_ends[1] == 1290 + 100_000 + lost


@EITHER
def test_what_is_left_to_a_cpu_as_it_drops_everything_waits_for_its_next_entry(run: Run) -> None:
    # Calls at 1000, and twice at 2000, when CPU 1 enters after CPU 0's step: no call takes time.
    calls = on(0, compute(1000), flush_kernel(0), compute(1000), *[flush_kernel(0)] * 2)
    user = on(1, ("user", 2000), compute(10), ("user", 500), compute(10))
    at_once = DeferredCosts(check=0, entry_flush=0)
    result = run(leaving_out(calls, user, isolated=(1,), deferred=at_once))
    assert call_times(result) == [(1000, 1000), (2000, 2000), (2000, 2000)]
    assert [call.gone for call in result.calls] == [2000, 2510, 2510]


@EITHER
def test_flushes_of_user_space_leave_a_debt_of_the_kernel_s_work_as_it_is(run: Run) -> None:
    # CPU 2 has been paying a debt of 10,000 since 2200, but for four handlers, when it is cut.
    calls = on(0, compute(1000), flush_kernel(34), *[compute(1000), ("flush_user", 34)] * 4)
    others = [on(cpu, ("kernel", 50_000)) for cpu in (1, 2)]
    whole = program(calls, *others, walk=10_000, kernel_entries=1)
    cut = run(replace(whole, duration=11_000))
    assert cut.cpus[2].refill == 11_000 - 2200 - 4 * 100
    assert run(whole).task_ends[2] == 50_000 + 10_000 + 5 * 100


@EITHER
def test_a_cpu_that_stands_still_goes_on_standing_through_services_that_are_alike(run: Run) -> None:
    # The first service ends at 15,010 and has CPU 1 stand still for 10,010; the others take 10.
    services = [step for _ in range(5) for step in (compute(100), invalidate(1))]
    costs = tlbi(share=1_000_000, operation=0, everything=10_000, barrier=10, round_trip=0)
    caller = on(0, compute(5000), invalidate(0), *services)
    result = run(program(caller, on(1, compute(50_000)), tlbi=costs, duration=16_000))
    assert (result.cpus[1].busy, result.cpus[1].stolen) == (15_010, 990)


@EITHER
def test_a_cpu_that_stands_still_pays_nothing_between_flushes(run: Run) -> None:
    # CPU 2 owes 500 at 15,010 and stands still for 10,010 then, while four handlers empty its TLB.
    flushes = [step for _ in range(4) for step in (compute(1000), flush_kernel(34))]
    costs = tlbi(share=1_000_000, operation=0, everything=10_000, barrier=10, round_trip=0)
    caller = on(0, compute(5000), invalidate(0), *flushes)
    others = [on(cpu, compute(50_000), working_set=1) for cpu in (1, 2)]
    result = run(program(caller, *others, tlbi=costs, walk=500))
    assert result.task_ends == {0: 15_010 + 4 * 2250, 1: 60_910, 2: 60_910}
    assert result.cpus[2].refill == 500


MANY = layout.RECORDS + 50
"""Events that are more than there are records for."""


def test_more_calls_that_leave_debts_than_are_written_down_at_once_add_up() -> None:
    # A call takes 1000 + 1250, 100 of it the handler: 2150 of each debt of 3000 are paid.
    calls = on(0, *[compute(1000), flush_kernel(34)] * MANY)
    owes = [on(cpu, compute(MANY * 3000), working_set=1) for cpu in (1, 2)]
    result = run_unwatched(program(calls, *owes, walk=3000))
    assert result.task_ends[0] == MANY * 2250
    assert [cpu.refill for cpu in result.cpus] == [0, *[(MANY - 1) * 2150 + 3000] * 2]
    assert [cpu.handlers for cpu in result.cpus] == [0, MANY, MANY]


def test_more_services_than_are_written_down_at_once_add_up() -> None:
    # Each takes 300, of which others lose a quarter, and 1000 until the answers are there.
    calls = on(0, *[compute(1000), invalidate(1)] * MANY)
    result = run_unwatched(program(calls, on(1, compute(MANY * 3000)), on(2)))
    assert result.task_ends[0] == MANY * 2300
    assert [cpu.stolen for cpu in result.cpus] == [0, MANY * 75, 0]
