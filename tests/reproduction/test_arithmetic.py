"""Sums of names and numbers."""

from __future__ import annotations

import pytest

from pmsim.reproduction.arithmetic import evaluate, names_in


def test_a_sum_is_worked_out_by_the_usual_rules() -> None:
    assert evaluate("2 * (a - b) / 4 + -c", {"a": 10.0, "b": 4.0, "c": 1.0}) == 2.0


def test_names_come_in_the_order_of_their_first_use() -> None:
    assert names_in("256 * one - batch + one") == ["one", "batch"]


@pytest.mark.parametrize(
    "text", ["", "a +", "a ** 2", "f(a)", "a.b", "a[0]", "True", "'a'", "a if b else c", "1_" * 200]
)
def test_all_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        names_in(text)


def test_a_sum_that_comes_to_nothing_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="no finite number"):
        evaluate("a / b", {"a": 1.0, "b": 0.0})
