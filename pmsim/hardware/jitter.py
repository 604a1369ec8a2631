"""Random delays of an interrupt's delivery, rounded once, when they are drawn."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pmsim.hardware.costs import Jitter


def draw(jitter: Jitter, rng: np.random.Generator, n: int) -> npt.NDArray[np.int64]:
    """Return ``n`` delays in picoseconds, none negative, in the order of the targets."""
    if jitter.dist == "half-normal":
        delays = np.abs(rng.normal(0.0, jitter.scale, n))
    elif jitter.dist == "exponential":
        delays = rng.exponential(jitter.scale, n)
    else:
        delays = rng.uniform(0.0, jitter.scale, n)
    return np.rint(delays).astype(np.int64)
