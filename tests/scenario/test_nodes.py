"""Documents as trees of nodes with places."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pmsim.scenario.nodes import Leaf, List, Table, find, merged, node_of

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("12", 12),
        ("-3", -3),
        ("+3", 3),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1e3", 1000.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
    ],
)
def test_plain_text_means_what_the_core_schema_of_yaml_1_2_says(text: str, value: Any) -> None:
    found = Leaf(text).value()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "on", "off", "12:30", "1_000", "0b1", "250ns", "2/s", "4 pages", "=", "<<"],
)
def test_what_earlier_yaml_took_for_something_else_is_text(text: str) -> None:
    assert Leaf(text).value() == text


def test_quoted_text_is_text_whatever_it_looks_like() -> None:
    assert Leaf("12", plain=False).value() == "12"
    assert Leaf("", plain=False).value() == ""


def test_absurdly_many_digits_stay_text() -> None:
    assert Leaf("9" * 5000).value() == "9" * 5000


def test_not_a_number_is_a_float() -> None:
    assert math.isnan(Leaf(".nan").value())


@given(PLAIN)
def test_plain_data_comes_back_from_its_nodes(data: Any) -> None:
    assert node_of(data).value() == data


def test_nodes_of_plain_data_stand_where_they_are_put() -> None:
    table = node_of({"a": [1]}, 3, 7)
    assert isinstance(table, Table)
    item = find(table, ["a", 0])
    assert (item.line, item.column) == (3, 7)
    assert (table.items[0][0].line, table.items[0][0].column) == (3, 7)


def test_a_path_that_breaks_off_leads_to_the_last_node_on_it() -> None:
    tree = node_of({"a": [{"b": 1}]})
    assert find(tree, ["a", 0, "b"]).value() == 1
    assert find(tree, ["a", 0, "c", "d"]).value() == {"b": 1}
    assert find(tree, ["a", 5]).value() == [{"b": 1}]
    assert find(tree, ["a", "x"]).value() == [{"b": 1}]


def test_a_replaced_key_keeps_its_place_among_the_others() -> None:
    table = node_of({"a": 1, "b": 2})
    assert isinstance(table, Table)
    assert list(table.with_key("a", Leaf("3")).value().items()) == [("a", 3), ("b", 2)]
    assert list(table.with_key("c", Leaf("3")).value()) == ["a", "b", "c"]


def test_a_new_key_stands_where_its_value_does() -> None:
    table = Table(()).with_key("a", Leaf("1", True, 5, 9))
    assert (table.items[0][0].line, table.items[0][0].column) == (5, 9)


def test_tables_are_laid_over_each_other_key_by_key_and_lists_are_replaced() -> None:
    base = node_of({"ipi": {"queue": "20ns", "entry": "250ns"}, "idle": [1, 2]})
    over = node_of({"ipi": {"entry": "1us"}, "idle": [3], "tlb": {}})
    assert merged(base, over).value() == {
        "ipi": {"queue": "20ns", "entry": "1us"},
        "idle": [3],
        "tlb": {},
    }


def test_a_value_is_replaced_by_a_table_and_the_other_way_round() -> None:
    assert merged(node_of({"a": 1}), node_of({"a": {"b": 2}})).value() == {"a": {"b": 2}}
    assert merged(node_of({"a": {"b": 2}}), node_of({"a": 1})).value() == {"a": 1}


def test_a_list_is_its_items() -> None:
    assert List((Leaf("1"), Leaf("x"))).value() == [1, "x"]
