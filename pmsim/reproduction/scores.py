"""How far predictions are from what was measured, beside what a simple guess would say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Final

from pmsim.reproduction.experiment import Experiment, Point
from pmsim.reproduction.measurements import Use
from pmsim.reproduction.predict import Predicted
from pmsim.reproduction.ranges import LEVEL

NEAR: Final = 0.25
"""An error that counts as near, as a share of what was measured."""
FACTOR: Final = 2.0
"""A ratio of prediction and measurement, either way, that counts as within reach."""


@dataclass(frozen=True, slots=True)
class Score:
    """One point: measured, predicted, and the errors of both predictions and both guesses.

    An error is (predicted - measured) / measured.

    Attributes
    ----------
    experiment, series, point, use, at, unit
        Which point, of which series, what it may be used for, and what it is told in.
    measured, raw, scaled
        In that unit; ``scaled`` is `None` where nothing is calibrated.
    constant, linear
        The calibration point's figure; and that in proportion to ``at``, the constant where there
        is no axis of numbers. `None` where nothing is calibrated.
    counted
        Whether the raw prediction counts: the figure was never fitted, and the platform stands for
        the machine that was measured.
    slower
        Whether a larger figure means slower (a time), faster (a rate), or neither (`None`).
    calibration
        Whether this is the calibration point.
    missing
        Which effect the model lacks.
    between
        The interval that holds what the constants leave open of the raw prediction; `None` where
        it was not asked for.
    """

    experiment: str
    series: str
    point: str
    use: Use
    at: float | str | None
    unit: str
    measured: float
    raw: float
    scaled: float | None
    constant: float | None
    linear: float | None
    counted: bool
    slower: bool | None
    calibration: bool
    missing: str
    between: tuple[float, float] | None = None

    @property
    def raw_error(self) -> float:
        """Of the raw prediction."""
        return error(self.raw, self.measured)

    @property
    def scaled_error(self) -> float | None:
        """Of the scaled one."""
        return None if self.scaled is None else error(self.scaled, self.measured)

    @property
    def constant_error(self) -> float | None:
        """Of the guess that nothing changes."""
        return None if self.constant is None else error(self.constant, self.measured)

    @property
    def linear_error(self) -> float | None:
        """Of the guess that all grows in proportion."""
        return None if self.linear is None else error(self.linear, self.measured)

    @property
    def too_fast(self) -> bool | None:
        """Whether the raw prediction is faster than what was measured."""
        if self.slower is None:
            return None
        return (self.raw < self.measured) == self.slower

    @property
    def pace(self) -> float | None:
        """The time that is predicted, by the one that was measured: below 1 where too fast.

        `None` where the figure is neither a time nor a rate, or nothing.
        """
        if self.slower is None or self.measured <= 0 or self.raw <= 0:
            return None
        return self.raw / self.measured if self.slower else self.measured / self.raw


def error(predicted: float, measured: float) -> float:
    """Return how far a prediction is off, as a share of what was measured; 0 where both are 0."""
    if measured == 0:
        return 0.0 if predicted == 0 else float("inf")
    return (predicted - measured) / measured


def scores(experiments: Iterable[Experiment], predicted: Mapping[str, Predicted]) -> list[Score]:
    """Return a score for each point of experiments."""
    return [
        _score(experiment, point, predicted[experiment.name])
        for experiment in experiments
        for point in experiment.points
    ]


def _score(experiment: Experiment, point: Point, predicted: Predicted) -> Score:
    base = experiment.calibration
    constant = None if base is None else experiment.measured(base)
    return Score(
        experiment=experiment.name,
        series=experiment.series,
        point=point.name,
        use=point.use,
        at=point.at,
        unit=experiment.unit,
        measured=experiment.measured(point),
        raw=predicted.raw[point.name],
        scaled=predicted.scaled.get(point.name) if base is not None else None,
        constant=constant,
        linear=None if base is None or constant is None else _linear(point, base, constant),
        counted=experiment.absolute and point.use == "predict",
        slower=_slower(experiment),
        calibration=point is base,
        missing=point.missing or experiment.missing,
        between=predicted.between.get(point.name),
    )


def _slower(experiment: Experiment) -> bool | None:
    return {"1/s": False, "1": None, "%": None}.get(experiment.unit, True)


def _linear(point: Point, base: Point, constant: float) -> float:
    """Return the calibration figure in proportion to the place on the axis."""
    if isinstance(point.at, int | float) and isinstance(base.at, int | float) and base.at:
        return constant * point.at / base.at
    return constant


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often what was measured lies in the interval that the constants leave open.

    Attributes
    ----------
    points, held
        Points that have an interval, and those of them whose figure lies in it.
    level
        What part of them such intervals are to hold.
    """

    points: int
    held: int
    level: float


