"""Where the transient at the start of a run ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

Rule = Literal["silent", "mser5", "none", "given"]

BATCH: Final = 5
"""Intervals averaged before the rule looks at them: the 5 of MSER-5."""
LEAST_BATCHES: Final = 10
"""Batches below which the rule says nothing."""
LEAST_LEFT: Final = 5
"""Batches that a cut must leave: few of them may be alike by chance."""
AS_GOOD: Final = 1.1
"""Squared standard errors that differ by less than this factor count as equal.

In a steady series a cut gains nothing, but by chance the minimum may lie anywhere.
"""
SILENT_SHARE: Final = 0.1
"""Part of the run that must follow the last shootdown for the run to count as fallen silent."""


@dataclass(frozen=True, slots=True)
class Transient:
    """The initial part of a run, in which shootdowns are more or less frequent than later on.

    Attributes
    ----------
    end_ps
        Where it ends; `None` where no steady part was found.
    rule
        ``silent``: no shootdown comes after it. ``mser5``: what follows is steady. ``none``:
        neither holds. ``given``: the scenario says so.
    """

    end_ps: int | None
    rule: Rule


def find_transient(
    edges: npt.NDArray[np.int64], broadcasts: npt.NDArray[np.int64], last_end_ps: int
) -> Transient:
    """Find the end of the transient in the shootdowns of each interval.

    If at least `SILENT_SHARE` of the run follows the last shootdown, the transient is what came
    before; otherwise MSER-5 decides.

    Parameters
    ----------
    edges
        Edges of the intervals in picoseconds, the last one's end included.
    shootdowns
        Shootdowns that began in each; one element fewer.
    last_end_ps
        When the last shootdown ended.

    References
    ----------
    White, K. P. (1997), "An effective truncation heuristic for bias reduction in simulation
    output", Simulation 69(6); batches of 5: White, Cobb and Spratt (2000), WSC.
    """
    if not len(broadcasts) or not broadcasts.any():
        return Transient(0, "silent")
    end = int(edges[-1])
    if end - last_end_ps >= SILENT_SHARE * end:
        return Transient(last_end_ps, "silent")
    # The last interval may be shorter than the others; its count would not be comparable.
    lengths = np.diff(edges)
    whole = broadcasts[: len(broadcasts) - int(lengths[-1] < lengths[0])]
    cut = mser5(whole)
    if cut is None:
        return Transient(None, "none")
    return Transient(int(edges[_tightened(whole, cut)]), "mser5")


def mser5(values: npt.NDArray[np.int64]) -> int | None:
    """Return how many values to cut off at the start, a multiple of 5, by MSER-5.

    The cut minimises the squared standard error of the mean of what is left. Of cuts that are as
    good but for noise (`AS_GOOD`), the earliest counts. A cut in the second half says that the
    series never settles; then, and for fewer than ten batches, the result is `None`.
    """
    n = len(values) // BATCH
    if n < LEAST_BATCHES:
        return None
    means = values[: n * BATCH].reshape(n, BATCH).mean(axis=1)
    # Sums over everything from each batch on, from which the variance of each rest follows.
    left = np.arange(n, 0, -1)
    total = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum((means**2)[::-1])[::-1]
    error = ((squares - total**2 / left) / left**2)[: n - LEAST_LEFT + 1]
    # A constant rest has no variance but for rounding.
    rounding = 1e-9 * max(float(error[0]), 0.0)
    best = int(np.argmax(error <= error.min() * AS_GOOD + rounding))
    return None if 2 * best > n else best * BATCH


def _tightened(values: npt.NDArray[np.int64], cut: int) -> int:
    """Move a cut back over intervals that do not differ from those after it.

    Batches are coarse: the cut may lie up to four intervals behind the end of the transient.
    """
    highest, lowest = values[cut:].max(), values[cut:].min()
    earliest = max(0, cut - BATCH + 1)
    while cut > earliest and lowest <= values[cut - 1] <= highest:
        cut -= 1
    return cut
