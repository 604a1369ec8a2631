"""What is longer than any run, and what takes many looks: the machine bears it, and tells of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pmsim.constants import LONGEST_ACT
from pmsim.errors import AccountingError, ProgramError
from pmsim.hardware import clock
from pmsim.hardware.costs import Jitter
from pmsim.hardware.machine import Machine
from pmsim.hardware.passes import layout
from pmsim.hardware.shootdown.tlbi import invalidate_all
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import CallKind, FlushFunction, flush, full_flush
from pmsim.hardware.topology import Topology
from pmsim.steps import Steps
from pmsim.units import LONGEST_RUN, US
from tests.hardware.machines import costs, same_everywhere, tlbi

FOREVER = same_everywhere(LONGEST_ACT)


def test_a_window_longer_than_any_run_holds_a_call_off_for_all_of_it() -> None:
    one = Machine(Topology(cores=2), costs())
    reached: list[int] = []

    def holds_off(task: Task) -> Steps:
        yield from task.compute(7)
        yield from task.irqs_off(10 * LONGEST_RUN)

    def calls(task: Task) -> Steps:
        yield from task.compute(5)
        yield from task.cross_call(flush(one.costs.tlb, 1, 33))
        reached.append(task.now)

    one.spawn(0, calls)
    one.spawn(1, holds_off)
    one.run(LONGEST_RUN)
    assert reached == []
    accounts = one.accounts()
    # 5 of computing, 100 of queueing and 10 of its own flush with interrupts off; it spins since.
    assert accounts["spin_ps"].tolist() == [LONGEST_RUN - 115, 0]
    assert accounts["irqs_off_ps"].tolist() == [110, LONGEST_RUN - 7]


@pytest.mark.parametrize("times", [1, 40])
def test_sleepers_of_longer_than_any_run_never_wake(times: int) -> None:
    one = Machine(Topology(cores=1), costs())
    woke: list[int] = []

    def sleeper(task: Task) -> Steps:
        yield from task.sleep(times * LONGEST_RUN)
        woke.append(task.now)

    for _ in range(3):
        one.spawn(0, sleeper)
    one.run(LONGEST_RUN)
    assert woke == []
    assert one.accounts()["idle_ps"].tolist() == [LONGEST_RUN]


def test_the_calendar_comes_back_to_python_in_the_middle_of_many_looks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    timers = 2 * layout.MOST_LOOKS
    one = Machine(Topology(cores=1), costs(), max_tasks=timers + 1)
    returned, woke = [], []
    act = clock.act
    monkeypatch.setattr(clock, "act", lambda *a: returned.append(act(*a)) or returned[-1])

    def computes(task: Task) -> Steps:
        yield from task.compute((timers + 1) * US)

    def sleeps(task: Task) -> Steps:
        yield from task.sleep((1 + task.number) * US)
        woke.append(task.number)

    for _ in range(timers):
        one.spawn(0, sleeps)
    one.spawn(0, computes)
    # Each timer is a look at least, while the CPU computes; whoever woke waits for its end.
    end = one.run()
    assert woke == list(range(timers))
    assert end == (timers + 1) * US
    assert returned.count(layout.GO_ON) >= 2


def test_an_account_with_a_negative_part_is_an_error_even_if_it_adds_up() -> None:
    one = Machine(Topology(cores=1), costs())
    one.spawn(0, lambda task: task.compute(100))
    one.run()
    one.fabric.state[layout.HEADER + layout.SPIN] -= 4
    one.fabric.state[layout.HEADER + layout.BUSY] += 4
    with pytest.raises(AccountingError, match=r"CPU 0's time does not add up: .*spin_ps -4"):
        one.accounts()


def test_a_run_does_not_go_back_in_time() -> None:
    one = Machine(Topology(cores=1), costs())
    one.run(100)
    with pytest.raises(ProgramError, match=r"a run to 99 ps: it can end at 100 to "):
        one.run(99)
    with pytest.raises(ProgramError, match=f"to {LONGEST_RUN} ps"):
        one.run(LONGEST_RUN + 1)


def test_a_function_of_a_negative_length_is_refused() -> None:
    with pytest.raises(ProgramError, match="negative"):
        FlushFunction(CallKind.RANGE, -1)


AT_MOST: dict[str, Any] = {
    "queue": LONGEST_ACT,
    "send": LONGEST_ACT,
    "entry": LONGEST_ACT,
    "exit": LONGEST_ACT,
    "delivery": FOREVER,
    "line": FOREVER,
    "jitter": Jitter("exponential", LONGEST_ACT),
}


@pytest.mark.parametrize("names", [*([name] for name in AT_MOST), list(AT_MOST)], ids=str)
def test_acts_as_long_as_may_be_break_nothing(names: list[str]) -> None:
    plain = costs(walk=1, entries=1 << 20, tlbi=tlbi())
    slow = replace(plain, ipi=replace(plain.ipi, **{name: AT_MOST[name] for name in names}))
    topology = Topology(packages=2, cores=2)
    one = Machine(topology, slow, jitter_rng=np.random.default_rng(1))

    def busy(task: Task) -> Steps:
        while True:
            yield from task.compute(LONGEST_ACT)
            yield from task.cross_call(full_flush(slow.tlb))
            yield from task.invalidate(invalidate_all())
            yield from task.irqs_off(10 * LONGEST_ACT)
            yield from task.sleep(LONGEST_ACT)
            yield from task.cross_call(FlushFunction(CallKind.FULL, 100 * LONGEST_ACT, True))

    for cpu in (0, 0, 1, 2, 3):
        one.spawn(cpu, busy, working_set=1 << 20)
    for duration in (1000 * LONGEST_ACT, LONGEST_RUN // 20):
        one.run(duration)
        accounts = one.accounts()
        assert all((times >= 0).all() for times in accounts.values())
