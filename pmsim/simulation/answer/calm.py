"""When does a run calm down? A verdict from the instants at which its shootdowns began.

The question is one about the rate of a point process, put in this order:

1. Is it *silent* from some instant on? A silence counts where it is long against every gap before.
2. Is it *periodic*? Shootdowns that come close together are one episode; episodes whose distances
   hardly differ have a period. So has a rate with a sharp peak in the periodogram of the instants.
   Neither hangs on the length of the run. Single shootdowns closer than a timer tick are a rate.
3. Otherwise, is the rate *steady*, from the start or from some instant on, or does it still change?
   Constant, stepwise, hinged and decaying rates are fitted to the counts of equal intervals, and
   the Bayesian information criterion chooses. Intervals are made longer until what is left over
   is no more alike in neighbours than by chance, as in the method of batch means. What is taken
   for steady must have no slow waves: its periodogram is no higher at its low end than elsewhere.

References
----------
Schwarz, G. (1978), "Estimating the dimension of a model", Annals of Statistics 6(2): the criterion.
Fishman, G. S. (1978), "Grouping observations in digital simulation", Management Science 24(5), and
von Neumann, J. (1941), Annals of Mathematical Statistics 12(4): longer batches until neighbours are
unlike. McCullagh, P., and Nelder, J. A. (1989), "Generalized Linear Models", 2nd ed., chapter 9:
counts that vary more, or less, than a Poisson process's. Jackson, B., et al. (2005), "An algorithm
for optimal partitioning of data on an interval", IEEE Signal Processing Letters 12(2): steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median_low
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt

from pmsim.record import Record
from pmsim.simulation.answer.waves import slow_waves, wave
from pmsim.units import MS

Verdict = Literal[
    "steady_from_start", "steady_from", "silent_from", "periodic", "still_changing", "too_few"
]

LEAST_EVENTS: Final = 5
"""Shootdowns below which nothing is said."""
LEAST_FOR_RATES: Final = 15
"""Episodes of shootdowns below which nothing is said of a rate."""
SILENCE: Final = 3.0
"""How often the longest gap before it a silence lasts at least."""
WITHIN: Final = 30
"""How many times shorter than the longest gap those are that lie within an episode."""
BY_CHANCE: Final = 0.005
"""Chance of a silence, had the gaps before it gone on, above which it tells nothing."""
DOUBLING: Final = 1 / 3
"""How far the halves of a run are apart, as a share of all shootdowns, if the rate has doubled from
one to the other. A steady rate is only told where that would have been seen."""
SILENT_SHARE: Final = 0.1
"""Part of the run that a silence lasts."""
PERIOD_SPREAD: Final = 0.25
"""Standard deviation of the distances of periodic episodes, as a share of their mean; that of a
Poisson process is 1."""
TICK: Final = 10 * MS
"""Distance below which single shootdowns that are evenly spaced are a steady rate: the longest tick
of Linux (HZ=100, `kernel/Kconfig.hz`), faster than which no timer wheel's work recurs."""
GROUPED: Final = 1.5
"""Shootdowns an episode from which on episodes are groups, and their rhythm one of any distance."""
PERIODIC_SHARE: Final = 0.75
"""Part of the run, up to its end, that a rhythm lasts."""
APART: Final = 5.0
"""How many times longer than all gaps within episodes the gaps between them are."""
INTERVALS: Final = (96, 48, 24, 12)
"""Numbers of intervals that are tried, the finest first."""
MOST_STEPS: Final = 3
"""Steps of a rate that are told apart; one that changes more often is not steady anywhere."""
LEAST_STEP: Final = 2
"""Intervals that a rate lasts at least."""
LONGER: Final = 1.5
"""How many times longer than it took from its first step to its last a rate lasts at the end."""
CHANGE: Final = 0.2
"""Relative change of a rate below which it counts as the same."""
SETTLED: Final = 0.1
"""What is left of a decaying rate, against the rate that it decays to, once it is steady."""
NOTHING: Final = 0.05
"""Share of the highest count below which the rate that is decayed to is none."""
LATEST: Final = 0.85
"""Part of the run after which a decaying rate settles too late to be seen settled."""
ONE_IN_A_HUNDRED: Final = 2.33
"""Standard deviations that a normal variable exceeds once in a hundred times."""
ONE_IN_TWO_HUNDRED: Final = 2.58
"""The same, once in two hundred times."""
DOUBT: Final = 2.0
"""Differences of the criterion that decide nothing: a constant rate is preferred, then a changing
one. Kass and Raftery (1995), Journal of the American Statistical Association 90(430): from 2 to 6
is positive evidence, more is strong."""
TRIMMED: Final = 0.05
"""Share of neighbours that differ most, which steps may be between."""
TRIMMED_MEAN: Final = 0.76
"""Mean of the others' squares, of normal differences of variance 1: the mean of a chi-squared
variable of one degree of freedom below its 95th percentile, times 0.95."""
LEAST_RATE: Final = 0.5
"""Shootdowns an interval whose variance is the least that is reckoned with: half of one."""
PENALTY: Final = 1.5
"""Weight of a parameter in the criterion; Schwarz has 1, for models that were not sought by their
borders. Of a hundred Poisson processes none is taken for a step then."""
LEAST_SCALE: Final = 0.15
"""Least variance of a count against its mean that is reckoned with: evenly spaced shootdowns fall
on this or that side of a border."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Calm(Record):
    """What becomes of the rate of shootdowns."""

    verdict: Annotated[
        Verdict,
        "What it becomes: steady_from_start, steady_from, silent_from, periodic, still_changing,"
        " or too_few to tell.",
    ]
    at_ps: Annotated[
        int | None, "From when on it is steady, silent or periodic; none where it is none of these."
    ] = None
    period_ps: Annotated[int | None, "Its period; none where it has none."] = None


def foremost(found: Sequence[Calm]) -> Calm:
    """Return the verdict on most runs, at the median of their instants; the first of equally many.

    Parameters
    ----------
    found
        One for each replication; none is as too few shootdowns.
    """
    if not found:
        return Calm("too_few")
    verdicts = [one.verdict for one in found]
    chosen = max(verdicts, key=verdicts.count)
    alike = [one for one in found if one.verdict == chosen]
    at = [one.at_ps for one in alike if one.at_ps is not None]
    period = [one.period_ps for one in alike if one.period_ps is not None]
    return Calm(chosen, median_low(at) if at else None, median_low(period) if period else None)


def calm(starts_ps: npt.NDArray[np.int64], duration_ps: int, last_end_ps: int) -> Calm:
    """Tell when the shootdowns of a run calm down.

    Parameters
    ----------
    starts_ps
        When each began, ascending, in picoseconds.
    duration_ps
        How long the run lasted.
    last_end_ps
        When the last one ended.
    """
    if len(starts_ps) < LEAST_EVENTS:
        return Calm("too_few")
    return (
        _silent(starts_ps, duration_ps, last_end_ps)
        or _periodic(starts_ps, duration_ps)
        or _waving(starts_ps, duration_ps)
        or _rates(starts_ps, duration_ps)
    )


def _silent(starts: npt.NDArray[np.int64], duration: int, last_end: int) -> Calm | None:
    silence = duration - last_end
    gaps = np.diff(starts)
    longest = max(int(gaps.max()), 1)
    if silence < max(SILENCE * longest, SILENT_SHARE * duration):
        return None
    # After n exponential gaps the next is `times` as long as the longest with a chance of the
    # product of j / (j + times) for j up to n. Gaps within episodes are not counted.
    alike = np.arange(1, int((gaps * WITHIN >= longest).sum()) + 1)
    times = silence / longest
    chance = float(np.prod(alike / (alike + times)))
    return Calm("silent_from", last_end) if chance <= BY_CHANCE else None


def _periodic(starts: npt.NDArray[np.int64], duration: int) -> Calm | None:
    """Look for a period in the beginnings of episodes, over the latest part of the run."""
    begins = _episodes(starts)
    shortest = 0 if len(starts) >= GROUPED * len(begins) else TICK
    for skipped in _may_be_left_out(begins, duration, shortest):
        told = begins[skipped:]
        if len(told) < LEAST_EVENTS or duration - told[0] < PERIODIC_SHARE * duration:
            return None
        gaps = np.diff(told)
        period = float(gaps.mean())
        quiet_end = duration - int(told[-1]) < 2 * period
        if gaps.std() <= PERIOD_SPREAD * period and period >= shortest and quiet_end:
            early = told[0] < 2 * period
            return Calm("periodic", 0 if early else int(told[0]), round(float(np.median(gaps))))
    return None


def _may_be_left_out(begins: npt.NDArray[np.int64], duration: int, shortest: int) -> list[int]:
    """Return how many of the first may be left out so that the rest is periodic up to the end.

    By sums from the end, all at once: these are rounded otherwise than each by itself, so some more
    are returned than it is true of. To look at each of a hundred thousand took a minute.
    """
    gaps = np.diff(begins).astype(float)
    if not len(gaps) or gaps.max() < shortest:
        return []
    left = np.arange(len(gaps), 0, -1)
    period = (begins[-1] - begins[:-1]) / left * (1 + 1e-9)
    off = (gaps - np.median(gaps))[::-1]
    mean, square = np.cumsum(off)[::-1] / left, np.cumsum(off**2)[::-1] / left
    spread = (PERIOD_SPREAD * period) ** 2 * (1 + 1e-6) + 1e-9 * square
    periodic = (square - mean**2 <= spread) & (period >= shortest)
    periodic &= duration - begins[-1] < 2 * period
    most = max(1, len(begins) - 2 * LEAST_EVENTS + 1)
    found: list[int] = np.flatnonzero(periodic[:most]).tolist()
    return found


def _episodes(starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return when episodes begin: shootdowns much closer to each other than to others are one."""
    gaps = np.diff(starts)
    ordered = np.sort(np.maximum(gaps, 1)).astype(float)
    ratios = ordered[1:] / ordered[:-1]
    # At least three gaps must be long ones, or a burst and a pause would be a rhythm.
    # The shortest third lies within, or what is near by chance would be a group.
    ratios = ratios[: max(0, len(ratios) - LEAST_EVENTS + 2)]
    ratios[: len(gaps) // 3] = 1
    if not len(ratios) or ratios.max() < APART:
        return starts
    border = ordered[int(ratios.argmax())]
    return starts[np.concatenate(([True], gaps > border))]


def _waving(starts: npt.NDArray[np.int64], duration: int) -> Calm | None:
    period = wave(starts, duration)
    return None if period is None else Calm("periodic", 0, period)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A course of the rate, fitted to counts.

    ``steady_from`` is the interval from which on it is constant, `None` where it never is.
    """

    rates: Floats
    parameters: int
    steady_from: int | None


def _rates(starts: npt.NDArray[np.int64], duration: int) -> Calm:
    n, episodes = len(starts), len(_episodes(starts))
    if episodes < LEAST_FOR_RATES:
        return Calm("too_few")
    for intervals in INTERVALS:
        if episodes < 2 * intervals and intervals > INTERVALS[-1]:
            continue
        edges = np.linspace(0, duration, intervals + 1)
        counts = np.histogram(starts, edges)[0].astype(float)
        fit = _best(counts)
        if _alike(counts - fit.rates):
            continue
        if fit.steady_from is None or _drifting(counts[fit.steady_from :], _scale(counts)):
            return Calm("still_changing")
        if slow_waves(starts, int(edges[fit.steady_from]), duration):
            return Calm("still_changing")
        if fit.steady_from == 0:
            seen = ONE_IN_A_HUNDRED * math.sqrt(_scale(counts) * n) < DOUBLING * n
            return Calm("steady_from_start", 0) if seen else Calm("too_few")
        return Calm("steady_from", int(edges[fit.steady_from]))
    return Calm("still_changing" if _trending(_episodes(starts), duration) else "too_few")


def _best(counts: Floats) -> _Fit:
    """Choose the course with the least information criterion; of equal ones the simpler."""
    scale = _scale(counts)
    rated = [(_criterion(counts, fit, scale), fit) for fit in _courses(counts)]
    least = min(criterion for criterion, _ in rated)
    near = [(criterion, fit) for criterion, fit in rated if criterion <= least + DOUBT]
    constant = [fit for _, fit in near if fit.steady_from == 0]
    changing = [fit for _, fit in near if fit.steady_from is None]
    if constant or changing:
        return (constant or changing)[0]
    return min(near, key=lambda one: one[0])[1]


def _criterion(counts: Floats, fit: _Fit, scale: float) -> float:
    deviance = float(((counts - fit.rates) ** 2 / np.maximum(fit.rates, LEAST_RATE)).sum())
    return deviance / scale + PENALTY * fit.parameters * math.log(len(counts))


def _scale(counts: Floats) -> float:
    """How much counts vary against a Poisson process's, by neighbours: no trend enters."""
    pairs = (counts[1:] - counts[:-1]) ** 2 / np.maximum(counts[1:] + counts[:-1], 1.0)
    middle = float(np.mean(np.sort(pairs)[: max(1, round((1 - TRIMMED) * len(pairs)))]))
    return max(middle / TRIMMED_MEAN, LEAST_SCALE)


def _courses(counts: Floats) -> Iterator[_Fit]:
    n = len(counts)
    yield _Fit(np.full(n, counts.mean()), 1, 0)
    yield from _stepwise(counts)
    yield from _hinged(counts)
    yield from _decaying(counts)


def _stepwise(counts: Floats) -> Iterator[_Fit]:
    """Fit rates of one to `MOST_STEPS` steps by optimal partitioning."""
    n = len(counts)
    sums = np.concatenate(([0.0], np.cumsum(counts)))
    squares = np.concatenate(([0.0], np.cumsum(counts**2)))
    # Misfit of one rate for the intervals from i up to j, as row i and column j.
    length = np.arange(n + 1)[None, :] - np.arange(n + 1)[:, None]
    total = sums[None, :] - sums[:, None]
    mean = total / np.maximum(length, 1)
    misfit = (squares[None, :] - squares[:, None] - total * mean) / np.maximum(mean, LEAST_RATE)
    misfit[length < LEAST_STEP] = np.inf
    best, came = misfit[0], []
    for steps in range(1, MOST_STEPS + 1):
        ways = best[:, None] + misfit
        came.append(ways.argmin(axis=0))
        best = ways.min(axis=0)
        borders = [n]
        for last in reversed(came):
            borders.append(int(last[borders[-1]]))
        rates = np.empty(n)
        for low, high in pairwise([0, *reversed(borders)]):
            rates[low:high] = counts[low:high].mean()
        steady = _first_like_last(rates)
        unsettled = steady > 0 and _goes_on(borders)
        yield _Fit(rates, 2 * steps + 1, None if unsettled else steady)


def _goes_on(borders: Sequence[int]) -> bool:
    """Whether the last of several steps is so near the end that another one may follow.

    Parameters
    ----------
    borders
        Where its steps are, the end of the run first.
    """
    end, last, first = borders[0], borders[1], borders[-1]
    return end - last < LONGER * (last - first)


def _first_like_last(rates: Floats) -> int:
    """Return from which interval on all rates are like the last one."""
    unlike = np.abs(rates - rates[-1]) > CHANGE * np.maximum(rates, rates[-1])
    return int(np.flatnonzero(unlike)[-1]) + 1 if unlike.any() else 0


def _regressed(counts: Floats, courses: npt.NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """Fit ``level + height * course`` to counts by least squares, for a course in each row.

    Returns levels, heights and rates, the last with a row for each course.
    """
    centred = courses - courses.mean(axis=1, keepdims=True)
    heights = centred @ (counts - counts.mean()) / (centred**2).sum(axis=1)
    levels = counts.mean() - heights * courses.mean(axis=1)
    return levels, heights, levels[:, None] + heights[:, None] * courses


def _hinged(counts: Floats) -> Iterator[_Fit]:
    """Fit a rate that changes evenly: throughout, up to some interval, or from one on."""
    n = len(counts)
    at = np.arange(n) + 0.5
    (rates,) = _regressed(counts, at[None, :])[2]
    moved = abs(rates[-1] - rates[0]) > CHANGE * max(abs(rates[0]), abs(rates[-1]))
    yield _Fit(rates, 2, None if moved else 0)
    hinges = np.arange(n // 10 + 1, n - n // 10, max(1, n // 48))
    past = at[None, :] - hinges[:, None]
    for hinge, rates in zip(hinges, _regressed(counts, np.minimum(past, 0))[2], strict=True):
        yield _Fit(rates, 4, int(hinge))
    for rates in _regressed(counts, np.maximum(past, 0))[2]:
        yield _Fit(rates, 4, None)


def _decaying(counts: Floats) -> Iterator[_Fit]:
    """Fit a rate that decays to another one exponentially, or grows towards it."""
    n = len(counts)
    times: Floats = np.geomspace(1.0, 2.0 * n, 40)
    fits = _regressed(counts, np.exp(-(np.arange(n) + 0.5)[None, :] / times[:, None]))
    for time, level, height, rates in zip(times, *fits, strict=True):
        if level <= NOTHING * counts.max():
            yield _Fit(rates, 3, None)
            continue
        settled = time * np.log(max(abs(height) / (SETTLED * level), 1.0))
        yield _Fit(rates, 3, int(np.ceil(settled)) if settled < LATEST * n else None)


def _drifting(counts: Floats, scale: float) -> bool:
    """Whether the halves of what is taken for steady are farther apart than by chance."""
    half = len(counts) // 2
    first, last = float(counts[:half].sum()), float(counts[len(counts) - half :].sum())
    return abs(first - last) > ONE_IN_TWO_HUNDRED * math.sqrt(scale * (first + last))


def _alike(left: Floats) -> bool:
    """Whether neighbours among what is left over are more alike than chance makes them."""
    if not left.any():
        return False
    likeness = float((left[1:] * left[:-1]).sum() / (left**2).sum())
    return likeness > ONE_IN_A_HUNDRED / math.sqrt(len(left))


def _trending(starts: npt.NDArray[np.int64], duration: int) -> bool:
    """Whether the last third has a rate twice, or half, as high as the third before it."""
    thirds = np.histogram(starts, np.linspace(0, duration, 4))[0].astype(float)
    return bool(max(thirds[1:]) > 2 * max(min(thirds[1:]), 1)) and _drifting(thirds[1:], 1.0)
