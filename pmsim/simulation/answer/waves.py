"""Waves of a rate: what the periodogram of instants says of it.

References
----------
Bartlett, M. S. (1963), "The spectral analysis of point processes", Journal of the Royal Statistical
Society B 25(2): the periodogram of instants, after Rayleigh's test. Heidelberger, P., and Welch, P.
D. (1981), "A spectral method for confidence interval generation and run length control in
simulations", Communications of the ACM 24(4): steadiness by the low end of a spectrum.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import numpy.typing as npt

CYCLES: Final = (5, 128)
"""Numbers of cycles in a run that a wave of the rate is sought with, the fewest and the most."""
PER_CYCLE: Final = 4
"""Events a cycle, at least."""
PEAK: Final = 16.0
"""How many times higher than around it the periodogram is at a period. Without one its values are
exponentially distributed: of 250 one is as high by chance in 35,000 runs."""
SLOW: Final = 10.0
"""The same for waves of fewer than `CYCLES` cycles, of which there are nine: once in 2,400 runs."""
LEAST_POWER: Final = 0.15
"""Least power that slow waves are compared to: evenly spaced events have none."""
FINER: Final = 32
"""Intervals a cycle of the fastest wave: evenly spaced events beat with coarser ones."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


def wave(starts: Ints, duration: int) -> int | None:
    """Return the period of a rate that goes up and down in waves of one length, if it does.

    Parameters
    ----------
    starts
        Instants of events, ascending.
    duration
        How long they were watched, from 0 on, in the same unit, which is the period's as well.
    """
    cycles, power = _periodogram(starts, duration)
    sought = (cycles >= CYCLES[0]) & (cycles <= min(CYCLES[1], len(starts) / PER_CYCLE))
    if not sought.any():
        return None
    peak = int(np.where(sought, power, 0).argmax())
    away = np.abs(cycles - cycles[peak]) >= 2
    around = away & (cycles >= cycles[peak] / 3) & (cycles <= cycles[peak] * 3)
    if not around.any():
        return None
    # The median of an exponential distribution is its mean times log 2.
    usual = max(float(np.median(power[around])) / math.log(2), 1.0)
    slower = power[away & (cycles < cycles[peak])].max(initial=0)
    if power[peak] < PEAK * usual or power[peak] < 2 * slower:
        return None
    # Between its neighbours by their amplitudes, for frequencies between those that were tried.
    near = np.sqrt(power[peak - 1 : peak + 2])
    number = float((near * cycles[peak - 1 : peak + 2]).sum() / near.sum())
    return round(duration / number)


def slow_waves(starts: Ints, begin: int, end: int) -> bool:
    """Return whether the rate between two instants goes up and down slowly."""
    cycles, power = _periodogram(starts[starts >= begin] - begin, end - begin)
    slow = cycles < CYCLES[0]
    usual = max(float(power[~slow & (cycles <= 4 * CYCLES[0])].mean()), LEAST_POWER)
    return bool(power[slow].max() > SLOW * usual)


def _periodogram(starts: Ints, duration: int) -> tuple[Floats, Floats]:
    """Return numbers of cycles in a run, by halves, and the power of the rate's waves with them.

    The power of a Poisson process is 1 on average.
    """
    bins = FINER * CYCLES[1]
    counts = np.histogram(starts, np.linspace(0, duration, bins + 1))[0]
    waves = np.fft.rfft(counts - counts.mean(), 2 * bins)
    kept = slice(1, 4 * CYCLES[1] + 1)
    return np.arange(len(waves))[kept] / 2, np.abs(waves[kept]) ** 2 / max(len(starts), 1)