def coverage(found: Iterable[Score]) -> Coverage | None:
    """Return how many intervals hold; `None` where there is none."""
    counted = [
        (one.between, one.measured) for one in found if one.counted and one.between is not None
    ]
    held = sum(low <= measured <= high for (low, high), measured in counted)
    return Coverage(len(counted), held, LEVEL) if counted else None


@dataclass(frozen=True, slots=True)
class Tally:
    """Raw predictions of points that were never fitted, together.

    Attributes
    ----------
    points
        How many.
    mean_error, median_error
        Of the size of their errors.
    near, within_factor
        Shares of them within `NEAR`, and within a factor of `FACTOR`.
    too_fast
        Share of the times and rates among them that are predicted too fast.
    """

    points: int
    mean_error: float
    median_error: float
    near: float
    within_factor: float
    too_fast: float


def tally(found: Iterable[Score]) -> Tally | None:
    """Return the tally of raw predictions that count; `None` where there is none."""
    counted = [one for one in found if one.counted]
    if not counted:
        return None
    errors = [abs(one.raw_error) for one in counted]
    speeds = [one.too_fast for one in counted if one.too_fast is not None]
    return Tally(
        points=len(counted),
        mean_error=mean(errors),
        median_error=median(errors),
        near=mean(float(size <= NEAR) for size in errors),
        within_factor=mean(float(_within(one)) for one in counted),
        too_fast=mean(map(float, speeds)) if speeds else 0.0,
    )


@dataclass(frozen=True, slots=True)
class Side:
    """To which side the predictions of one series miss: times and rates, nothing fitted.

    Attributes
    ----------
    series, points
        Which, and how many of its figures are times or rates.
    too_fast
        How many of them are predicted too fast.
    least, median, most
        The time that is predicted, by the one that was measured.
    """

    series: str
    points: int
    too_fast: int
    least: float
    median: float
    most: float


def sides(found: Iterable[Score]) -> list[Side]:
    """Return to which side raw predictions miss, series by series, the fastest first."""
    paces: dict[str, list[float]] = {}
    for one in found:
        if one.counted and one.pace is not None:
            paces.setdefault(one.series, []).append(one.pace)
    each = [
        Side(name, len(own), sum(pace < 1 for pace in own), min(own), median(own), max(own))
        for name, own in paces.items()
    ]
    return sorted(each, key=lambda one: (one.median, one.series))


def _within(one: Score) -> bool:
    if one.measured == 0 or one.raw == 0:
        return one.measured == one.raw
    ratio = one.raw / one.measured
    return 1 / FACTOR <= ratio <= FACTOR


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Scaled predictions, with one calibration point an experiment, together.

    Attributes
    ----------
    points, experiments
        How many; calibration points and experiments without one left out.
    mean_error, median_error
        Of the size of their errors.
    better, worse
        Experiments whose mean error is below that of both simple guesses, and all others, by name.
    """

    points: int
    experiments: int
    mean_error: float
    median_error: float
    better: tuple[str, ...]
    worse: tuple[str, ...]


def calibrated(found: Iterable[Score]) -> Calibrated | None:
    """Return what scaled predictions come to; `None` where there is none."""
    by_experiment: dict[str, list[Score]] = {}
    for one in found:
        if one.scaled is not None and one.use == "predict":
            by_experiment.setdefault(one.experiment, []).append(one)
    if not by_experiment:
        return None
    errors = [abs(one.scaled_error or 0.0) for group in by_experiment.values() for one in group]
    better = tuple(name for name, group in by_experiment.items() if beats_guesses(group))
    return Calibrated(
        points=len(errors),
        experiments=len(by_experiment),
        mean_error=mean(errors),
        median_error=median(errors),
        better=better,
        worse=tuple(name for name in by_experiment if name not in better),
    )


def beats_guesses(group: Sequence[Score]) -> bool:
    """Return whether scaled predictions are nearer, in the mean, than both simple guesses."""
    own, constant, linear = (
        mean(abs(one or 0.0) for one in column)
        for column in (
            [one.scaled_error for one in group],
            [one.constant_error for one in group],
            [one.linear_error for one in group],
        )
    )
    return own < constant and own < linear


def worst(found: Iterable[Score], count: int) -> list[Score]:
    """Return the raw predictions that are farthest off by ratio, the worst first."""
    counted = [one for one in found if one.counted]
    return sorted(counted, key=lambda one: (-_ratio(one), one.experiment, one.point))[:count]


def _ratio(one: Score) -> float:
    if one.measured <= 0 or one.raw <= 0:
        return 1.0 if one.measured == one.raw else float("inf")
    return max(one.raw / one.measured, one.measured / one.raw)
