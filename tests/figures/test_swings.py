"""The figure of constants, on a sensitivity that is made up."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from matplotlib import pyplot as plt

from pmsim.figures import constants
from pmsim.figures.swings import swings


@dataclass(frozen=True)
class Constant:
    name: str
    total: float | None
    at_low: float | None
    at_high: float | None
    low: str = "5ns"
    high: str = "20ns"
    basis: str = "estimate"


@dataclass(frozen=True)
class Found:
    constants: tuple[Constant, ...]
    metric: str = "lost_share"
    value: float = 0.02


@dataclass(frozen=True)
class Sensitivity:
    found: Found


MADE_UP = Sensitivity(
    Found(
        (
            Constant("ipi.entry", 0.2, 0.018, 0.024),
            Constant("tlb.walk", 0.7, 0.010, 0.040),
            Constant("ipi.send", None, None, None),
        )
    )
)


def test_constants_stand_in_order_of_what_they_move_and_small_ones_are_left_out() -> None:
    assert [row.name for row in swings(MADE_UP).rows] == ["tlb.walk", "ipi.entry"]


def test_bars_reach_from_the_figure_itself_to_that_at_each_end() -> None:
    ax = constants(MADE_UP)
    bars = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches)
    ends = {round(end, 6) for bar in bars for end in bar}
    assert ends == {0.010, 0.018, 0.02, 0.024, 0.040}


def test_it_is_drawn_on_the_axes_given_and_names_constants_and_shares() -> None:
    _, given = plt.subplots()
    ax = constants(MADE_UP, ax=given)
    assert ax is given
    told = " ".join(
        [text.get_text() for text in ax.texts] + [tick.get_text() for tick in ax.get_yticklabels()]
    )
    assert "tlb.walk" in told
    assert "70 %" in told


@pytest.mark.parametrize("found", [Found(()), Found((Constant("ipi.send", None, None, None),))])
def test_where_no_constant_matters_that_is_said(found: Found) -> None:
    ax = constants(Sensitivity(found))
    assert not ax.patches
