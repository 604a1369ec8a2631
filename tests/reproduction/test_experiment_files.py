"""Faults of an experiment's file: each with its place, and what would be right."""

from __future__ import annotations

from pathlib import Path

import pytest

from pmsim.errors import ScenarioError
from pmsim.reproduction.experiment import load_experiment
from pmsim.reproduction.reproduce import reproduce
from tests.reproduction.experiments import EXPERIMENT, TABLE, written


@pytest.mark.parametrize(
    ("old", "new", "place", "code", "said"),
    [
        ("title:", "tittle:", (2, 1), "unknown-key", "did you mean title?"),
        ("A2, at", "A9, at", (24, 16), "no-such-row", "no measurement 'A9'"),
        ("A2, at", "A4, at", (24, 16), "no-such-row", "marked as unused"),
        ("A2, at", "A2 + A3 *, at", (24, 16), "no-such-row", "no sum"),
        ("unit: us", "unit: parsec", (19, 7), "bad-value", "is not one of"),
        ("unit: us", "unit: cycles", (1, 1), "conflict", "clock: 2.6GHz"),
        ("at: 3}", "at: 3, use: predict}", (24, 32), "conflict", "leave 'use' out"),
        ("A2, at: 3", "A2", (24, 5), "missing-key", "'at' is missing"),
        ("A3, at", "A2, at", (25, 5), "duplicate-name", "a second time"),
        ("what: latency", "what: operation", (18, 10), "missing-key", "for example of:"),
        ("what: latency", "what: lateness", (18, 17), "bad-value", "did you mean latency?"),
        (
            "at: 3}",
            "at: 3, runs: {a: {observe: {what: rum}}}, predicted: a}",
            (24, 54),
            "bad-value",
            "did you mean run?",
        ),
        ("axis: CPUs", "predicted: 2 * rum", (20, 12), "no-such-run", "did you mean run?"),
        (
            "axis: CPUs",
            "calibrate: {key: machine.costs.ipi.send, value: A2}",
            (20, 49),
            "predicted",
            "may not be fitted",
        ),
        (
            "axis: CPUs",
            "signs: [{says: so, larger: A3, than: A5}]",
            (20, 38),
            "no-such-point",
            "no point 'A5'",
        ),
        ("kernel: linux-6.1-x86_64", "kernel: linux-6.1-x86", (14, 11), "unknown-kernel", "x86_64"),
        ("flushes: 2", "flush: 2", (17, 28), "unknown-key", "did you mean flushes?"),
    ],
)
def test_a_fault_has_a_place_and_a_hint(
    tmp_path: Path, old: str, new: str, place: tuple[int, int], code: str, said: str
) -> None:
    path = written(tmp_path, EXPERIMENT.replace(old, new, 1))
    with pytest.raises(ScenarioError) as caught:
        load_experiment(path)
    fault = next(one for one in caught.value.faults if one.code == code)
    assert (fault.line, fault.column) == place
    assert said in f"{fault.message} {fault.hint}"


def test_a_value_that_does_not_fit_the_scenario_is_a_fault_at_its_place(tmp_path: Path) -> None:
    path = written(tmp_path, EXPERIMENT.replace("at: 3}", "at: 3, set: {seed: x}}"))
    with pytest.raises(ScenarioError) as caught:
        reproduce(path)
    (fault,) = caught.value.faults
    assert (fault.line, fault.column, fault.code) == (24, 39, "wrong-type")


@pytest.mark.parametrize(
    ("table", "line", "said"),
    [
        (TABLE.replace("split", "splitt"), 1, "the column 'split' is missing"),
        (TABLE.replace("A2,20", "A2,twenty"), 3, "'twenty' is no number"),
        (TABLE.replace("A2,20,predict", "A2,20,foretell"), 3, "'foretell' is not one of"),
        (TABLE.replace("A2", "A1"), 3, "a second time"),
        (TABLE.replace("A2", "2A"), 3, "is no id"),
    ],
)
def test_a_fault_of_the_table_has_a_line(tmp_path: Path, table: str, line: int, said: str) -> None:
    path = written(tmp_path, table=table)
    with pytest.raises(ScenarioError) as caught:
        load_experiment(path)
    assert caught.value.faults[0].line == line
    assert said in caught.value.faults[0].message


def test_a_table_that_is_not_there_and_a_name_that_nobody_knows_are_said(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "table.csv").unlink()
    with pytest.raises(ScenarioError, match="there is no such file"):
        load_experiment(path)
    with pytest.raises(ScenarioError, match="did you mean piggin-2008-eager"):
        load_experiment("piggin-2008-eagre")
