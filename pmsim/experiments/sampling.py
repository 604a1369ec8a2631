"""Points in a space of many dimensions: Latin hypercube and Sobol' samples of ranges and lists."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pmsim import units
from pmsim.errors import Fault, ScenarioError, UnitError
from pmsim.experiments.axes import Points, Values
from pmsim.scenario.ranges import ends_of, is_range
from pmsim.simulation.streams import MACHINE, stream

MOST_POINTS: Final = 1_000_000
"""Points of a sample at most."""

PURPOSE: Final = "points of a sweep"
"""The purpose under which a sample is drawn, apart from all that is drawn in runs."""


@dataclass(frozen=True, slots=True)
class Range:
    """All values between two, both of them included.

    Attributes
    ----------
    low, high
        In the base unit of what they are.
    write
        Turns a value in the base unit into what can stand in a scenario.
    whole
        Whether only whole numbers of the base unit exist.
    """

    low: Fraction
    high: Fraction
    write: Callable[[Fraction], Any]
    whole: bool

    def at(self, share: float) -> Any:
        """Return the value at a share of the way, from 0 up to and without 1."""
        if self.whole:
            steps = int(self.high - self.low) + 1
            return self.write(self.low + int(share * steps))
        return self.write(self.low + (self.high - self.low) * Fraction(share))


@dataclass(frozen=True, slots=True)
class Sample:
    """How to choose points: ``lhs:N`` or ``sobol:N``."""

    method: str
    points: int


def sample_of(text: str) -> Sample:
    """Read ``lhs:200`` or ``sobol:256``.

    Raises
    ------
    ScenarioError
        If it is neither.
    """
    method, _, count = str(text).partition(":")
    if method not in _ENGINES or not count.isdecimal() or not 1 <= int(count) <= MOST_POINTS:
        known = " or ".join(f"{name}:N" for name in _ENGINES)
        hint = f"{known}, N up to {MOST_POINTS:,}, for example lhs:100"
        raise _fault("bad-sample", f"'{text}' is no way to choose points", hint)
    return Sample(method, int(count))


def range_of(text: str, path: str) -> Range:
    """Read a range of numbers or quantities, such as ``2..448`` or ``100ns..2us``.

    Raises
    ------
    ScenarioError
        If its ends are no numbers, or of different kinds, or in the wrong order.
    """
    ends = ends_of(text)
    found = _ends(ends) if len(ends) == 2 else None
    if found is None:
        hint = "two numbers or two quantities of one kind, for example 100ns..2us"
        raise _fault("bad-range", f"{path}: '{text}' is no range", hint)
    if found.low >= found.high:
        raise _fault("bad-range", f"{path}: '{text}' is empty", "the lower end comes first")
    return found


def sampled(axes: Mapping[str, Values], sample: Sample, seed: int) -> Points:
    """Choose points: each axis is a range, or a list of values that count as equally wide.

    Parameters
    ----------
    axes
        Values by dotted path; a single text ``LOW..HIGH`` is a range.
    sample
        How, and how many.
    seed
        The scenario's; the draws are its stream for this purpose.
    """
    if not axes:
        raise _fault("bad-sample", "there is nothing to choose points from", "--set path=LOW..HIGH")
    spans = [_span(path, values) for path, values in axes.items()]
    rng = stream(seed, 0, MACHINE, PURPOSE)
    shares = _ENGINES[sample.method](len(spans), sample.points, rng)
    points = tuple(
        tuple(span(share) for span, share in zip(spans, row, strict=True))
        for row in shares.tolist()
    )
    return Points(tuple(axes), points)


def _span(path: str, values: Values) -> Callable[[float], Any]:
    """Return what turns a share of an axis into a value on it."""
    if len(values) == 1 and is_range(values[0]):
        return range_of(values[0], path).at
    return lambda share: values[int(share * len(values))]


def _latin(dimensions: int, points: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    from scipy.stats import qmc

    return np.asarray(qmc.LatinHypercube(dimensions, rng=rng).random(points))


def _sobol(dimensions: int, points: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    from scipy.stats import qmc

    # The balance of the points needs a power of two of them; of more, the first are taken.
    exponent = (points - 1).bit_length()
    return np.asarray(qmc.Sobol(dimensions, rng=rng).random_base2(exponent))[:points]


_ENGINES: Final[Mapping[str, Callable[..., npt.NDArray[np.float64]]]] = {
    "lhs": _latin,
    "sobol": _sobol,
}


def _ends(ends: Sequence[str]) -> Range | None:
    """Return the range between two ends: whole numbers, numbers, or quantities of one kind."""
    for read, write, whole in _KINDS:
        try:
            low, high = (Fraction(read(end)) for end in ends)
        except (UnitError, ValueError):
            continue
        return Range(low, high, write, whole)
    return None


_KINDS: Final[tuple[tuple[Callable[[str], Any], Callable[[Fraction], Any], bool], ...]] = (
    (int, int, True),
    (float, float, False),
    (units.parse_time, lambda value: units.format_time(int(value)), True),
    (units.parse_size, lambda value: f"{int(value)}B", True),
    (units.parse_pages, lambda value: f"{int(value)} pages", True),
    (
        lambda text: units.parse(text, units.RATE),
        lambda value: units.format_rate(value, 9),
        False,
    ),
)
"""Ways to read an end of a range, to write a value of it, and whether such values are whole."""


def _fault(code: str, message: str, hint: str) -> ScenarioError:
    return ScenarioError([Fault("sweep", 0, 0, code, message, hint)])
