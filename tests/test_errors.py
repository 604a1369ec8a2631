from __future__ import annotations

import pytest

from pmsim.errors import DeadlockError


@pytest.mark.parametrize(
    ("at_ps", "said"),
    [
        (0, "0 s"),
        (1, "1 ps"),
        (999, "999 ps"),
        (1000, "1 ns"),
        (1_001, "1.001 ns"),
        (1_234_567, "1.234567 µs"),
        (20_000_000_000, "20 ms"),
        (1_234_000_000_000_001, "1,234.000000000001 s"),
    ],
)
def test_the_instant_of_an_error_is_exact_in_the_unit_that_fits(at_ps: int, said: str) -> None:
    assert str(DeadlockError("stuck", at_ps, "task 0")) == f"stuck (task 0, at {said})"


def test_an_error_without_a_place_says_none() -> None:
    assert str(DeadlockError("stuck")) == "stuck"
