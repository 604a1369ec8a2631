"""Fitting: constants that made cells are found again, and what cells do not tell is said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pmsim.calibration.cells import Cell
from pmsim.calibration.fit import Fit, fit
from pmsim.calibration.identify import candidates, identified
from pmsim.calibration.measured import Measured
from pmsim.calibration.model import Model
from pmsim.errors import CalibrationError
from tests.calibration.made_up import CELLS, ONE, TRUTH, measured


@pytest.fixture(scope="module")
def found(simulator: Model, truth: list[Measured]) -> Fit:
    return fit(simulator, truth)


def test_the_constants_that_made_the_cells_are_found_again(found: Fit) -> None:
    fitted = {one.path: one.value for one in found.constants}
    assert set(fitted) >= set(TRUTH)
    for path, value in TRUTH.items():
        assert fitted[path] == pytest.approx(value, rel=0.02), path


def test_ranges_hold_what_was_fitted_and_are_narrow_where_cells_are_met(found: Fit) -> None:
    for one in found.constants:
        assert one.low <= one.value <= one.high
        assert one.high < 1.3 * one.low, one.path


def test_what_is_said_of_cells_is_the_simulators_own(simulator: Model, found: Fit) -> None:
    for cell, ns in found.predicted.items():
        assert ns == simulator.predict(cell, found.values)


def test_constants_of_which_only_the_sum_is_known_stay_and_it_is_said_of_which(found: Fit) -> None:
    why = {one.path: one.why for one in found.left}
    # Of an interrupt the latency is known, and what its target loses: no part of either.
    assert "host.exit" in why["costs.ipi.delivery.core"]
    assert "host.inject" in why["costs.ipi.entry"]
    assert not set(why) & set(TRUTH)


def test_cells_that_are_held_out_are_predicted_and_never_fitted(
    simulator: Model, truth: list[Measured]
) -> None:
    membarrier = CELLS.index(Cell("membarrier", pages=0, others="spinning", cpus=ONE))
    cell, ns = truth[membarrier].cell, truth[membarrier].ns
    # Ten times as long as it is: a fit that looked would be far off.
    wrong = measured(replace(cell, held_out=True), 10 * ns)
    found = fit(simulator, [*truth[:membarrier], wrong, *truth[membarrier + 1 :]])
    assert found.predicted[cell] == pytest.approx(ns, rel=0.05)


def test_one_cell_that_is_far_off_does_not_move_the_others(
    simulator: Model, truth: list[Measured]
) -> None:
    cells = [*truth]
    wrong = CELLS.index(Cell("madvise", pages=64))
    cells[wrong] = measured(CELLS[wrong], 3 * truth[wrong].ns)
    found = fit(simulator, cells)
    fitted = found.values
    for path in fitted.keys() & TRUTH.keys():
        assert fitted[path] == pytest.approx(TRUTH[path], rel=0.1), path
    # What such a cell leaves open is not fitted; it is what another one tells too.
    open_ones = {one.path for one in found.left if "leave it open" in one.why}
    assert TRUTH.keys() - fitted.keys() <= open_ones
    assert len(fitted) >= 8


def test_too_few_cells_are_no_calibration(simulator: Model, truth: list[Measured]) -> None:
    refused = [replace(one, refused="no interrupts") for one in truth]
    with pytest.raises(CalibrationError, match="only 3 cells count"):
        fit(simulator, [*truth[:3], *refused[3:]])


def test_a_constant_that_no_cell_hangs_on_or_another_stands_for_is_left() -> None:
    before = {"a": 10, "b": 20, "c": 30}
    effects = np.array([[0.5, 0.0, 1.0], [0.2, 0.0, 0.4], [0.1, 0.001, 0.2]])
    told, left = identified(before, effects, np.ones(3))
    assert told == ["a"]
    assert [(one.path, one.value) for one in left] == [("b", 20), ("c", 30)]
    assert [one.why for one in left] == [
        "no cell that counts hangs on it", "only its sum with a is known"
    ]  # fmt: skip


def test_what_costs_nothing_is_not_fitted(simulator: Model) -> None:
    paths = candidates(simulator.constants)
    assert "costs.ipi.delivery.core" in paths
    assert "costs.idle.0.residency" not in paths
    assert all(simulator.constants[path].value for path in paths)


def test_slopes_are_those_of_a_sum_of_constants(simulator: Model) -> None:
    cell = Cell("mprotect", pages=8)
    before = {path: simulator.constants[path].value for path in TRUTH}
    slopes = simulator.slopes([cell], before, before)
    # Nanoseconds for each picosecond: once for the call, and for each of eight pages.
    assert slopes[cell, "costs.kernel.user_mprotect"] == pytest.approx(1e-3)
    assert slopes[cell, "costs.kernel.user_mapping_page"] == pytest.approx(8e-3)
    assert slopes[cell, "costs.tlb.invlpg"] == pytest.approx(8e-3)
    assert (cell, "host.exit") not in slopes
