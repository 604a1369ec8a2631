"""The corpus of scenario files: what is invalid is refused where and why it should be."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import NamedTuple

import pytest

from pmsim.errors import ScenarioError
from pmsim.scenario.scenario import Scenario, load
from pmsim.workloads.registry import workload_kinds

CORPUS = Path(__file__).parents[1] / "scenarios"
INVALID = CORPUS / "invalid"
VALID = sorted(path.name for path in (CORPUS / "valid").glob("*.yaml"))
SHIPPED = sorted(path.name for path in (CORPUS.parents[1] / "scenarios").glob("*.yaml"))


class Expected(NamedTuple):
    """One fault that a file has; ``fault_in`` is the file that it is in, if another one."""

    file: str
    fault_in: str
    code: str
    line: str
    column: str


def expectations() -> list[Expected]:
    with (INVALID / "expected.csv").open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        assert next(rows) == list(Expected._fields)
        return [Expected(*row) for row in rows]


EXPECTED = expectations()


def test_every_invalid_file_has_one_expectation_and_every_expectation_a_file() -> None:
    files = sorted(path.name for path in INVALID.glob("*.yaml"))
    assert [one.file for one in EXPECTED] == files
    assert len(files) >= 100


@pytest.mark.parametrize("expected", EXPECTED, ids=[one.file for one in EXPECTED])
def test_an_invalid_file_is_refused_with_its_one_fault_at_its_place(expected: Expected) -> None:
    with pytest.raises(ScenarioError) as caught:
        load(INVALID / expected.file)
    (fault,) = caught.value.faults
    assert (fault.code, fault.line, fault.column) == (
        expected.code,
        int(expected.line),
        int(expected.column),
    )
    assert fault.file == str(INVALID / (expected.fault_in or expected.file))
    assert fault.message


def test_the_faults_of_two_files_in_one_come_together_in_the_order_of_lines() -> None:
    text = "pmsim: 2\nmachine: skylake\nsede: 1\nworkloads:\n- {kind: trace, fiel: x.csv}\n"
    with pytest.raises(ScenarioError) as caught:
        Scenario.from_text(text)
    assert [(fault.line, fault.code) for fault in caught.value.faults] == [
        (1, "unknown-version"),
        (2, "unknown-platform"),
        (3, "unknown-key"),
        (5, "missing-key"),
        (5, "unknown-key"),
    ]


@pytest.mark.parametrize("name", VALID)
def test_a_valid_file_resolves_to_a_scenario_that_resolves_to_itself(name: str) -> None:
    resolved = load(CORPUS / "valid" / name).resolve()
    plain = json.loads(json.dumps(resolved.as_dict()))
    again = Scenario.from_dict(plain).resolve()
    assert again == resolved
    assert json.loads(json.dumps(again.as_dict())) == plain


def test_every_shipped_kind_of_workload_is_in_a_valid_file() -> None:
    shipped = {
        kind for kind, model in workload_kinds().items() if model.__module__.startswith("pmsim.")
    }
    files = sorted((CORPUS / "valid").glob("every_workload*.yaml"))
    workloads = [one for file in files for one in load(file).resolve().workloads]
    assert {one.kind for one in workloads} == shipped


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_scenario_says_its_question_and_resolves_to_itself(name: str) -> None:
    scenario = load(CORPUS.parents[1] / "scenarios" / name)
    assert scenario.description.endswith("?")
    assert scenario.name == Path(name).stem.replace("_", "-")
    assert Scenario.from_dict(scenario.resolve().as_dict()).resolve() == scenario.resolve()
