"""What a task takes from rows is what it would have asked for step by step."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.machines import CEILING, COSTS
from pmsim.hardware.costs import Jitter
from pmsim.hardware.machine import Machine
from pmsim.hardware.replay import COMPUTE, Replay, call, can_replay
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import flush
from pmsim.hardware.topology import Topology
from pmsim.steps import Steps

Program = list[tuple[str, int]]

FOUR = Topology(packages=2, cores=2)
OFTEN = replace(COSTS, sched=replace(COSTS.sched, quantum=3_000_000))
"""Costs with a quantum that a task uses up in a few steps."""


def programs(seed: int) -> dict[tuple[int, int], Program]:
    """Return programs of two tasks on each of four CPUs."""
    draw = random.Random(seed)
    return {
        (cpu, number): [
            ("compute", draw.choice([0, 500_000, 1_000_000, 5_000_000]))
            if draw.random() < 0.6
            else ("call", draw.choice([1, 2, 100]))
            for _ in range(12)
        ]
        for cpu in range(4)
        for number in range(2)
    }


def finished_calls(run: Callable[[Machine, Task, Program], Steps], seed: int) -> list[list[int]]:
    machine = Machine(FOUR, OFTEN)
    calls: list[list[int]] = []
    machine.on_crosscalls = lambda rows: calls.extend(rows.tolist())
    for (cpu, number), program in programs(seed).items():
        machine.spawn(
            cpu, lambda task, p=program: run(machine, task, p), number=number, working_set=50
        )
    machine.run()
    return [*calls, machine.accounts()["busy_ps"].tolist()]


def step_by_step(machine: Machine, task: Task, program: Program) -> Steps:
    for what, size in program:
        if what == "compute":
            yield from task.compute(size)
        else:
            yield from task.cross_call(flush(machine.costs.tlb, size, CEILING), pages=size)


def replayed(machine: Machine, task: Task, program: Program) -> Steps:
    """Replay all rows of a task but the third, which it takes itself."""
    kinds = [
        COMPUTE if what == "compute" else call(flush(machine.costs.tlb, size, CEILING), 0)
        for what, size in program
    ]
    sizes = np.array([size for _, size in program])
    replay = Replay(machine, kinds, np.arange(len(program), dtype=np.int32), sizes)
    yield from replay.take(task, 0, 2)
    yield from step_by_step(machine, task, program[2:3])
    yield from replay.take(task, 3, len(program))


@pytest.mark.parametrize("seed", range(5))
def test_rows_and_steps_come_to_the_same(seed: int) -> None:
    assert finished_calls(replayed, seed) == finished_calls(step_by_step, seed)


@pytest.mark.skipif(
    os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="it takes minutes as plain Python"
)
def test_signals_are_heard_in_a_long_stretch() -> None:
    machine = Machine(Topology(packages=1, cores=2), COSTS)
    rows = np.zeros(3_000_000, dtype=np.int32)
    replay = Replay(machine, [COMPUTE], rows, np.ones(len(rows), dtype=np.int64))

    def stop(_signal: int, _frame: object) -> None:
        raise InterruptedError

    before = signal.signal(signal.SIGALRM, stop)
    machine.spawn(0, lambda task: replay.take(task, 0, 3_000_000))
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    try:
        with pytest.raises(InterruptedError):
            machine.run()
        assert machine.now < 3_000_000
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_machine_with_jitter_or_of_one_cpu_replays_nothing() -> None:
    jittery = replace(COSTS, ipi=replace(COSTS.ipi, jitter=Jitter("uniform", 1_000)))
    assert can_replay(Machine(FOUR, COSTS))
    assert not can_replay(Machine(FOUR, jittery, jitter_rng=np.random.default_rng(1)))
    assert not can_replay(Machine(Topology(), COSTS))
