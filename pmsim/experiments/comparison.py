"""What changes from one arm to another: paired differences, their intervals, a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from pmsim import formatting
from pmsim.confidence import (
    LEAST,
    LEVEL,
    ROUNDING,
    Estimate,
    difference_interval,
    is_constant,
)
from pmsim.escaping import escape
from pmsim.experiments.arms import Arm, Comparable, arms_of
from pmsim.simulation.answer.estimates import estimate
from pmsim.simulation.answer.metrics import HEADLINES, is_metric, metric_of, ordered
from pmsim.simulation.result.manifest import differences


@dataclass(frozen=True, slots=True)
class Difference:
    """How much a metric differs between two arms.

    Attributes
    ----------
    against, arm, metric
        The names of the first arm and of the other one, and the metric's column.
    base, other
        The means of both, over the replications that are compared.
    difference
        Of the other less the base, with its interval.
    effect
        Cohen's d: the difference in units of the spread within the arms; `None` where there is no
        spread.
    paired
        Whether replications were compared one by one, as arms of one seed allow.
    """

    against: str
    arm: str
    metric: str
    base: float
    other: float
    difference: Estimate
    effect: float | None
    paired: bool

    @property
    def relative(self) -> float | None:
        """The difference as a share of the base; `None` where that is zero."""
        return None if self.base == 0 else (self.other - self.base) / abs(self.base)

    @property
    def certain(self) -> bool:
        """Whether the interval lies on one side of zero."""
        low, high = self.difference.low, self.difference.high
        return low is not None and high is not None and (low > 0 or high < 0)

    @property
    def same(self) -> bool:
        """Whether all that is compared is exactly the same."""
        return self.difference.method == "constant" and self.difference.mean == 0

    @property
    def uncounted(self) -> bool:
        """Whether there are too few replications for an interval."""
        return self.difference.method == "not enough data"

    def __str__(self) -> str:
        metric, label = metric_of(self.metric)
        what = f"{metric.label} ({label})" if label else metric.label
        plural = metric.label.split()[0].endswith("s")
        base, other = (
            f"{formatting.quantity(value, metric.form)} in {arm}"
            for value, arm in ((self.base, self.against), (self.other, self.arm))
        )
        n = self.difference.n
        runs = f"{n} {('pair' if self.paired else 'unpaired run') + ('s' if n > 1 else '')}"
        if self.uncounted:
            return f"{what}: {base}, {other} ({runs}, no interval)."
        if self.same:
            verb = "stay" if plural else "stays"
            return f"{what} {verb} exactly the same: {base} and in {self.arm}."
        ends = formatting.difference_interval(self.difference, metric.form)
        interval = (
            f"{formatting.share(self.difference.level)} interval of the difference {ends}, {runs}"
        )
        if not self.certain:
            verb = "do not" if plural else "does not"
            return f"{what} {verb} change measurably: {base}, {other} ({interval})."
        verb = ("rise" if self.other > self.base else "fall") + ("" if plural else "s")
        share = "" if self.relative is None else f" by {formatting.share(abs(self.relative))}"
        return f"{what} {verb}{share}, from {base} to {other} ({interval})."


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several arms against the first.

    Attributes
    ----------
    base
        The name of the first arm.
    differences
        Of each other arm, metric by metric.
    doubts
        What a reader has to know: which arms were made by another program than the base.
    """

    base: str
    differences: tuple[Difference, ...]
    doubts: tuple[str, ...] = ()

    @property
    def frame(self) -> pd.DataFrame:
        """One row per arm and metric: means, difference, ends of its interval, effect size."""
        return pd.DataFrame(
            [
                {
                    "arm": one.arm,
                    "metric": one.metric,
                    "base": one.base,
                    "other": one.other,
                    "difference": one.difference.mean,
                    "low": one.difference.low,
                    "high": one.difference.high,
                    "relative": one.relative,
                    "effect": one.effect,
                    "n": one.difference.n,
                    "paired": one.paired,
                    "method": one.difference.method,
                }
                for one in self.differences
            ]
        )

    def sentences(self, *metrics: str) -> list[str]:
        """Return a sentence per arm and metric that can be quoted; of the headlines by default.

        One more says, where that is so, that there are too few replications for intervals.
        """
        told = [one for one in self.differences if one.metric in (metrics or HEADLINES)]
        few = [f"No intervals: they need --replications {LEAST}."]
        return [*map(str, told), *(few if any(one.uncounted for one in told) else [])]

    def _repr_html_(self) -> str:
        sentences = (*self.doubts, *self.sentences())
        said = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
        return f"<h4>Compared with {escape(self.base)}</h4><ul>{said}</ul>"


def compare(
    *given: Comparable,
    level: float = LEVEL,
    replications: int | None = None,
    workers: int | None = None,
) -> Comparison:
    """Compare results, cells of a sweep, or scenarios with the first of them.

    Arms of one seed share their random draws (common random numbers), so they are compared
    replication by replication, and what is left is the difference between them.

    Parameters
    ----------
    *given
        Results or sweeps, their directories, scenarios, their paths or names. Each cell of a sweep
        is an arm. Scenarios are run.
    level
        Of confidence.
    replications
        Runs of each scenario that is given.
    workers
        Processes that run them.

    Raises
    ------
    ResultError
        If there are fewer than two arms, or one cannot be read.
    """
    base, *others = arms_of(given, replications=replications, workers=workers)
    found = [_difference(base, arm, name, level) for arm in others for name in _shared(base, arm)]
    known = tuple(one for one in found if one is not None)
    return Comparison(base.name, known, tuple(_doubts(base, others)))


def _doubts(base: Arm, others: Sequence[Arm]) -> Iterator[str]:
    changed: dict[str, list[str]] = {}
    for arm in others:
        changed.setdefault(differences(base.program, arm.program), []).append(arm.name)
    changed.pop("", None)
    for what, names in changed.items():
        yield (
            f"{base.name} was made by another program than {', '.join(names)} ({what}): they may"
            " differ for that alone."
        )


def _shared(base: Arm, other: Arm) -> list[str]:
    return ordered(set(filter(is_metric, base.rows.columns)) & set(other.rows.columns))


def _difference(base: Arm, other: Arm, name: str, level: float) -> Difference | None:
    """Compare one metric; `None` where one of the arms does not know it."""
    one, two = base.rows[name].dropna(), other.rows[name].dropna()
    paired = base.seed == other.seed
    if paired:
        common = one.index.intersection(two.index)
        one, two = one.loc[common], two.loc[common]
    if not len(one) or not len(two):
        return None
    first, second = one.to_numpy(dtype=np.float64), two.to_numpy(dtype=np.float64)
    if paired:
        apart = np.where(np.isclose(first, second, rtol=ROUNDING, atol=0), 0, second - first)
        gap = estimate(name, apart, base.seed, level)
    else:
        gap = difference_interval(first, second, level)
    effect = _effect(first, second)
    return Difference(
        base.name, other.name, name, float(first.mean()), float(second.mean()), gap, effect, paired
    )


def _effect(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float | None:
    """Return Cohen's d: the difference of means by the pooled standard deviation.

    References
    ----------
    Cohen, J. (1988), "Statistical Power Analysis for the Behavioral Sciences", 2nd ed., 2.2.
    """
    freedom = len(first) + len(second) - 2
    if freedom < 1 or (is_constant(first) and is_constant(second)):
        return None
    squares = ((first - first.mean()) ** 2).sum() + ((second - second.mean()) ** 2).sum()
    spread = float(np.sqrt(squares / freedom))
    return float(second.mean() - first.mean()) / spread
