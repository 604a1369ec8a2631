"""No number in a scenario, however small or large, crashes a run, hangs it or makes no sense."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from pmsim.workloads.registry import workload_kinds
from tests.bounds.keys import DURATION, Number, numbers, scenario
from tests.bounds.runner import Runner, problem_of

NUMBERS = numbers()
EVERY = 24
"""Of so many values beside the largest, one is tried in the quick part."""
LARGEST = 4
"""Of the largest values of so many keys, one is tried in the quick part."""
CHOICES = (
    "kernel.direct_map_leaf",
    "kernel.ftrace_entry_sites",
    "kernel.modules_size",
    "kernel.page_size",
    "machine.host.phases.0",
)
"""Keys that may have but a few values, none of which is tried, or want one for each CPU."""
PAIRS = 1500
"""Pairs of keys that are tried in the slow part."""


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.close()


def problems(runner: Runner, tried: Iterator[tuple[Number, Any]]) -> list[str]:
    found = ((one, value, runner.problem(one.set(scenario(one), value))) for one, value in tried)
    return [f"{one} = {value!r}: {problem}" for one, value, problem in found if problem]


def test_every_model_of_a_scenario_is_walked_through() -> None:
    paths = {(one.kind_of_workload, *one.path) for one in NUMBERS}
    assert {kind for kind, *_ in paths} == {*workload_kinds(), ""}
    for known in (
        ("pool_churn", "workloads", 0, "arrival", "burst", "every"),
        ("ftrace_toggle", "workloads", 0, "on_for", "sigma"),
        ("module_storm", "workloads", 0, "segments", 0, "enabled_keys", 0),
        ("", "machine", "costs", "ipi", "delivery", "package"),
        ("", "machine", "costs", "kernel", "vmalloc"),
        ("", "kernel", "ceiling"),
        ("", "measure", "detail", "from"),
        ("", "duration"),
    ):
        assert known in paths


def test_what_the_keys_are_tried_in_runs_by_itself(runner: Runner) -> None:
    for kind in workload_kinds():
        one = next(one for one in NUMBERS if one.kind_of_workload == kind)
        assert runner.outcome(scenario(one))[0] == "ran", kind


def test_the_largest_values_of_some_keys_run_or_are_refused(runner: Runner) -> None:
    assert problems(runner, ((one, one.largest()) for one in NUMBERS[::LARGEST])) == []


def test_some_of_all_values_run_or_are_refused(runner: Runner) -> None:
    every = [(one, value) for one in NUMBERS for value in one.values()]
    assert problems(runner, iter(every[::EVERY])) == []


@pytest.mark.slow
@pytest.mark.parametrize("part", sorted({one.part for one in NUMBERS}))
def test_every_value_of_every_key_runs_or_is_refused_and_one_of_each_runs(
    runner: Runner, part: str
) -> None:
    found, never = [], []
    for one in (one for one in NUMBERS if one.part == part):
        outcomes = {}
        for value in one.values():
            data = one.set(scenario(one), value)
            outcomes[str(value)], cpu_s = runner.outcome(data)
            problem = problem_of(outcomes[str(value)], cpu_s)
            found += [f"{one} = {value!r}: {problem}"] if problem else []
        if "ran" not in outcomes.values() and str(one) not in CHOICES:
            never.append(f"{one}: {outcomes}")
    assert found == []
    assert never == []


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_pairs_of_keys_run_or_are_refused(runner: Runner, seed: int) -> None:
    draw = random.Random(seed)
    found = []
    for _ in range(PAIRS // 10):
        one = draw.choice(NUMBERS)
        fitting = {one.kind_of_workload, ""} if one.kind_of_workload else {*workload_kinds(), ""}
        other = draw.choice([two for two in NUMBERS if two.kind_of_workload in fitting])
        if DURATION in (one.path, other.path):
            continue  # a longer run of what has no end takes longer, as it must
        base = scenario(one if one.kind_of_workload else other)
        values = draw.choice(one.values()), draw.choice(other.values())
        problem = runner.problem(other.set(one.set(base, values[0]), values[1]))
        if problem:
            found.append(f"{one} = {values[0]!r}, {other} = {values[1]!r}: {problem}")
    assert found == []
