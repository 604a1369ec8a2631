"""Constants that say where they come from."""

from __future__ import annotations

from typing import Any

from pmsim.scenario.faults import FaultList
from pmsim.scenario.nodes import node_of
from pmsim.scenario.read import parse
from pmsim.scenario.sources import GivenConstant, Unsourcing


def bare(data: Any) -> tuple[Any, list[GivenConstant], list[str]]:
    faults = FaultList("f.yaml")
    unsourcing = Unsourcing(faults)
    value = unsourcing.bare(node_of(data), ("costs",)).value()
    return value, unsourcing.constants, [fault.code for fault in faults.faults]


def test_a_value_takes_the_place_of_its_mapping() -> None:
    sourced = {"entry": {"value": "250ns", "basis": "estimate", "source": "a guess"}}
    value, constants, codes = bare(sourced)
    assert value == {"entry": "250ns"}
    assert constants == [GivenConstant("costs.entry", "250ns", "estimate", "a guess")]
    assert codes == []


def test_a_bare_value_is_a_constant_without_basis_and_source() -> None:
    value, constants, _ = bare({"entry": "250ns"})
    assert value == {"entry": "250ns"}
    assert constants == [GivenConstant("costs.entry", "250ns", "", "")]


def test_a_whole_table_may_have_one_source() -> None:
    table = {"delivery": {"value": {"core": "1us", "die": "2us"}, "basis": "quoted", "source": "x"}}
    value, constants, _ = bare(table)
    assert value == {"delivery": {"core": "1us", "die": "2us"}}
    assert constants == [GivenConstant("costs.delivery", "core 1us, die 2us", "quoted", "x")]


def test_constants_are_found_in_lists_and_names_are_none() -> None:
    _, constants, _ = bare({"idle": [{"name": "C1", "exit": {"value": "2us", "basis": "quoted"}}]})
    assert constants == [GivenConstant("costs.idle.0.exit", "2us", "quoted", "")]


def test_a_source_over_several_lines_is_one_line() -> None:
    _, constants, _ = bare({"a": {"value": 1, "source": "one\n  two\n"}})
    assert constants[0].source == "one two"


def test_an_unknown_key_or_basis_or_a_source_that_is_no_text_is_a_fault() -> None:
    assert bare({"a": {"value": 1, "sorce": "x"}})[2] == ["unknown-key"]
    assert bare({"a": {"value": 1, "basis": "guess"}})[2] == ["bad-value"]
    assert bare({"a": {"value": 1, "source": ["x"]}})[2] == ["wrong-type"]


def test_the_value_keeps_its_place() -> None:
    tree = parse("costs:\n  a: {basis: quoted, value: 5ns}\n", "f.yaml")
    node = Unsourcing(FaultList("f.yaml")).bare(tree)
    assert node.value() == {"costs": {"a": "5ns"}}
    found = node.get("costs").get("a")  # type: ignore[union-attr]
    assert (found.line, found.column) == (2, 29)
