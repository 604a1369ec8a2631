"""Faults: their places, their hints, and how many are shown."""

from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from pmsim.errors import Fault, ScenarioError
from pmsim.quantities import Time
from pmsim.scenario.faults import MAX_FAULTS, FaultList, did_you_mean, validated
from pmsim.scenario.nodes import Leaf
from pmsim.scenario.read import parse


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    depth: Annotated[int, Field(gt=0, lt=10)] = 1
    share: Annotated[float, Field(ge=0, le=1)] = 0.5


class Timed(BaseModel):
    length: Time


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    one: Inner = Inner()
    many: Annotated[tuple[Inner, ...], Field(max_length=3)] = ()
    some: Annotated[tuple[Inner, ...], Field(min_length=1)] = (Inner(),)
    either: int | str | None = None
    word: Literal["end", "never"] = "end"
    yes: bool = True
    text: str = ""
    table: dict[str, int] = {}


def faults(text: str) -> list[Fault]:
    found = FaultList("f.yaml")
    assert validated(Outer, parse(text, "f.yaml"), found) is None
    return found.faults


def only(text: str) -> Fault:
    (fault,) = faults(text)
    return fault


def test_an_unknown_key_stands_at_the_key_and_names_the_nearest_of_its_own_table() -> None:
    fault = only("many:\n- depth: 1\n- {dept: 2}\n")
    assert (fault.code, fault.line, fault.column) == ("unknown-key", 3, 4)
    assert fault.hint == "did you mean depth?"


def test_a_missing_key_stands_at_its_table() -> None:
    class Needs(BaseModel):
        key: int

    class Holds(BaseModel):
        inner: Needs

    found = FaultList("f.yaml")
    validated(Holds, parse("inner:\n  {other: 1}\n", "f.yaml"), found)
    assert [(f.code, f.line, f.column) for f in found.faults] == [("missing-key", 2, 3)]


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("one: {depth: 0}", "out-of-range", "'0' must be more than 0"),
        ("one: {depth: 10}", "out-of-range", "'10' must be less than 10"),
        ("one: {share: -1}", "out-of-range", "'-1' must be at least 0"),
        ("one: {share: 2}", "out-of-range", "'2' must be at most 1"),
        ("one: {depth: x}", "wrong-type", "'x' is no whole number"),
        ("one: {depth: 1.5}", "wrong-type", "'1.5' is no whole number"),
        ("one: {depth: '1'}", "wrong-type", "'1' is no whole number"),
        ("one: {depth: true}", "wrong-type", "'true' is no whole number"),
        ("one: {share: x}", "wrong-type", "'x' is no number"),
        ("one: [1]", "wrong-type", "a list is no mapping of keys"),
        ("one:", "wrong-type", "nothing is no mapping of keys"),
        ("many: {a: 1}", "wrong-type", "a mapping is no list"),
        ("many: [{}, {}, {}, {}]", "bad-value", "a list must have at most 3 entries"),
        ("text: 5", "wrong-type", "'5' is no text"),
        ("yes: maybe", "wrong-type", "'maybe' is neither true nor false"),
        ("table: 5", "wrong-type", "'5' is no mapping of keys"),
        ("word: edn", "bad-value", "'edn' is not one of: end, never"),
        (f"one: {{depth: {'x' * 50}}}", "wrong-type", f"'{'x' * 40}...' is no whole number"),
    ],
)
def test_what_is_wrong_is_said_in_plain_words(text: str, code: str, message: str) -> None:
    fault = only(text)
    assert (fault.code, fault.message) == (code, message)


def test_a_list_is_too_short_where_entries_are_missing_and_not_where_they_are_wrong() -> None:
    assert only("some: []").message == "a list must have at least 1 entry"
    assert only("some: [{depth: 0}]").message == "'0' must be more than 0"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("word: nevr", "did you mean never?"),
        ("word: sometimes", ""),  # the message names all that are
        ("one: {depth: '4'}", "write 4, without quotes"),
        ("one: {depth: four}", ""),
        ("yes: 'true'", "write true, without quotes"),
        ("yes: off", "write false, without quotes"),
        ("yes: 1", ""),
    ],
)
def test_a_word_that_is_not_allowed_is_answered_with_what_was_meant(text: str, hint: str) -> None:
    assert only(text).hint == hint


def test_each_branch_of_a_union_that_was_not_told_apart_speaks_at_the_same_place() -> None:
    assert {(f.line, f.column) for f in faults("a: 1\neither: []") if f.code != "unknown-key"} == {
        (2, 9)
    }


def test_the_same_fault_at_the_same_place_is_reported_once_and_in_order() -> None:
    found = FaultList("f.yaml")
    for line in (3, 1, 3):
        found.at(Leaf("", True, line, 1), "code", "message")
    with pytest.raises(ScenarioError) as caught:
        found.raise_if_any()
    assert [fault.line for fault in caught.value.faults] == [1, 3]


def test_no_faults_are_no_error() -> None:
    found = FaultList("f.yaml")
    found.raise_if_any()
    assert not found


def test_more_faults_than_anybody_reads_are_counted_only() -> None:
    found = FaultList("f.yaml")
    for line in range(1, MAX_FAULTS + 8):
        found.at(Leaf("", True, line, 1), "code", "message")
    with pytest.raises(ScenarioError) as caught:
        found.raise_if_any()
    assert len(caught.value.faults) == MAX_FAULTS + 1
    assert caught.value.faults[-1].message == "7 more faults are not shown"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("celing", "did you mean ceiling?"),
        ("Ceiling", "did you mean ceiling?"),
        ("lazymaxunit", "did you mean lazy_max_unit?"),
        ("laz", "did you mean lazy_max_unit or lazy_merges?"),
        ("zzz", "known: arch, ceiling, lazy_max_unit, lazy_merges"),
    ],
)
def test_names_that_begin_so_are_offered_or_the_nearest_or_all(name: str, hint: str) -> None:
    assert did_you_mean(name, ["ceiling", "arch", "lazy_max_unit", "lazy_merges"]) == hint


@pytest.mark.parametrize(
    ("written", "said"),
    [("", "nothing"), ("[64B]", "a list"), ("{a: 1}", "a mapping"), ("true", "'true'")],
)
def test_what_is_no_quantity_is_called_by_its_yaml_name(written: str, said: str) -> None:
    found = FaultList("f.yaml")
    assert validated(Timed, parse(f"length: {written}", "f.yaml"), found) is None
    assert found.faults[0].message == f"{said} is not a time"


def test_where_nothing_is_known_nothing_is_said() -> None:
    assert did_you_mean("x", []) == ""
