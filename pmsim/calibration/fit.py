"""Fitting constants to cells: the simulator, made linear where it stands, by robust least squares.

A cell's time is a sum of constants, or the longest of several such sums: linear, as long as the
same sum is the longest. So slopes are taken from the simulator, constants are fitted to them, the
simulator is asked again, and so on until both agree. Residuals are logarithms of ratios, so that
a cell of 1 µs counts as much as one of 100; a soft L1 loss lets single cells be off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, log10
from typing import Any, Final

import numpy as np
from scipy.optimize import least_squares

from pmsim import formatting
from pmsim.calibration.cells import Cell
from pmsim.calibration.identify import Left, candidates, identified
from pmsim.calibration.measured import Measured
from pmsim.calibration.model import Model
from pmsim.errors import CalibrationError

LEAST_SIGMA: Final = 0.03
"""What a cell is taken to be off at least, as a share: the model is no better than that."""
FEWEST_CELLS: Final = 4
ROUNDS: Final = 5
HALVINGS: Final = 3
AGREED: Final = 0.002
"""How far the linear model and the simulator may be apart at the end, as a share."""
STARTS: Final = (1.0, 0.5, 2.0)
RANDOM_STARTS: Final = 4
SMALLEST, LARGEST = 1e-3, 100.0
"""Bounds of a fitted constant, as multiples of the nearest platform's."""
REPEATS: Final = 200
LEVEL: Final = 0.95
"""Bootstrap: how often cells are drawn anew, and what part of those fits a range holds."""
REPEATS_TO_DECIDE: Final = 40
"""The same, where it is only asked whether a constant is told at all."""
FAR: Final = 3.0
"""Deviations from which on a residual counts as far off."""
QUARTILE: Final = 0.6745
"""Deviations within which half of a normal variable lies."""
SEED: Final = 1
WIDEST: Final = 10.0
"""A constant whose range is wider than this ratio stays as it is: cells say nothing of it."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A constant's value, and what the cells leave open of it, in picoseconds.

    Attributes
    ----------
    path
        Which constant, below the machine.
    before
        What it is on the nearest platform.
    value, low, high
        What was fitted, and the ends of its bootstrap interval at 95 %.
    """

    path: str
    before: int
    value: int
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Fit:
    """What cells say of a machine's constants.

    Attributes
    ----------
    constants
        Those that were fitted.
    left
        Those that stay as they are on the nearest platform.
    predicted
        What the simulator says of every cell that counts, fitted or held out, in nanoseconds.
    starts
        How many starts led to the same end, and how many there were.
    """

    constants: tuple[Fitted, ...]
    left: tuple[Left, ...]
    predicted: Mapping[Cell, float]
    starts: tuple[int, int]

    @property
    def values(self) -> dict[str, int]:
        """The fitted values by path."""
        return {one.path: one.value for one in self.constants}


@dataclass(frozen=True, slots=True)
class _Linear:
    """Cells as linear functions of multiples of constants, near a point of them."""

    at: Any
    times: Any
    slopes: Any
    measured: Any
    weights: Any

    def predicted(self, multiples: Any) -> Any:
        times = self.times + self.slopes @ (multiples - self.at)
        return np.maximum(times, self.times * 1e-3)

    def residuals(self, multiples: Any) -> Any:
        return self.weights * np.log(self.predicted(multiples) / self.measured)

    @property
    def cost(self) -> float:
        """What the simulator itself misses cells by at the point: the sum that is made small."""
        found = self.residuals(self.at)
        return float((np.sqrt(1 + found**2) - 1).sum())

    def without(self, column: int) -> _Linear:
        """Return it with one constant left as it is at the point."""
        return replace(
            self, at=np.delete(self.at, column), slopes=np.delete(self.slopes, column, axis=1)
        )

    def jacobian(self, multiples: Any) -> Any:
        return self.weights[:, None] * self.slopes / self.predicted(multiples)[:, None]

    def solved(self, start: Any) -> Any:
        return least_squares(
            self.residuals,
            np.clip(start, SMALLEST, LARGEST),
            jac=self.jacobian,
            bounds=(SMALLEST, LARGEST),
            loss="soft_l1",
            x_scale=np.maximum(start, 0.1),
        )


def fit(model: Model, measured: Sequence[Measured]) -> Fit:
    """Fit constants to the cells that count and are not held out.

    Raises
    ------
    CalibrationError
        If there are too few such cells.
    """
    counted = [one for one in measured if one.counts]
    fitted = [one for one in counted if not one.cell.held_out]
    if len(fitted) < FEWEST_CELLS:
        raise CalibrationError(
            f"only {len(fitted)} cells count: that is too little to fit anything to"
        )
    known = model.constants
    before = {path: known[path].value for path in candidates(known)}
    told, left = _told(model, fitted, before)
    solver = _Solver(model, fitted, {path: before[path] for path in told})
    left += solver.leave_open()
    multiples, agreed = solver.solve()
    low, high = _bootstrap(solver.linear, multiples, REPEATS)
    constants = tuple(
        _rounded(path, ps, *three)
        for (path, ps), *three in zip(solver.before.items(), multiples, low, high, strict=True)
    )
    values = {one.path: one.value for one in constants}
    predicted = {one.cell: model.predict(one.cell, values) for one in counted}
    return Fit(constants, tuple(left), predicted, agreed)


def _told(
    model: Model, fitted: Sequence[Measured], before: Mapping[str, int]
) -> tuple[list[str], list[Left]]:
    """Return which constants the cells tell; slopes as they are on the nearest platform."""
    cells = [one.cell for one in fitted]
    slopes = model.slopes(cells, before, before)
    times = [model.predict(cell, before) for cell in cells]
    effects = np.array(
        [
            [slopes.get((cell, path), 0.0) * before[path] / time for path in before]
            for cell, time in zip(cells, times, strict=True)
        ]
    )
    return identified(before, effects, _weights(fitted))


