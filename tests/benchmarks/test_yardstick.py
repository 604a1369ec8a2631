from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings

from benchmarks import yardstick
from pmsim.hardware.costs import IpiCosts
from pmsim.hardware.host import BARE_METAL
from pmsim.hardware.shootdown.protocols import BY_INTERRUPTS
from pmsim.hardware.tlb import FlushFunction, flush
from tests.hardware.strategies import programs
from tests.reference.machine import run as run_reference
from tests.reference.program import CallRecord, Program, Result, TaskSpec


def plain(program: Program) -> Program:
    """Return what the yardstick can do of a program: one task on each of two CPUs or more."""
    topology = program.topology
    n = max(2, topology.n_cpus)
    first = {task.cpu: task for task in reversed(program.tasks)}
    working_set = max((task.working_set for task in program.tasks), default=0)
    tasks = tuple(
        TaskSpec(cpu, cpu, working_set, _plain_steps(first[cpu]) if cpu in first else ())
        for cpu in range(n)
    )
    return replace(
        program,
        topology=replace(topology, cpus=n, hops=topology.hops if topology.cpus == n else None),
        costs=replace(program.costs, ipi=_plain_interrupts(program.costs.ipi), idle=()),
        tasks=tasks,
        order="concurrent",
        jitter=(),
        shootdown=BY_INTERRUPTS,
        host=BARE_METAL,
    )


def _plain_interrupts(ipi: IpiCosts) -> IpiCosts:
    """Return interrupts that no firmware sends, and no write sends to all."""
    return replace(ipi, ecall=0, shorthand=False)


def _plain_steps(task: TaskSpec) -> tuple[tuple[str, object], ...]:
    """Return computing for windows and sleeps, flushes for calls, and nothing for locks."""
    steps: list[tuple[str, object]] = []
    for operation, argument in task.steps:
        if operation in ("compute", "irqs_off", "sleep"):
            steps.append(("compute", argument))
        elif "lock" not in operation:
            pages = argument[0] if isinstance(argument, tuple) else argument
            told = operation != "empty" and isinstance(pages, int) and pages > 0
            steps.append(("flush_kernel", pages if told else 1))
    return tuple(steps)


def by_yardstick(program: Program, rounds: int = 1) -> yardstick.Simulated:
    def step(operation: str, argument: object) -> int | FlushFunction:
        assert isinstance(argument, int)
        if operation == "compute":
            return argument
        return flush(program.costs.tlb, argument, program.ceiling)

    tasks = [yardstick.Program([step(*s) for s in task.steps], rounds) for task in program.tasks]
    working_set = program.tasks[0].working_set
    return yardstick.simulate(program.topology, program.costs, tasks, working_set)


def calls_of(result: Result) -> list[tuple[int, int, int]]:
    def row(call: CallRecord) -> tuple[int, int, int]:
        return call.cpu, call.start, call.end

    return sorted(map(row, result.calls))


def assert_same(simulated: yardstick.Simulated, expected: Result) -> None:
    ends = simulated.calls[:, 2]
    assert (np.diff(ends) >= 0).all()
    assert sorted(map(tuple, simulated.calls.tolist())) == calls_of(expected)
    assert simulated.stolen.tolist() == [cpu.stolen for cpu in expected.cpus]
    assert simulated.handlers.tolist() == [cpu.handlers for cpu in expected.cpus]


@pytest.mark.slow
@given(programs())
def test_the_yardstick_tells_what_the_reference_tells(program: Program) -> None:
    program = plain(program)
    assert_same(by_yardstick(program), run_reference(program))


@given(programs())
@settings(max_examples=20)
def test_rounds_repeat_a_program(program: Program) -> None:
    once = plain(program)
    thrice = replace(once, tasks=tuple(replace(t, steps=3 * t.steps) for t in once.tasks))
    assert_same(by_yardstick(once, rounds=3), run_reference(thrice))
