"""Morris' screening and Sobol' indices, as SALib chooses their points and works them out.

Points are shares of ranges, each from 0 to 1: shape ``(points, constants)``.

References
----------
Morris, M. D. (1991), "Factorial sampling plans for preliminary computational experiments",
Technometrics 33; the mean of absolute effects: Campolongo, F., Cariboni, J. and Saltelli, A.
(2007), Environmental Modelling & Software 22.
Saltelli, A. et al. (2010), "Variance based sensitivity analysis of model output", Computer Physics
Communications 181.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

LEVELS: Final = 4
"""Values of each constant in the screening: both ends, and two between."""
LEVEL: Final = 0.95
"""Of confidence, for effects and indices."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Effect:
    """What a constant does in the screening.

    Attributes
    ----------
    mean, half
        The mean of its absolute effects, and half the length of the interval of that.
    deviation
        That of the effects, which do not depend on other constants if it is 0.
    """

    mean: float
    half: float
    deviation: float


@dataclass(frozen=True, slots=True)
class Index:
    """The Sobol' indices of one constant, each with half the length of its interval."""

    first: float
    first_half: float
    total: float
    total_half: float

    def as_dict(self) -> dict[str, float]:
        """Return them by their names."""
        return {
            name: getattr(self, name) for name in ("first", "first_half", "total", "total_half")
        }


@dataclass(frozen=True, slots=True)
class Screening:
    """A few ways through the ranges, on which one constant after the other takes a step."""

    constants: int
    trajectories: int
    seed: int

    def points(self) -> Matrix:
        """Return the points, way after way."""
        from SALib.sample import morris

        found: Matrix = np.asarray(
            morris.sample(
                _problem(self.constants), self.trajectories, num_levels=LEVELS, seed=self.seed
            )
        )
        return found

    def effects(self, values: Matrix) -> list[Effect]:
        """Return what follows from the values at these points, for each constant."""
        from SALib.analyze import morris

        found = morris.analyze(
            _problem(self.constants), self.points(), values, num_levels=LEVELS,
            conf_level=LEVEL, seed=self.seed,
        )  # fmt: skip
        columns = (found["mu_star"], found["mu_star_conf"], found["sigma"])
        return [Effect(*map(float, row)) for row in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True)
class Indices:
    """Two independent samples of the ranges, and mixtures of both for each constant."""

    constants: int
    number: int
    seed: int

    def points(self) -> Matrix:
        """Return the points: of each of the samples one, with the mixtures between."""
        from SALib.sample import sobol

        found: Matrix = np.asarray(
            sobol.sample(
                _problem(self.constants), self.number, calc_second_order=False, seed=self.seed
            )
        )
        return found

    def independent(self, values: Matrix) -> Matrix:
        """Return the values at the points of the two samples alone."""
        blocks = values.reshape(self.number, self.constants + 2)
        return blocks[:, [0, -1]].ravel()

    def of(self, values: Matrix) -> list[Index]:
        """Return the indices that follow from the values at these points, for each constant."""
        from SALib.analyze import sobol

        if np.ptp(values) == 0:
            return [Index(0.0, 0.0, 0.0, 0.0)] * self.constants
        found = sobol.analyze(
            _problem(self.constants), values, calc_second_order=False, conf_level=LEVEL,
            seed=self.seed,
        )  # fmt: skip
        columns = (found[name] for name in ("S1", "S1_conf", "ST", "ST_conf"))
        return [Index(*map(float, row)) for row in zip(*columns, strict=True)]


def _problem(constants: int) -> Mapping[str, Any]:
    """Return the ranges as SALib wants them: whatever they are, shares from 0 to 1."""
    names = [f"constant {place}" for place in range(constants)]
    return {"num_vars": constants, "names": names, "bounds": [[0.0, 1.0]] * constants}
