"""How well a mean is known: confidence intervals over replications, or within one long run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

LEVEL: Final = 0.95
"""The level of confidence where none is asked for."""
LEAST: Final = 5
"""Values below which there is no interval: "not enough data"."""
RESAMPLES: Final = 2_000
"""Bootstrap samples: enough for the ends of a 95 % interval to stand to two digits."""
ROUNDING: Final = 1e-12
"""Spread, as a share of the values, that is not theirs but of the 53 bits of a float."""
BATCHES: Final = 20
"""Batches that would fit side by side into a run; their overlapping is what sharpens them."""

Method = Literal["t", "bootstrap", "batch means", "constant", "not enough data"]
"""Where an interval comes from; the last two are a value that never differs, and none at all."""

Values: TypeAlias = Sequence[float] | npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean, and the interval that holds the true one with some confidence.

    Attributes
    ----------
    mean
        Of the values that are known; `None` without any.
    low, high
        Ends of the interval; `None` where there are too few values.
    n
        Values that are known: replications, or steps of one run.
    level
        Probability with which such intervals hold the truth.
    method
        Where the interval comes from.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    level: float
    method: Method

    @property
    def half_width(self) -> float | None:
        """Half the length of the interval; `None` without one."""
        if self.low is None or self.high is None:
            return None
        return (self.high - self.low) / 2

    @property
    def relative(self) -> float | None:
        """The half width as a share of the mean; `None` without an interval, or about zero."""
        half = self.half_width
        if half is None or self.mean is None:
            return None
        if half == 0:
            return 0.0
        return half / abs(self.mean) if self.mean else None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, fit for JSON."""
        return {
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "n": self.n,
            "level": self.level,
            "method": self.method,
        }


def mean_interval(values: Values, level: float = LEVEL) -> Estimate:
    """Return the mean of independent values with Student's t interval.

    Parameters
    ----------
    values
        One per replication; those that are not a number are left out.
    level
        Of confidence.
    """
    known = _known(values)
    early = _early(known, level)
    if early is not None:
        return early
    from scipy import stats

    low, high = stats.ttest_1samp(known, 0.0).confidence_interval(level)
    return Estimate(float(known.mean()), float(low), float(high), len(known), level, "t")


def bootstrap_interval(values: Values, rng: np.random.Generator, level: float = LEVEL) -> Estimate:
    """Return the mean of independent values with a bootstrap interval (BCa).

    It is meant for quantiles of replications, whose distribution has a tail to one side.

    Parameters
    ----------
    values
        One per replication; those that are not a number are left out.
    rng
        Where the samples are drawn from: a named stream, so that they are the same each time.
    level
        Of confidence.

    References
    ----------
    Efron, B. and Tibshirani, R. J. (1993), "An Introduction to the Bootstrap", chapter 14.
    """
    known = _known(values)
    early = _early(known, level)
    if early is not None:
        return early
    from scipy import stats

    found = stats.bootstrap(
        (known,), np.mean, confidence_level=level, n_resamples=RESAMPLES, method="BCa", rng=rng
    ).confidence_interval
    mean = float(known.mean())
    return Estimate(mean, float(found.low), float(found.high), len(known), level, "bootstrap")


def batch_means(values: Values, level: float = LEVEL) -> Estimate:
    """Return the mean of a stationary series of dependent values, by overlapping batch means.

    Every stretch of a length counts as a batch; their means are nearly independent of those of
    batches that do not overlap, and their spread tells that of the mean of all.

    Parameters
    ----------
    values
        In the order in which they occurred, without the transient.
    level
        Of confidence.

    References
    ----------
    Meketon, M. S. and Schmeiser, B. (1984), "Overlapping batch means: something for nothing?",
    Winter Simulation Conference: the estimator, and its 1.5 (n/m - 1) degrees of freedom.
    """
    series = np.asarray(values, dtype=np.float64)
    n = len(series)
    size = n // BATCHES
    if size < LEAST:
        mean = float(series.mean()) if n else None
        return Estimate(mean, None, None, n, level, "not enough data")
    early = _early(series, level)
    if early is not None:
        return early
    from scipy import stats

    mean = float(series.mean())
    sums = np.concatenate([[0.0], np.cumsum(series - mean)])
    batches = (sums[size:] - sums[:-size]) / size
    error = np.sqrt(size * np.sum(batches**2) / ((n - size + 1) * (n - size)))
    half = float(stats.t.ppf((1 + level) / 2, 1.5 * (n / size - 1)) * error)
    return Estimate(mean, mean - half, mean + half, n, level, "batch means")


def is_constant(values: npt.NDArray[np.float64]) -> bool:
    """Return whether values differ by rounding at most."""
    return bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def _known(values: Values) -> npt.NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    return numbers[~np.isnan(numbers)]


def _early(known: npt.NDArray[np.float64], level: float) -> Estimate | None:
    """Return the estimate where there is nothing to compute: too few values, or all the same."""
    n = len(known)
    if n < LEAST:
        mean = float(known.mean()) if n else None
        return Estimate(mean, None, None, n, level, "not enough data")
    if is_constant(known):
        value = float(known[0])
        return Estimate(value, value, value, n, level, "constant")
    return None
