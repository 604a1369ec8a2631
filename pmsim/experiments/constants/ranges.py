"""Ranges of constants as distributions: where to take values from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from statistics import NormalDist
from typing import Any, Final

from pmsim.constants import Ends
from pmsim.scenario.known import COSTS, KnownConstant
from pmsim.scenario.scenario import Scenario
from pmsim.simulation.run.asking import constants_used


@dataclass(frozen=True, slots=True)
class Ranges:
    """The constants that a run uses and whose values are open.

    Attributes
    ----------
    constants
        Those constants.
    """

    constants: tuple[KnownConstant, ...]

    @property
    def paths(self) -> tuple[str, ...]:
        """Their dotted paths in a scenario."""
        return tuple(f"machine.{one.path}" for one in self.constants)

    def values(self, shares: Sequence[float]) -> tuple[Any, ...]:
        """Return a value of each as it would stand in a file, at a share of its range each."""
        pairs = zip(self.constants, shares, strict=True)
        return tuple(one.written(at(one.ends, one.value, share)) for one, share in pairs)

    def changes(self, shares: Sequence[float]) -> Mapping[str, Any]:
        """Return the same by dotted path."""
        return dict(zip(self.paths, self.values(shares), strict=True))


ALIKE: Final = 0.5
"""How far constants of one section err together, a correlation: an estimate (decision 0021)."""


def at(ends: Ends, value: int, share: float) -> int:
    """Return the value below which the truth lies with some probability.

    The value itself is the median; to either side of it the logarithm is uniform up to the end of
    the range, so that a factor of two each way is just that. From an end of 0 on the value is.

    Parameters
    ----------
    ends, value
        The range of a constant, and its value.
    share
        The probability, 0 to 1.
    """
    low, high = ends
    below = share < 0.5
    start, end = (low, value) if below else (value, high)
    way = 2 * share - (0 if below else 1)
    if start == end:
        return start
    if not start:
        return round(end * way)
    return round(start * exp(way * log(end / start)))


def section(path: str) -> str:
    """Return the section that a constant stands in: one protocol's costs, the kernel's, the host's.

    Parameters
    ----------
    path
        The constant's keys below the machine.
    """
    return path.removeprefix(f"{COSTS}.").partition(".")[0]


def alike(common: float, own: float) -> float:
    """Return where in its range a constant lies that errs with others of its section.

    The two are shares of ranges, uniform and independent of each other; so is what is returned,
    whose normal score is correlated with those of the section's other constants by `ALIKE`.

    Parameters
    ----------
    common, own
        What is drawn for the section, and for the constant itself.
    """
    scores = [_NORMAL.inv_cdf(min(max(share, _LEAST), 1 - _LEAST)) for share in (common, own)]
    return _NORMAL.cdf(sqrt(ALIKE) * scores[0] + sqrt(1 - ALIKE) * scores[1])


_NORMAL: Final = NormalDist()
_LEAST: Final = 1e-12
"""Nearer to the ends of a range than that no share is drawn: scores of the ends are infinite."""


def ranges_of(scenario: Scenario) -> Ranges:
    """Return what is open of the constants that a run of a scenario asks for.

    It is run once for that, and nothing of it kept.
    """
    return Ranges(tuple(one for one in constants_used(scenario.resolve()) if one.open))
