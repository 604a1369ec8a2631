"""From how many pages on everything is flushed: a step in a line, if there is one."""

from __future__ import annotations

from collections.abc import Callable

from pmsim.calibration.ceiling import find_ceiling
from pmsim.calibration.cells import Cell
from pmsim.calibration.measured import Measured
from tests.calibration.made_up import ONE, measured

PAGES = (1, 2, 4, 8, 16, 32, 33, 34, 64, 256, 512)


def curve(ns: Callable[[int], float], spinning: bool = False) -> list[Measured]:
    cells = [
        Cell("mprotect", "call", pages, *(("spinning", ONE) if spinning else ())) for pages in PAGES
    ]
    return [measured(cell, ns(cell.pages)) for cell in cells]


def flushed(pages: int, ceiling: int = 33) -> float:
    """Return what a call takes: 20 ns a page, and 40 more each up to a ceiling, or 100 once."""
    return 2000 + 20 * pages + (40 * pages if pages <= ceiling else 100)


def test_the_step_is_found_where_it_is() -> None:
    found = find_ceiling(curve(flushed) + curve(lambda pages: 6000 + flushed(pages), spinning=True))
    assert found is not None
    assert (found.below, found.above) == (33, 34)
    assert round(found.step_ns) == -(40 * 34 - 100)


def test_another_ceiling_is_found_as_near_as_cells_stand() -> None:
    found = find_ceiling(curve(lambda pages: flushed(pages, ceiling=8)))
    assert found is not None
    assert (found.below, found.above) == (8, 16)


def test_a_line_without_a_step_has_no_ceiling() -> None:
    assert find_ceiling(curve(lambda pages: 2000 + 60 * pages)) is None


def test_a_step_that_is_smaller_than_the_noise_is_none() -> None:
    small = curve(lambda pages: 2000 + 20 * pages - (15 if pages > 33 else 0))
    assert find_ceiling(small) is None


def test_too_few_cells_tell_nothing() -> None:
    assert find_ceiling(curve(flushed)[:5]) is None
    assert find_ceiling([]) is None
