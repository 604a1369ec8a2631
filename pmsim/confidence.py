"""How well a mean is known: confidence intervals over replications, or within one long run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from pmsim.record import Record

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


@dataclass(frozen=True, slots=True, eq=False)
class Estimate(Record):
    """A mean, and the interval that holds the true one with some confidence."""

    mean: Annotated[float | None, "Of the values that are known; none without any."]
    low: Annotated[float | None, "Lower end of the interval; none where there are too few values."]
    high: Annotated[float | None, "Upper end of the interval."]
    n: Annotated[int, "Values that are known: replications, or steps of one run."]
    level: Annotated[float, "Probability with which such intervals hold the truth."]
    method: Annotated[Method, "Where the interval comes from."]

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


def mean_interval(values: Values, level: float = LEVEL) -> Estimate:
    """Return the mean of independent values with Student's t interval.

    Parameters
    ----------
    values
        One per replication; those that are not a number are left out.
    level
        Level of confidence.
    """
    known = _known(values)
    early = _early(known, level)
    if early is not None:
        return early
    n = len(known)
    mean = float(known.mean())
    half = t_quantile(n - 1, level) * float(np.sqrt(known.var(ddof=1) / n))
    return Estimate(mean, mean - half, mean + half, n, level, "t")


def difference_interval(first: Values, second: Values, level: float = LEVEL) -> Estimate:
    """Return how much larger the mean of independent values is than that of others, by Welch's t.

    Parameters
    ----------
    first, second
        One per replication each; those that are not a number are left out.
    level
        Level of confidence.

    References
    ----------
    Welch, B. L. (1947), "The generalization of 'Student's' problem when several different
    population variances are involved", Biometrika 34: the degrees of freedom.
    """
    samples = [_known(values) for values in (first, second)]
    n = min(map(len, samples))
    gap = float(samples[1].mean() - samples[0].mean()) if n else None
    if n < LEAST:
        return Estimate(gap, None, None, n, level, "not enough data")
    if all(map(is_constant, samples)):
        return Estimate(gap, gap, gap, n, level, "constant")
    assert gap is not None
    errors = np.array([one.var(ddof=1) / len(one) for one in samples])
    freedoms = np.array([len(one) - 1 for one in samples])
    freedom = float(errors.sum() ** 2 / (errors**2 / freedoms).sum())
    half = t_quantile(freedom, level) * float(np.sqrt(errors.sum()))
    return Estimate(gap, gap - half, gap + half, n, level, "t")


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
        Level of confidence.

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
        Level of confidence.

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
    mean = float(series.mean())
    sums = np.concatenate([[0.0], np.cumsum(series - mean)])
    batches = (sums[size:] - sums[:-size]) / size
    error = np.sqrt(size * np.sum(batches**2) / ((n - size + 1) * (n - size)))
    half = t_quantile(1.5 * (n / size - 1), level) * float(error)
    return Estimate(mean, mean - half, mean + half, n, level, "batch means")


def t_quantile(freedom: float, level: float) -> float:
    """Return how many standard errors a two-sided interval of Student's t reaches to either side.

    Parameters
    ----------
    freedom
        Degrees of freedom; they need not be whole.
    level
        Level of confidence.
    """
    # `scipy.stats`, whose `t.ppf` is this function, takes as long to import as many a run.
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + level) / 2))


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
