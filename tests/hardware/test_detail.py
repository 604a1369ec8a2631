"""Of a part of a run everything is kept: it is what the reference says, and the accounts agree."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, assume, given, settings

from pmsim.errors import DeadlockError, ProgramError
from pmsim.hardware import fabric
from pmsim.hardware.fabric import SlowestReason
from tests.hardware.adapters import Kept, detail_of
from tests.hardware.machines import call, compute, irqs_off, on, program
from tests.hardware.strategies import programs
from tests.reference.cpu import Handled
from tests.reference.machine import ReferenceMachine
from tests.reference.program import Program, Result

MANY = settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])


def whole(program: Program) -> tuple[Kept, Result, ReferenceMachine]:
    """Run a program on both, to its end; pass over those that break a rule."""
    reference = ReferenceMachine(program)
    try:
        reference.run()
    except (ProgramError, DeadlockError):
        assume(False)
    return *detail_of(program), reference


def handlers_of(kept: Kept, n_cpus: int) -> list[list[Handled]]:
    """Put the calls that one handler took together, in the order of their functions."""
    taken: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
    initiators = [
        initiator for one in kept.pieces for initiator in one.row["cpu"][one.call].tolist()
    ]
    columns = (kept.targets(name) for name in ("cpu", "handler", "ack", "exit"))
    for initiator, cpu, start, ack, end in zip(initiators, *columns, strict=True):
        taken[cpu, start].append((ack, end, initiator))
    found: list[list[Handled]] = [[] for _ in range(n_cpus)]
    for (cpu, start), calls in sorted(taken.items()):
        # Of functions that take no time, the lower initiator's came first.
        ends = [end for _, end, _ in calls]
        found[cpu].append(Handled(start, max(ends), tuple(i for _, _, i in sorted(calls))))
    return found


@MANY
@given(programs())
def test_handlers_are_those_of_the_reference_with_their_calls(program: Program) -> None:
    assume(program.duration is None)
    assume(not program.host.pv_flush)  # who drops within a handler ends it later than is kept
    assume(program.ticks is None)  # a tick's handler is that of no call
    kept, result, reference = whole(program)
    found = handlers_of(kept, program.topology.n_cpus)
    for cpu, ours in zip(reference.cpus, found, strict=True):
        theirs = [one._replace(initiators=tuple(sorted(one.initiators))) for one in cpu.handled]
        assert [one._replace(initiators=tuple(sorted(one.initiators))) for one in ours] == theirs
    assert [len(one) for one in found] == [account.handlers for account in result.cpus]


@MANY
@given(programs())
def test_interrupts_are_off_in_windows_and_while_calls_begin(program: Program) -> None:
    assume(program.duration is None and program.shootdown.protocol.held_off)
    # A note is written with interrupts off, which is kept with its shootdown alone.
    assume(program.ticks is None or program.shootdown.protocol.own is None)
    deferring = program.isolated and program.drops_on_entry
    assume(not deferring)  # what they spend as they enter the kernel is kept nowhere
    assume(not program.host.freezes)  # windows of frozen CPUs last longer than these have them
    kept, result, reference = whole(program)
    off = [0] * program.topology.n_cpus
    for one in kept.waits:
        if one.kind == "irqs_off":
            off[one.cpu] += one.end_ps - one.start_ps
    for one in kept.pieces:
        held = one.sent - one.begun + one.own_end - one.own_start
        for cpu, ps in zip(one.row["cpu"], held, strict=True):
            off[cpu] += int(ps)
        # Between waits for data of calls before, interrupts are off as some targets are queued.
        for number, queued in zip(one.call, one.queued, strict=True):
            if queued <= one.begun[number]:
                off[one.row["cpu"][number]] += program.call_costs.queue
    # nobody called: the function alone, which is kept nowhere
    if program.shootdown.protocol.own is None:
        assume(all(one.acks or one.served is not None for one in result.calls))
    else:
        assume(all(call.targets for _, call in reference.made))
    assert off == [account.irqs_off for account in result.cpus]


def test_every_target_of_a_call_is_kept_with_what_it_waited_for() -> None:
    # CPU 0 calls at 2000: in the queues at 2100, 2200 and 2300, there at 3300; CPU 2 has its
    # interrupts off until 9000. Each function costs 30.
    kept, _ = detail_of(
        program(
            on(0, compute(2000), call(1, 2, 3, pages=3)),
            on(1, compute(9000)),
            on(2, irqs_off(9000)),
            on(3, compute(9000)),
        )
    )
    assert kept.targets("cpu") == [1, 2, 3]
    assert kept.targets("queued") == [2100, 2200, 2300]
    assert kept.targets("handler") == [3300, 9000, 3300]
    assert kept.targets("ack") == [3380, 9080, 3380]
    assert kept.targets("exit") == [3430, 9130, 3430]
    assert kept.targets("reason") == [
        SlowestReason.DISTANCE, SlowestReason.IRQS_OFF, SlowestReason.DISTANCE,
    ]  # fmt: skip
    assert [tuple(one) for one in kept.waits] == [(2, 2, "task2", "irqs_off", None, 0, 9000)]


def test_a_task_waits_from_asking_for_a_lock_to_its_next_step() -> None:
    # CPU 0 holds both from the start: the mutex until 3000, the spinlock until 5000. A cache line
    # takes 7 from CPU to CPU, waking up 200.
    holder = on(
        0, ("mutex_lock", 0), ("spin_lock", 0), compute(3000), ("spin_unlock", 0),
        compute(2000), ("mutex_unlock", 0),
    )  # fmt: skip
    spinner = on(1, compute(500), ("spin_lock", 0), ("spin_unlock", 0))
    other = on(2, compute(600), ("mutex_lock", 0), ("mutex_unlock", 0), ("sleep", 40), ("sleep", 0))
    tasks = holder, spinner, other
    kept, _ = detail_of(program(*tasks, line=7, wakeup=200))
    assert [tuple(one)[3:] for one in kept.waits] == [
        ("spinlock", "spinlock 0", 500, 3007),
        ("mutex_spin", "mutex 0", 600, 5007),
        ("sleep", None, 5007, 5047),
    ]
    kept, _ = detail_of(program(*tasks, line=7, wakeup=200, mutex="sleeping"))
    assert [tuple(one)[3:] for one in kept.waits] == [
        ("spinlock", "spinlock 0", 500, 3007),
        ("mutex", "mutex 0", 600, 5200),
        ("sleep", None, 5200, 5240),
    ]


def test_who_stops_spinning_for_a_mutex_waits_for_it_in_two_stretches() -> None:
    # CPU 1 asks at 600; the owner sleeps at 3000 and releases it at 4000.
    holder = on(0, ("mutex_lock", 0), compute(3000), ("sleep", 1000), ("mutex_unlock", 0))
    other = on(1, compute(600), ("mutex_lock", 0), ("mutex_unlock", 0))
    kept, _ = detail_of(program(holder, other, wakeup=200))
    assert [tuple(one)[3:] for one in kept.waits if one.cpu == 1] == [
        ("mutex_spin", "mutex 0", 600, 3000),
        ("mutex", "mutex 0", 3000, 4200),
    ]


def test_only_what_begins_in_the_part_is_kept() -> None:
    steps = (compute(1000), irqs_off(10), call(1))  # each round takes 2160
    both = program(on(0, *steps, *steps, *steps), on(1, compute(20_000)))
    all_of_it, _ = detail_of(both)
    starts = all_of_it.row("start_ps")
    assert len(starts) == len(all_of_it.waits) == 3
    kept, _ = detail_of(both, starts[1], starts[2])
    assert kept.row("start_ps") == [starts[1]]
    assert [one.start_ps for one in kept.waits] == [all_of_it.waits[2].start_ps]


def test_a_part_holds_its_first_instant_and_not_its_last() -> None:
    steps = (compute(1000), irqs_off(10), call(1))
    both = program(on(0, *steps, *steps, *steps), on(1, compute(20_000)))
    all_of_it, _ = detail_of(both)
    windows = [one.start_ps for one in all_of_it.waits]
    calls = all_of_it.row("start_ps")
    kept, _ = detail_of(both, windows[0], windows[2])
    assert [one.start_ps for one in kept.waits] == windows[:2]
    assert kept.row("start_ps") == calls[:2]
    kept, _ = detail_of(both, calls[0], calls[2])
    assert kept.row("start_ps") == calls[:2]
    assert [one.start_ps for one in kept.waits] == windows[1:]


def test_beyond_its_room_nothing_is_kept_and_it_is_said_from_when_on() -> None:
    steps = (irqs_off(10), call(1, 2)) * 3
    both = program(on(0, *steps), on(1, compute(20_000)), on(2, compute(20_000)))
    everything, _ = detail_of(both)
    ends = everything.row("end_ps")
    kept, _ = detail_of(both, most=5)
    assert kept.row("end_ps") == ends[:2]
    assert kept.detail is not None
    assert (kept.detail.calls, kept.detail.targets, kept.detail.stretches) == (2, 4, 3)
    assert kept.detail.cut_ps == ends[2]
    kept, _ = detail_of(both, most=2)
    assert kept.detail is not None
    assert (kept.detail.calls, kept.detail.stretches) == (1, 2)
    assert kept.detail.cut_ps == ends[1]
    assert everything.detail is not None
    assert everything.detail.cut_ps is None


def test_what_is_kept_is_handed_over_before_the_buffer_is_full(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fabric, "DETAIL_CAPACITY", 5)
    many = program(on(0, *[call(1, 2)] * 20), on(1, compute(50_000)), on(2, compute(50_000)))
    kept, result = detail_of(many)
    assert max(len(one.call) for one in kept.pieces) <= 8
    assert len(kept.pieces) > 3
    assert kept.row("end_ps") == [one.end for one in result.calls]
    assert kept.targets("cpu") == [1, 2] * 20
