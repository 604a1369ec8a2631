"""Reading YAML: places, budgets, and faults of the text itself."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pmsim.errors import Fault, ScenarioError
from pmsim.scenario.nodes import Table, find
from pmsim.scenario.read import MAX_BYTES, parse, read_file
from pmsim.scenario.tree import MAX_DEPTH, MAX_KEYS, MAX_NODES


def faults(text: str) -> tuple[Fault, ...]:
    with pytest.raises(ScenarioError) as caught:
        parse(text, "f.yaml")
    return caught.value.faults


def place(text: str) -> tuple[str, int, int]:
    """Return code, line and column of the only fault."""
    (fault,) = faults(text)
    return fault.code, fault.line, fault.column


def test_every_node_knows_its_line_and_column() -> None:
    tree = parse("a:\n  - x\n  - {b: 1,\n     c: 'é', d: 2}\n", "f.yaml")
    assert isinstance(tree, Table)
    places = {
        path: (find(tree, path).line, find(tree, path).column)
        for path in [("a",), ("a", 0), ("a", 1), ("a", 1, "b"), ("a", 1, "c"), ("a", 1, "d")]
    }
    assert places == {
        ("a",): (2, 3),
        ("a", 0): (2, 5),
        ("a", 1): (3, 5),
        ("a", 1, "b"): (3, 9),
        ("a", 1, "c"): (4, 9),
        ("a", 1, "d"): (4, 17),
    }


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("a: [\n", "2:4 '[' is never closed", "']' belongs at its end"),
        ("a: {b: 1\n", "2:4 '{' is never closed", "'}' belongs at its end"),
        ("a: 1\rb: [\r", "3:4 '[' is never closed", "']' belongs at its end"),
        ("a: {b: 1]\n", "2:9 ']' cannot stand here, where ',' or '}' would", ""),
        ("a: 'b\n", "2:4 a quote that is never closed", "the same quote belongs at the end"),
        ("a: b: c\n", "2:5 ': ' cannot stand here", "check the indentation, and quote text"),
        ("ab\nc: 1\n", "2:1 a key without its colon", "a key needs a colon"),
        ("- a\n", "2:1 a list's '- ' cannot stand here", "check the indentation against"),
        ("a: @x\n", "2:4 '@' cannot begin a value", "quote the text"),
        ("a: {b: 1, , c: 2}\n", "2:11 a value is missing before ','", ""),
    ],
)
def test_syntax_is_refused_in_words_that_are_not_the_parsers(
    text: str, said: str, hint: str
) -> None:
    (fault,) = faults("pmsim: 1\n" + text)
    assert f"{fault.line}:{fault.column} {fault.message}" == said
    assert fault.hint.startswith(hint)


def test_columns_count_characters_not_bytes() -> None:
    tree = parse("{é: 1, b: 2}", "f.yaml")
    assert find(tree, ["b"]).column == 11


def test_nothing_behind_a_key_is_seen_at_the_key() -> None:
    tree = parse("a: 1\nbc:\nd: 2\n", "f.yaml")
    node = find(tree, ["bc"])
    assert node.value() is None
    assert (node.line, node.column) == (2, 1)


def test_an_alias_means_what_its_anchor_means() -> None:
    assert parse("a: &x {b: 1}\nc: *x\n", "f.yaml").value() == {"a": {"b": 1}, "c": {"b": 1}}


def test_an_anchor_may_be_used_again() -> None:
    text = "a: &x 1\nb: *x\nc: &x 2\nd: *x\n"
    assert parse(text, "f.yaml").value() == {"a": 1, "b": 1, "c": 2, "d": 2}


def test_all_faults_before_the_end_come_together() -> None:
    found = faults("a: 1\na: 2\nb: *none\n? [x]\n: 3\nc: !thing 4\n")
    assert [(f.code, f.line, f.column) for f in found] == [
        ("duplicate-key", 2, 1),
        ("undefined-alias", 3, 4),
        ("bad-key", 4, 3),
        ("tag", 5 + 1, 4),
    ]


def test_a_syntax_error_comes_after_what_was_found_before_it() -> None:
    assert [f.code for f in faults("a: 1\na: 2\nb: [1\n")] == ["duplicate-key", "yaml-syntax"]


def test_a_duplicate_key_says_where_the_first_is() -> None:
    (fault,) = faults("a: 1\nb: 2\na: 3\n")
    assert (fault.line, fault.hint) == (3, "the first is in line 1")


def test_the_same_key_in_different_tables_is_no_duplicate() -> None:
    assert parse("a: {x: 1}\nb: {x: 1}\n", "f.yaml").value() == {"a": {"x": 1}, "b": {"x": 1}}


def test_an_open_bracket_is_reported_where_it_opens() -> None:
    assert place("a: 1\nb: [1,\n  {c: 2},\n") == ("yaml-syntax", 2, 4)


def test_an_open_quote_is_reported_where_it_opens() -> None:
    assert place("a: 1\nb: 'x\nc: 2\n") == ("yaml-syntax", 2, 4)


def test_half_a_surrogate_pair_is_reported_where_it_stands() -> None:
    assert place('a: 1\nb: "x\\ud800"\n') == ("not-text", 2, 4)


def test_a_string_tag_makes_text() -> None:
    assert parse("a: !!str 5\nb: ! 5\n", "f.yaml").value() == {"a": "5", "b": "5"}


def test_yaml_may_say_that_it_is_1_2() -> None:
    assert parse("%YAML 1.2\n---\na: yes\n", "f.yaml").value() == {"a": "yes"}


def test_a_document_may_be_ended() -> None:
    assert parse("---\na: 1\n...\n", "f.yaml").value() == {"a": 1}


def test_the_deepest_nesting_is_read_and_one_more_is_not() -> None:
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH, "f.yaml").value()
    assert place("[" * (MAX_DEPTH + 1)) == ("too-deep", 1, MAX_DEPTH + 1)


def test_absurd_nesting_is_refused_before_it_is_scanned() -> None:
    # To its end the scanner would need days: its time grows with the square of the depth.
    assert place("[" * 1_000_000)[0] == "too-deep"


def test_the_budget_of_values_counts_what_aliases_stand_for() -> None:
    # The list has 10 values and itself, the outer list itself: one alias too many goes over.
    aliases = (MAX_NODES - 14) // 11
    text = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\nb: [" + "*a, " * aliases
    assert parse(text + "]", "f.yaml").value()["b"][-1] == [1] * 10
    assert place(text + "*a]") == ("alias-expansion", 2, 5 + 4 * aliases)


def test_a_billion_laughs_end_early() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 10)]
    assert place("\n".join(lines))[0] == "alias-expansion"


def test_too_many_keys_are_refused() -> None:
    text = "".join(f"k{i}: 1\n" for i in range(MAX_KEYS + 1))
    assert place(text) == ("too-many-keys", MAX_KEYS + 1, 1)


def test_a_file_is_read_with_a_byte_order_mark_and_any_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    tree = read_file(path)
    assert tree.value() == {"a": 1, "b": 2}
    assert (find(tree, ["b"]).line, find(tree, ["b"]).column) == (2, 4)


def test_a_file_that_is_not_there_is_a_fault_without_a_place(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_file(tmp_path / "none.yaml")
    (fault,) = caught.value.faults
    assert (fault.code, fault.line) == ("no-such-file", 0)


def test_what_is_no_file_is_refused_as_what_it_is_and_not_waited_for(tmp_path: Path) -> None:
    pipe, door = tmp_path / "pipe", tmp_path / "door"
    os.mkfifo(pipe)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(door))
        for path, kind in (
            (tmp_path, "a directory"),
            (pipe, "a pipe"),
            (Path("/dev/zero"), "a device"),
            (door, "a socket"),
        ):
            with pytest.raises(ScenarioError) as caught:
                read_file(path)
            (fault,) = caught.value.faults
            assert (fault.code, fault.message) == ("no-file", f"this is {kind}, not a file")


def test_a_name_that_no_file_can_have_is_that_of_none() -> None:
    with pytest.raises(ScenarioError) as caught:
        read_file(Path("a\0b.yaml"))
    assert caught.value.faults[0].code == "no-such-file"


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ScenarioError) as caught:
        read_file(path)
    assert caught.value.faults[0].code == "too-large"


def test_a_bad_byte_is_reported_at_its_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes("a: 1\nb: é".encode() + b"\xe9\n")
    with pytest.raises(ScenarioError) as caught:
        read_file(path)
    (fault,) = caught.value.faults
    assert (fault.code, fault.line, fault.column) == ("not-utf8", 2, 5)


YAML_LIKE = st.lists(
    st.sampled_from(
        ["a", "b: ", "- ", "\n", "  ", "\t", "{", "}", "[", "]", ",", "'", '"', "&a ", "*a", "!",
         "|", ">", "#", "%", "---\n", "...\n", "? ", ": ", "\r", "\x85", "\u2028", "\\", "0x"]
    ),
    max_size=30,
).map("".join)  # fmt: skip


@given(YAML_LIKE | st.text())
@example('a: "\\ud800"')
def test_any_text_is_a_tree_or_faults_with_places(text: str) -> None:
    try:
        parse(text, "f.yaml").value()
    except ScenarioError as error:
        places = [(fault.line, fault.column) for fault in error.faults]
    else:
        places = []
    assert all(line >= 1 and column >= 1 for line, column in places)