def _weights(measured: Sequence[Measured]) -> Any:
    return np.array([1 / max(LEAST_SIGMA, one.noise) for one in measured])


class _Solver:
    """Goes from slopes to constants and back, until the simulator says what the slopes said.

    Attributes
    ----------
    before
        The constants that are fitted, with what they are on the nearest platform.
    linear
        The cells as they depend on them near the last point.
    """

    def __init__(self, model: Model, fitted: Sequence[Measured], before: Mapping[str, int]) -> None:
        self._model = model
        self._cells = [one.cell for one in fitted]
        self._measured = np.array([one.ns for one in fitted])
        self._weights = _weights(fitted)
        self.before = dict(before)
        self.linear = self._linear(np.ones(len(before)))

    def leave_open(self) -> list[Left]:
        """Take out the constants that the cells leave open; return those.

        One by one, those first that are fitted last: what they leave may tell the others.
        """
        left = []
        while self.before:
            best, _ = _from_starts(self.linear)
            low, high = _bootstrap(self.linear, best, REPEATS_TO_DECIDE)
            (wide,) = np.nonzero(high > WIDEST * np.maximum(low, SMALLEST))
            if not len(wide):
                break
            last = int(wide[-1])
            path = list(self.before)[last]
            ps = self.before.pop(path)
            ends = formatting.from_to(*(formatting.time(ps * end[last]) for end in (low, high)))
            left.append(Left(path, ps, f"the cells leave it open: {ends}"))
            self.linear = self.linear.without(last)
        return left

    def solve(self) -> tuple[Any, tuple[int, int]]:
        """Return the best multiples by the simulator, and how many starts led to the last ones."""
        best, agreed = _from_starts(self.linear)
        for _ in range(ROUNDS):
            said, linear = self.linear.predicted(best), self._linear(best)
            for _ in range(HALVINGS):
                if linear.cost <= self.linear.cost:
                    break
                # Another sum is the longest there: half as far.
                best = (best + self.linear.at) / 2
                said, linear = self.linear.predicted(best), self._linear(best)
            if linear.cost > self.linear.cost:
                return self.linear.at, agreed
            self.linear = linear
            if np.abs(linear.times / said - 1).max() < AGREED:
                break
            best, agreed = _from_starts(linear)
        return self.linear.at, agreed

    def _linear(self, at: Any) -> _Linear:
        values = {
            path: round(ps * one) for (path, ps), one in zip(self.before.items(), at, strict=True)
        }
        slopes = self._model.slopes(self._cells, values, values)
        table = [
            [slopes.get((cell, path), 0.0) * ps for path, ps in self.before.items()]
            for cell in self._cells
        ]
        times = np.array([self._model.predict(cell, values) for cell in self._cells])
        return _Linear(at, times, np.array(table), self._measured, self._weights)


def _from_starts(linear: _Linear) -> tuple[Any, tuple[int, int]]:
    """Return the best of several solutions, and how many are as good."""
    size = linear.slopes.shape[1]
    rng = np.random.default_rng(SEED)
    starts = [
        *(np.full(size, one) for one in STARTS),
        *np.exp(rng.uniform(-1, 1, (RANDOM_STARTS, size))),
    ]
    found = [linear.solved(start) for start in starts]
    best = min(found, key=lambda one: float(one.cost))
    good = sum(one.cost <= best.cost * 1.01 + 1e-9 for one in found)
    return best.x, (good, len(found))


def _bootstrap(linear: _Linear, best: Any, repeats: int) -> tuple[Any, Any]:
    """Return the ends of what fits to redrawn residuals come to.

    Residuals are drawn, not cells: without some cells a constant would not be told at all. They
    are as large as the model is wrong or the machine is noisy, whatever of the two it is; that a
    fit with as many constants makes them smaller than they are is made up for.
    """
    predicted = linear.predicted(best)
    cells, constants = linear.slopes.shape
    residuals = np.log(linear.measured / predicted)
    # A cell that is far off does not move the fit, so it must not widen what the fit leaves open.
    usual = np.median(np.abs(residuals)) / QUARTILE
    residuals = residuals.clip(-(off := max(FAR * usual, FAR * LEAST_SIGMA)), off)
    residuals = (residuals - residuals.mean()) * np.sqrt(cells / max(cells - constants, 1))
    rng = np.random.default_rng(SEED)
    drawn = []
    for _ in range(repeats):
        again = predicted * np.exp(rng.choice(residuals, cells))
        redrawn = _Linear(linear.at, linear.times, linear.slopes, again, linear.weights)
        drawn.append(redrawn.solved(best).x)
    tail = (1 - LEVEL) / 2
    return np.quantile(drawn, tail, axis=0), np.quantile(drawn, 1 - tail, axis=0)


def _rounded(path: str, before: int, value: float, low: float, high: float) -> Fitted:
    """Return a fitted constant as a file gives it: four digits, three of the ends of its range."""
    ps = max(1, round(_digits(value * before, 4, round)))
    return Fitted(
        path=path,
        before=before,
        value=ps,
        low=min(ps, round(_digits(low * before, 3, floor))),
        high=max(ps, round(_digits(high * before, 3, ceil))),
    )


def _digits(number: float, digits: int, how: Callable[[float], int]) -> float:
    """Return a number with so many digits."""
    if number <= 0:
        return 0.0
    unit = 10.0 ** (floor(log10(number)) + 1 - digits)
    return how(number / unit) * unit
