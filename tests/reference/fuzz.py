"""Compare the two implementations on thousands of random tiny programs.

::

    python -m tests.reference.fuzz --seconds 60 --seed 1

The first program on which they differ is made as small as it gets, and printed as Python that can
be pasted into a test. ``--reference-only`` runs the reference alone: its own checks are asserted.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import TypeVar

import numpy as np

from pmsim.errors import DeadlockError, ProgramError
from pmsim.hardware.host import BARE_METAL
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import BY_INTERRUPTS, PROTOCOLS
from pmsim.hardware.topology import Topology
from tests.reference.examples import OWN
from tests.reference.generate import random_cut, random_program
from tests.reference.machine import run as run_reference
from tests.reference.program import Program, Result, TaskSpec

T = TypeVar("T")
Outcome = Result | str
Run = Callable[[Program], Result]


class Seeded:
    """Choices from NumPy's generator."""

    def __init__(self, seed: list[int]) -> None:
        self.rng = np.random.default_rng(seed)

    def integer(self, low: int, high: int) -> int:
        """Return a number from ``low`` to ``high``, both included."""
        return int(self.rng.integers(low, high + 1))

    def choice(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.integer(0, len(options) - 1)]

    def chance(self, percent: int) -> bool:
        """Return true in so many cases of a hundred."""
        return self.integer(0, 99) < percent


def outcome(run: Run, program: Program) -> Outcome:
    """Return a program's result, or which error of the program it raises."""
    try:
        return run(program)
    except ProgramError as error:
        return f"ProgramError at {error.at_ps}"
    except DeadlockError:
        return "DeadlockError"


def differences(program: Program, run: Run) -> list[str]:
    """Return in which points an implementation differs from the reference."""
    expected = outcome(run_reference, program)
    try:
        got = outcome(run, program)
    except Exception as error:  # whatever it raises is what we look for
        got = f"{type(error).__name__}: {error}"
    if isinstance(expected, str) or isinstance(got, str):
        return [] if expected == got else [f"reference: {expected}", f"     other: {got}"]
    lines = []
    for field in fields(Result):
        a, b = getattr(expected, field.name), getattr(got, field.name)
        if a != b:
            lines += [f"{field.name}:", f"  reference: {a}", f"      other: {b}"]
    return lines


# -- making a program smaller ---------------------------------------------------------------------


def shrink(program: Program, run: Run, seconds: float) -> Program:
    """Return a smaller program on which the two still differ, trying for so many seconds."""
    deadline = time.monotonic() + seconds
    progress = True
    while progress:
        progress = False
        for one in smaller(program):
            if time.monotonic() > deadline:
                return program
            if differences(one, run):
                program, progress = one, True
                break
    return program


def smaller(program: Program) -> Iterator[Program]:
    """Yield programs that are one step smaller or plainer."""
    yield from _without_tasks(program)
    yield from _without_cpus(program)
    yield from _without_steps(program)
    yield from _plainer(program)
    yield from _rounder(program)


def _without_tasks(program: Program) -> Iterator[Program]:
    for k in range(len(program.tasks)):
        yield replace(program, tasks=program.tasks[:k] + program.tasks[k + 1 :])


def _without_cpus(program: Program) -> Iterator[Program]:
    used = 1 + max((task.cpu for task in program.tasks), default=0)
    for n in (used, program.topology.n_cpus - 1):
        if used <= n < program.topology.n_cpus and not _calls_beyond(program, n):
            host = replace(program.host, phases=program.host.phases[:n])
            yield replace(program, topology=replace(program.topology, cpus=n, hops=None), host=host)


def _calls_beyond(program: Program, n: int) -> bool:
    return any(
        isinstance(argument, tuple) and any(c >= n for c in argument[1])
        for task in program.tasks
        for _, argument in task.steps
    )


def _with_task(program: Program, k: int, task: TaskSpec) -> Program:
    return replace(program, tasks=(*program.tasks[:k], task, *program.tasks[k + 1 :]))


def _without_steps(program: Program) -> Iterator[Program]:
    for k, task in enumerate(program.tasks):
        for s in range(len(task.steps)):
            for width in (3, 2, 1):
                steps = task.steps[:s] + task.steps[s + width :]
                yield _with_task(program, k, replace(task, steps=steps))
        for s, (operation, lock) in enumerate(task.steps):
            if operation.endswith("_lock"):
                release = (operation.replace("_lock", "_unlock"), lock)
                rest = list(task.steps[s + 1 :])
                if release in rest:
                    rest.remove(release)
                    steps = (*task.steps[:s], *rest)
                    yield _with_task(program, k, replace(task, steps=steps))


_NO_PLAINER = ("fanout", "pages", "range", "mutex", "slots", "tick", "ring")
"""Costs that are not made 0."""


