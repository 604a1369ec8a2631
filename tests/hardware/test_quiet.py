"""Calls that meet nothing else are known whole, and nobody can tell the difference.

The programs here are made so that such calls are many, and so that all that may end them comes in
between: windows, sleeps, calls on some CPUs, full flushes, invalidations, preemption.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from pmsim.hardware.passes import layout
from tests.hardware.adapters import machine_of, run_fabric
from tests.hardware.test_latency_parts import check_rows
from tests.reference.fuzz import Seeded, differences, outcome
from tests.reference.generate import random_cut, random_program
from tests.reference.machine import run as run_reference
from tests.reference.program import Program, Result, Step, TaskSpec

LATE = 200_000
"""When all tasks have done what they do, and only compute."""


def busy_program(seed: int, number: int) -> Program:
    """Return a random machine on which every CPU computes all the time, and calls now and then."""
    source = Seeded([seed, number])
    program = random_program(source, max_cpus=6)
    n_cpus = program.topology.n_cpus
    rare: list[Step] = [("irqs_off", 300), ("sleep", 200), ("flush_kernel", 10_000)]
    rare += [("invalidate", 1)] if program.costs.tlbi is not None else []

    def steps(cpu: int) -> tuple[Step, ...]:
        taken: list[Step] = []
        some = [other for other in range(n_cpus) if other != cpu and source.chance(50)]
        for _ in range(source.integer(0, 6)):
            taken.append(("compute", source.integer(0, 300) * source.choice((1, 10, 100))))
            often: Step = ("flush_kernel", source.integer(0, 2))
            seldom = source.choice([*rare, ("call", (1, some))])
            taken.append(seldom if source.chance(15) else often)
        return (*taken, ("compute", LATE))

    tasks = [
        TaskSpec(cpu, number, 10 if source.chance(50) else 0, steps(cpu))
        for number, cpu in enumerate([*range(n_cpus), *([0] if source.chance(20) else [])])
    ]
    jitter = ()
    return replace(program, tasks=tuple(tasks), jitter=jitter)


@pytest.mark.parametrize("seed", range(2))
def test_the_twins_agree_where_most_calls_are_quiet(seed: int) -> None:
    for number in range(30):
        program = busy_program(seed, number)
        assert differences(program, run_fabric) == []
        check_rows(program)
        result = outcome(run_reference, program)
        if isinstance(result, Result):
            cut = random_cut(Seeded([seed, number, 1]), program, result)
            assert differences(cut, run_fabric) == []


def test_calls_to_everybody_while_all_compute_are_quiet() -> None:
    quiet = [
        int(machine_of(busy_program(9, n)).fabric.state[layout.QUIET_CALLS]) for n in range(60)
    ]
    assert sum(quiet) > 100
    assert sum(count > 2 for count in quiet) > 10
