from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import pmsim
from pmsim.errors import Fault, ScenarioError
from pmsim.experiments.plan import MOST_FAULTS, plan_of
from tests.experiments.small import MEASURE, POLICY, entry, small
from tests.machines import scenario


def faults_of(*args: object, **keys: object) -> tuple[Fault, ...]:
    with pytest.raises(ScenarioError) as caught:
        plan_of(*args, **keys)
    return caught.value.faults


def test_the_values_of_the_file_and_those_given_make_one_grid() -> None:
    base = small(sweep={"seed": [1, 2], "machine.costs.ipi.exit": ["1ns", "2ns"]})
    plan = plan_of(base, {**entry(), "seed": [7]})
    assert plan.cells[0].changes == {
        "seed": 7,
        "machine.costs.ipi.exit": "1ns",
        "machine.costs.ipi.entry": "200ns",
    }
    assert len(plan.cells) == 4


def test_each_cell_resolves_to_the_scenario_with_its_values() -> None:
    plan = plan_of(small(), entry("3us"))
    assert plan.resolve(plan.cells[0]).machine.costs.ipi.entry == 3_000_000


def test_a_single_value_stands_for_itself() -> None:
    assert len(plan_of(small(), {"seed": 3}).cells) == 1


@pytest.mark.parametrize("several", [np.array([3, 4]), pd.Series([3, 4]), range(3, 5)])
def test_the_values_of_an_array_are_those_of_a_list(several: Any) -> None:
    plan = plan_of(small(), {"seed": several})
    assert [cell.changes for cell in plan.cells] == [{"seed": 3}, {"seed": 4}]
    assert {type(cell.changes["seed"]) for cell in plan.cells} == {int}


@pytest.mark.parametrize("wrong", [0, -1, "3", 2.5])
def test_a_number_of_replications_that_is_none_is_refused(wrong: Any) -> None:
    (fault,) = faults_of(small(), {"seed": [1]}, replications=wrong)
    assert "with replications" in fault.message


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("machin.cpus", "machine"),
        ("machine.costs.ipi.entri", "entry"),
        ("workloads.pool.pools", "pools"),
        ("workloads.pools.pool_s", "pools"),
        ("measure.warmupp", "warmup"),
        ("replication", "duration"),
    ],
)
def test_a_path_that_names_nothing_is_refused_with_the_nearest(path: str, hint: str) -> None:
    (fault,) = faults_of(small(), {path: [1]})
    assert fault.code in ("bad-path", "unknown-key")
    assert hint in fault.hint


def test_a_value_that_does_not_fit_is_told_with_its_path() -> None:
    (fault,) = faults_of(small(), entry("200ns", "many"))
    assert "with machine.costs.ipi.entry" in fault.message


def test_only_the_first_of_many_faults_are_told() -> None:
    several = [f"{number}" for number in range(100)]
    assert len(faults_of(small(), entry(*several))) == MOST_FAULTS


def test_combinations_that_do_not_fit_each_other_are_found_before_anything_runs() -> None:
    # One CPU is valid, and so is a workload on CPU 1; together they are not.
    base = scenario(POLICY, cpus=2, measure=MEASURE)
    (fault,) = faults_of(base, {"machine.topology.cores": [1, 2], "workloads.selinux.cpu": [0, 1]})
    assert "CPU" in fault.message


def test_ten_million_cells_are_refused_with_their_number() -> None:
    axes = {"seed": list(range(1000)), "machine.costs.ipi.entry": [f"{n}ns" for n in range(10_000)]}
    (fault,) = faults_of(small(), axes)
    assert fault.code == "too-many-cells"
    assert "10,000,000 cells (1,000 seed x 10,000 machine.costs.ipi.entry)" in fault.message
    assert "--force" in fault.hint


def test_a_range_without_a_sample_is_refused() -> None:
    (fault,) = faults_of(small(), {"machine.costs.ipi.entry": "1ns..9ns"})
    assert (fault.code, "--sample" in fault.hint) == ("range-without-sample", True)


def test_a_path_to_a_file_above_is_no_range() -> None:
    assert (
        faults_of(small(), {"kernel": ["../old.yaml", "../new.yaml"]})[0].code == "unknown-kernel"
    )


def test_a_value_that_is_given_twice_is_refused() -> None:
    (fault,) = faults_of(small(), {"seed": [1, 2, 1], **entry()})
    assert (fault.code, fault.message) == ("value-twice", "seed is given 1 more than once")


def test_replications_are_asked_for_and_not_varied() -> None:
    (fault,) = faults_of(small(), {"replications": [1, 2]})
    assert "--replications N" in fault.hint


def test_ranges_may_stand_in_the_file() -> None:
    base = small(sweep={"seed": [3], "machine.costs.ipi.entry": ["1us..2us"]})
    (fault,) = faults_of(base, {})
    assert fault.code == "range-without-sample"
    points = [cell.changes for cell in plan_of(base, {}, sample="sobol:4").cells]
    assert {point["seed"] for point in points} == {3}
    assert len({point["machine.costs.ipi.entry"] for point in points}) == 4


def test_the_ends_of_a_range_in_the_file_are_checked_with_it() -> None:
    with pytest.raises(ScenarioError, match=r"with seed: 1\.\.x: 'x' is no whole number"):
        small(sweep={"seed": ["1..x"]})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["seed"], "the values of a sweep are a mapping of paths, not a list"),
        ("seed=1,2", "the values of a sweep are a mapping of paths, not a str"),
        ({3: [1, 2]}, "3 is no path of a scenario"),
        ({"seed": {1}}, "seed: no file could hold {1} (set)"),
        ({"seed": [1, 2j]}, "seed: no file could hold 2j (complex)"),
    ],
)
def test_values_of_other_types_are_refused_with_an_example(values: Any, said: str) -> None:
    (fault,) = faults_of(small(), values)
    assert (fault.code, fault.message) == ("wrong-type", said)
    assert "{'machine.cpus': [16, 56]}" in fault.hint


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"workers": "two"}, "'two' is no number of workers"),
        ({"sample": 100}, "'100' is no way to choose points"),
        ({"precision": "5%", "max_replications": "x"}, "'x' is no whole number"),
        ({"replications": "x"}, "'x' is no whole number"),
        ({"precision": [5]}, r"'\[5\]' is no precision"),
    ],
)
def test_options_of_other_types_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        pmsim.sweep(small(), {"seed": [1]}, **options)


def test_no_values_are_refused() -> None:
    assert faults_of(small(), {"seed": []})[0].code == "no-values"


def test_plans_are_the_same_if_their_rows_are() -> None:
    one = plan_of(small(), entry())
    assert plan_of(small(), entry()).fingerprint == one.fingerprint
    assert plan_of(small(), entry(), replications=9).fingerprint == one.fingerprint
    assert plan_of(small(replications=3), entry()).fingerprint == one.fingerprint
    assert plan_of(small(seed=6), entry()).fingerprint != one.fingerprint
    assert plan_of(small(), entry("200ns")).fingerprint != one.fingerprint


def test_a_file_that_a_workload_reads_is_part_of_the_plan(tmp_path) -> None:
    program = tmp_path / "program.csv"

    def fingerprint(text: str) -> str:
        program.write_text(f"cpu,op,arg\n0,compute,{text}\n")
        return plan_of(scenario({"kind": "trace", "file": str(program)}), {}).fingerprint

    assert fingerprint("5") != fingerprint("6")
