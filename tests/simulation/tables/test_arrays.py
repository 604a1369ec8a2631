"""Arrow arrays made of buffers are those that PyArrow itself would make."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pmsim.simulation.tables.arrays import (
    coded,
    few_words,
    filled,
    none_where,
    numbers,
    strings,
    words,
)

LARGE = 2**62 + 1


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([], "int", pa.int64()),
        ([1, -7, LARGE], "int", pa.int64()),
        ([1, None, LARGE], "int", pa.int64()),
        ([None] * 9, "int", pa.int64()),
        ([0.5, None, 3], "float", pa.float64()),
        ([True, False, True] * 5, "bool", pa.bool_()),
        (np.arange(10)[::3], "int", pa.int64()),
    ],
)
def test_numbers_are_those_of_pyarrow(values: Any, kind: Any, expected: pa.DataType) -> None:
    made = numbers(values, kind)
    made.validate(full=True)
    assert made.equals(pa.array(values, expected))


def test_one_number_can_stand_for_none() -> None:
    assert none_where(np.array([-1, 0, LARGE])).to_pylist() == [None, 0, LARGE]
    assert none_where(np.array([3, 0, 3]), 3).to_pylist() == [None, 0, None]


@pytest.mark.parametrize(
    "values", [[], ["a", "b", "a"], ["", None, "", "\N{MICRO SIGN}s"], [None, None]]
)
def test_words_and_texts_are_those_of_pyarrow(values: list[str | None]) -> None:
    for made in (few_words(values), strings(values)):
        made.validate(full=True)
        assert made.to_pylist() == values
    assert few_words(values).equals(pa.array(values, pa.string()).dictionary_encode())
    assert strings(values).equals(pa.array(values, pa.string()))


def test_words_come_from_their_numbers_and_go_back() -> None:
    made = words(np.array([1, 0, 1, -1]), ["zero", "one"])
    made.validate(full=True)
    assert made.to_pylist() == ["one", "zero", "one", None]
    codes, names = coded(made)
    assert (codes.tolist(), names) == ([1, 0, 1, -1], ["zero", "one"])


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1, None, LARGE] * 5),
        pa.array([1, 2, 3] * 5),
        pa.array([0.5, 1.5] * 8),
        pa.array([True, False, False] * 5),
        pa.array([], pa.int64()),
    ],
)
def test_columns_are_read_as_they_are_wherever_they_begin(column: pa.Array) -> None:
    for piece in (column, column.slice(3), column.slice(9, 4), column.slice(2, 0)):
        expected = [-1 if value is None else value for value in piece.to_pylist()]
        assert filled(piece).tolist() == expected


def test_a_run_and_its_answer_load_neither_pandas_nor_scipy_stats() -> None:
    program = (
        "import sys, pmsim\n"
        "from pmsim.report.answer import answer_tables, answer_words\n"
        "result = pmsim.run('policy-load')\n"
        "assert answer_words(result) and answer_tables(result)\n"
        "print({'pandas', 'scipy.stats', 'matplotlib', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    assert done.stdout == b"set()\n"
