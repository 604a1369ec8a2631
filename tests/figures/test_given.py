from __future__ import annotations

import pytest

import pmsim


@pytest.mark.parametrize(
    ("figure", "says"),
    [
        ("broadcast_timeline", "draws a result"),
        ("call_anatomy", "draws a result"),
        ("flush_cost", "draws a result .* or a sweep"),
        ("curves", "draws a sweep"),
        ("constants", "draws a sensitivity"),
        ("predicted_against_measured", "draws points of a reproduction"),
    ],
)
@pytest.mark.parametrize("given", ["results/two-pools", None, 3])
def test_a_figure_of_something_else_says_what_it_draws(
    figure: str, says: str, given: object
) -> None:
    with pytest.raises(TypeError, match=f"{figure} {says}.*, not {type(given).__name__}"):
        getattr(pmsim.plot, figure)(given)
