"""Designs of pools: which of them no other one beats, in the figure and in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pandas as pd
import pytest

import pmsim
from pmsim.errors import ResultError
from pmsim.figures import designs
from pmsim.figures.form import form_of, formed
from pmsim.figures.gallery import drawings
from pmsim.report.pool_words import pool_words

REFILL, MODE = "workloads.rules.pool.refill", "workloads.rules.pool.mode"

FOUND: Mapping[tuple[str, str], tuple[float, float]] = {
    ("4KiB", "ro"): (2e9, 10.0),
    ("4KiB", "start"): (8e9, 0.0),
    ("64KiB", "ro"): (1e9, 9.0),
    ("64KiB", "start"): (9e9, 0.0),
    ("256KiB", "ro"): (1e9, 9.0),
    ("256KiB", "start"): (4e9, 1.0),
}
"""What a design costs, and how exposed it is."""


@dataclass
class OfDesigns:
    """A sweep of designs that nobody ran."""

    found: Mapping[tuple[str, str], tuple[float, float]] = field(default_factory=lambda: FOUND)
    paths: tuple[str, str] = (REFILL, MODE)

    @property
    def axes(self) -> Mapping[str, tuple[Any, ...]]:
        values = [tuple(dict.fromkeys(values)) for values in zip(*self.found, strict=True)]
        return dict(zip(self.paths, values, strict=True))

    @property
    def cells(self) -> pd.DataFrame:
        return pd.DataFrame(list(product(*self.axes.values())), columns=list(self.axes))

    @property
    def frame(self) -> pd.DataFrame:
        both = pd.DataFrame(list(self.found.values()), columns=[designs.COST, designs.EXPOSURE])
        return self.cells.join(both)

    def intervals(self, *columns: str, level: float = 0.95) -> pd.DataFrame:
        (name,) = columns
        return self.cells.assign(mean=self.frame[name], low=float("nan"), high=float("nan"), n=1)


SWEEP = OfDesigns()


def test_the_front_is_what_none_beats_in_both_the_first_of_equals() -> None:
    found = designs.designs(SWEEP)
    assert found is not None
    assert [(one.name, one.cost, one.exposure) for one in found.front] == [
        ("refill 64 KiB, mode ro", 1e9, 9.0),
        ("refill 256 KiB, mode start", 4e9, 1.0),
        ("refill 4 KiB, mode start", 8e9, 0.0),
    ]


def test_it_is_told_in_words() -> None:
    (said,) = pool_words(SWEEP)  # type: ignore[arg-type]
    assert said == (
        "Exposure of pools against what they cost everybody, the designs that none beats, the"
        " cheapest first: refill 64 KiB, mode ro: 9 B s for 1 ms; refill 256 KiB, mode start: 1 B s"
        " for 4 ms; refill 4 KiB, mode start: 0 B s for 8 ms. All 3 others cost as much or more and"
        " are no less exposed."
    )


def test_the_figure_has_a_dot_for_each_and_names_the_front() -> None:
    ax = pmsim.plot.pareto(SWEEP)
    beaten, front = (line.get_xydata() for line in (ax.lines[0], ax.lines[2]))
    assert beaten.tolist() == [[2e9, 10.0], [9e9, 0.0], [1e9, 9.0]]
    assert front.tolist() == [[1e9, 9.0], [4e9, 1.0], [8e9, 0.0]]
    texts = [text.get_text() for text in ax.texts]
    assert "1  64 KiB, ro\n2  256 KiB, start\n3  4 KiB, start" in texts
    assert ax.get_label().startswith("From 9 B s for 1 ms to 0 B s for 8 ms: 3 designs of 6")


def test_a_sweep_over_pools_is_drawn_so_and_one_over_anything_else_is_not() -> None:
    with formed(form_of("6in")):
        assert "pareto" in [drawing.name for drawing in drawings(SWEEP, [designs.COST])]
    other = OfDesigns(paths=("machine.platform", "workloads.rules.size"))
    assert designs.designs(other) is None
    assert pool_words(other) == []  # type: ignore[arg-type]
    assert pmsim.plot.pareto(other).get_label()


def test_designs_that_do_not_differ_are_not_drawn() -> None:
    alike = OfDesigns({("4KiB", "ro"): (1.0, 2.0), ("8KiB", "ro"): (1.0, 2.0)})
    with pytest.raises(ResultError, match="two cells that differ"):
        pmsim.plot.pareto(alike)
