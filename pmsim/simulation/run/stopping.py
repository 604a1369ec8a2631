"""How many replications are enough: as many as asked for, or until the figures are precise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Protocol, TypeAlias

from pmsim import formatting
from pmsim.confidence import LEAST, Estimate
from pmsim.errors import Fault, ScenarioError
from pmsim.simulation.answer.estimates import estimate
from pmsim.simulation.answer.metrics import HEADLINES, METRICS, absent

MOST_REPLICATIONS: Final = 100
"""Where replications for the sake of precision end, if the user says nothing."""

Rows: TypeAlias = Sequence[Mapping[str, Any]]
"""The metrics of some replications, from 0 on without a gap."""


class Stopping(Protocol):
    """Says when there are enough replications."""

    def target(self, known: int, rows: Callable[[], Rows]) -> int:
        """Return how many replications there are to be.

        The answer depends on the rows alone, not on the order in which they came, so that work that
        was interrupted ends with the same replications as work that was not.

        Parameters
        ----------
        known
            How many there are.
        rows
            Gives what they measured, where that matters.
        """
        ...

    def as_dict(self) -> dict[str, Any]:
        """Return what was asked for, as plain data for a manifest."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """As many as were asked for.

    Attributes
    ----------
    replications
        So many.
    """

    replications: int

    def target(self, _known: int, _rows: Callable[[], Rows]) -> int:
        """Return the number, whatever the rows say."""
        return self.replications

    def as_dict(self) -> dict[str, Any]:
        """Return what was asked for, as plain data for a manifest."""
        return {"replications": self.replications}


@dataclass(frozen=True, slots=True)
class Precise:
    """Until the interval of every headline figure is narrow enough.

    Attributes
    ----------
    precision
        The half width of an interval as a share of its mean that is narrow enough.
    first, most
        Replications at least, and at most.
    seed
        The scenario's, for the draws of bootstraps.
    """

    precision: float
    first: int
    most: int
    seed: int

    def target(self, known: int, rows: Callable[[], Rows]) -> int:
        """Return how many replications are enough; at most twice as many as there are.

        Intervals shrink with the root of the number of replications, which says how many are
        needed; the guess is checked when they are there.
        """
        if known < self.first:
            return self.first
        wide = too_wide(headline_estimates(rows(), self.seed), self.precision)
        if not wide or known >= self.most:
            return known
        worst = max(math.inf if one.relative is None else one.relative for one in wide.values())
        needed = known * min((worst / self.precision) ** 2, 2.0)
        return min(max(known + 1, math.ceil(needed)), self.most)

    def as_dict(self) -> dict[str, Any]:
        """Return what was asked for, as plain data for a manifest."""
        return {
            "replications": self.first,
            "precision": self.precision,
            "max_replications": self.most,
        }


def headline_estimates(rows: Rows, seed: int) -> dict[str, Estimate]:
    """Return the estimates of the headline metrics that some replications know."""
    known = [name for name in HEADLINES if any(row.get(name) is not None for row in rows)]
    return {name: estimate(name, [_value(row, name) for row in rows], seed) for name in known}


def too_wide(estimates: Mapping[str, Estimate], precision: float) -> dict[str, Estimate]:
    """Return the estimates whose interval is not narrow enough, or that have none."""
    return {
        name: one
        for name, one in estimates.items()
        if one.relative is None or one.relative > precision
    }


def too_wide_said(name: str, one: Estimate, precision: float, most: int) -> str:
    """Say of a headline figure that it is not known as well as was asked for."""
    known = "not known" if one.relative is None else f"known to {formatting.share(one.relative)}"
    return (
        f"{METRICS[name].label}: {known} after {one.n} of at most {most} replications,"
        f" where {formatting.share(precision)} was asked for"
    )


def stopping_of(
    replications: int, precision: float | str | None, most: int | None, seed: int
) -> Stopping:
    """Return the rule that was asked for.

    Raises
    ------
    ScenarioError
        If the numbers make no sense.
    """
    if replications < 1:
        raise _fault("replications", f"{replications} replications are none", "at least 1")
    if precision is None:
        if most is not None:
            message = "an end of adding replications says nothing without a precision"
            raise _fault("max_replications", message, "give a precision too, such as 5%")
        return Fixed(replications)
    if most is not None and not isinstance(most, int):
        raise _fault("max_replications", f"{most!r} is no whole number", "20 for example")
    most = MOST_REPLICATIONS if most is None else most
    first = max(replications, LEAST)
    if most < first:
        message = f"at most {most} replications, but the first {first} are run together"
        raise _fault("max_replications", message, f"at least {first}")
    return Precise(precision_of(precision), first, most, seed)


def precision_of(given: float | str) -> float:
    """Read a relative half width: ``"5%"``, ``"0.05"`` or 0.05."""
    text = str(given).strip()
    try:
        number = Fraction(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except (ValueError, ZeroDivisionError):
        number = Fraction(0)
    if not 0 < number < 1:
        raise _fault("precision", f"'{given}' is no precision", "a share such as 5% or 0.05")
    return float(number)


def _value(row: Mapping[str, Any], name: str) -> float:
    value = row.get(name)
    return absent(name) if value is None else float(value)


def _fault(option: str, message: str, hint: str) -> ScenarioError:
    return ScenarioError([Fault(option, 0, 0, "out-of-range", message, hint)])
