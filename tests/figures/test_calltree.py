from __future__ import annotations

import pandas as pd

from pmsim.figures.calltree import PARTS, call_tree
from tests.figures.made_up import PROTECT, InPieces, MadeUp, operations


def test_operations_of_one_kind_under_one_caller_are_added_up():
    rows = call_tree(MadeUp(operations(*PROTECT))).rows
    assert rows["kind"].tolist() == ["pmalloc_protect_pool", "set_memory_ro", "pmalloc"]
    assert rows["depth"].tolist() == [0, 1, 0]
    assert rows["count"].tolist() == [1, 2, 1]
    assert rows["crosscalls"].tolist() == [2, 2, 0]
    assert rows["cost_ps"].tolist() == [900, 880, 70]
    assert rows["longest_ps"].tolist() == [900, 540, 70]
    assert rows.loc[1, list(PARTS)].tolist() == [80, 0, 800, 0]


def test_the_same_kind_under_another_caller_is_another_row():
    rows = call_tree(MadeUp(operations(*PROTECT, (4, None, "set_memory_ro", 1, 5, 0, 5, 0)))).rows
    assert rows[rows["kind"] == "set_memory_ro"]["depth"].tolist() == [1, 0]


def test_a_caller_that_ended_later_than_its_children_is_found():
    by_end = operations(*PROTECT).iloc[[1, 2, 0, 3]]
    assert call_tree(MadeUp(by_end)).rows.equals(call_tree(MadeUp(operations(*PROTECT))).rows)


def test_ids_of_different_replications_are_different_operations():
    first, second = operations(*PROTECT), operations(*PROTECT[:2]).assign(replication=1)
    both = MadeUp(pd.concat([first, second], ignore_index=True))
    assert call_tree(both).rows["count"].tolist() == [2, 3, 1]


def test_a_table_in_pieces_gives_the_same_tree():
    pieces = InPieces(operations(*PROTECT), rows=1)
    assert call_tree(pieces).rows.equals(call_tree(MadeUp(operations(*PROTECT))).rows)
    assert pieces.pieces == 3 * len(PROTECT)


def test_the_cheapest_rows_are_left_out_and_counted():
    tree = call_tree(MadeUp(operations(*PROTECT)), most_rows=2)
    assert tree.rows["kind"].tolist() == ["pmalloc_protect_pool", "set_memory_ro"]
    assert tree.left_out == 1


def test_an_operation_whose_caller_was_cut_off_counts_as_called_by_nobody():
    # The protection had not ended when the run did, so it has no row.
    rows = call_tree(MadeUp(operations(*PROTECT[1:]))).rows
    assert rows[["kind", "depth", "count"]].to_numpy().tolist() == [
        ["set_memory_ro", 0, 2],
        ["pmalloc", 0, 1],
    ]


def test_three_levels_of_calls_are_three_levels_of_rows():
    table = operations(
        (0, None, "a", 0, 9, 0, 0, 0), (1, 0, "b", 0, 5, 0, 0, 0), (2, 1, "c", 0, 3, 0, 0, 0),
        (3, None, "c", 0, 1, 0, 0, 0),
    )  # fmt: skip
    rows = call_tree(MadeUp(table)).rows
    assert rows[["kind", "depth"]].to_numpy().tolist() == [["a", 0], ["b", 1], ["c", 2], ["c", 0]]