def _plainer(program: Program) -> Iterator[Program]:
    costs = program.costs
    if program.duration is not None:
        yield replace(program, duration=None)
    if program.jitter:
        yield replace(program, jitter=())
        yield replace(program, jitter=program.jitter[:-1])
    for s in range(len(costs.idle)):
        idle = costs.idle[:s] + costs.idle[s + 1 :]
        yield replace(program, costs=replace(costs, idle=idle))
    for k, task in enumerate(program.tasks):
        if task.working_set:
            yield _with_task(program, k, replace(task, working_set=0))
    flat = Topology(cpus=program.topology.n_cpus)
    if program.topology != flat:
        yield replace(program, topology=flat)
        if program.topology.hops is not None:
            yield replace(program, topology=replace(program.topology, hops=None))
    if program.order == "serial":
        yield replace(program, order="concurrent")
    if program.host != BARE_METAL:
        yield replace(program, host=BARE_METAL)
        yield replace(program, host=replace(program.host, exit=0, kick=0, inject=0))
        yield replace(program, host=replace(program.host, pv_flush=False))
        yield replace(program, host=replace(program.host, overcommit=1))
    if program.isolated:
        yield replace(program, isolated=program.isolated[1:])
    if program.repeat_sync != "none":
        yield replace(program, repeat_sync="none")
    if program.shootdown != BY_INTERRUPTS:
        yield replace(program, shootdown=Shootdown(program.shootdown.protocol))
        yield replace(program, shootdown=BY_INTERRUPTS)
    for part in ("tlb", "sched", *PROTOCOLS):
        table = getattr(costs, part)
        for field in fields(table) if table is not None else ():
            value = getattr(table, field.name)
            zero = (0,) * 5 if isinstance(value, tuple) else 0
            if value in (zero, None) or field.name in _NO_PLAINER:
                continue
            try:
                plain = replace(table, **{field.name: zero})
            except ValueError:
                continue
            yield replace(program, costs=replace(costs, **{part: plain}))


def _rounder(program: Program) -> Iterator[Program]:
    for k, task in enumerate(program.tasks):
        for s, (operation, argument) in enumerate(task.steps):
            if isinstance(argument, int) and argument > 1 and "lock" not in operation:
                for less in (0, argument // 2, argument - 1):
                    steps = (*task.steps[:s], (operation, less), *task.steps[s + 1 :])
                    yield _with_task(program, k, replace(task, steps=steps))


# -- the command ----------------------------------------------------------------------------------


def main() -> int:
    """Look for a difference; return 1 if there is one."""
    parser = argparse.ArgumentParser(description="Compare the fabric with the reference.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-cpus", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="number of the first program")
    parser.add_argument("--stop-after", type=int, default=1, help="so many differing programs")
    parser.add_argument("--shrink-seconds", type=float, default=60)
    parser.add_argument("--reference-only", action="store_true")
    options = parser.parse_args()
    return _fuzz(options, _other(options.reference_only))


def _other(reference_only: bool) -> Run:
    if reference_only:
        return run_reference
    from tests.hardware.adapters import run_fabric

    return run_fabric


def _fuzz(options: argparse.Namespace, run: Run) -> int:
    deadline = time.monotonic() + options.seconds
    number = options.first
    found = 0
    seen: Counter[str] = Counter()
    while time.monotonic() < deadline and found < options.stop_after:
        for program in programs_of(options.seed, number, options.max_cpus, seen):
            if differences(program, run):
                found += 1
                print(f"seed {options.seed}, program {number}: the implementations differ")
                _report(shrink(program, run, options.shrink_seconds), run)
                break
        number += 1
    programs = number - options.first
    print(f"seed {options.seed}: {programs} programs, {found} differ; {dict(seen)}")
    return int(found > 0)


def _report(program: Program, run: Run) -> None:
    print(pasted(program))
    print("\n".join(differences(program, run)))


def pasted(program: Program) -> str:
    """Return a program as Python, protocols by their names."""
    named = re.sub(r"<protocol (\w+)>", r'PROTOCOLS["\1"]', repr(program))
    return re.sub(rf'PROTOCOLS\["({"|".join(OWN)})"\]', r'OWN["\1"]', named)


def programs_of(
    seed: int, number: int, max_cpus: int, seen: Counter[str] | None = None
) -> Iterator[Program]:
    """Yield one random program and, if it ends, sometimes a cut of it; count what is seen."""
    seen = Counter() if seen is None else seen
    source = Seeded([seed, number])
    program = random_program(source, max_cpus)
    yield program
    result = outcome(run_reference, program)
    seen[result.split()[0] if isinstance(result, str) else "done"] += 1
    if isinstance(result, Result):
        seen["calls"] += len(result.calls)
        if source.chance(50):
            seen["cut"] += 1
            yield random_cut(source, program, result)


if __name__ == "__main__":
    raise SystemExit(main())
