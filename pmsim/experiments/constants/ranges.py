"""Ranges of constants as distributions: where to take values from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import exp, log
from typing import Any

from pmsim.scenario.known import KnownConstant
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
        return tuple(one.written(at(one, share)) for one, share in pairs)

    def changes(self, shares: Sequence[float]) -> Mapping[str, Any]:
        """Return the same by dotted path."""
        return dict(zip(self.paths, self.values(shares), strict=True))


def at(constant: KnownConstant, share: float) -> int:
    """Return the value below which the truth lies with some probability.

    The value itself is the median; to either side of it the logarithm is uniform up to the end of
    the range, so that a factor of two each way is just that. From an end of 0 on the value is.

    Parameters
    ----------
    constant
        The constant.
    share
        The probability, 0 to 1.
    """
    low, high = constant.ends
    below = share < 0.5
    start, end = (low, constant.value) if below else (constant.value, high)
    way = 2 * share - (0 if below else 1)
    if start == end:
        return start
    if not start:
        return round(end * way)
    return round(start * exp(way * log(end / start)))


def ranges_of(scenario: Scenario) -> Ranges:
    """Return what is open of the constants that a run of a scenario asks for.

    It is run once for that, and nothing of it kept.
    """
    return Ranges(tuple(one for one in constants_used(scenario.resolve()) if one.open))
