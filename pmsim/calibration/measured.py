"""What a cell came to: a robust median, how sure it is, and whether it counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np

from pmsim.calibration.cells import Cell

ENOUGH: Final = 0.9
"""Interrupts a sample, on each CPU that is to get one, from which on a cell counts."""
FEWEST: Final = 20
"""Samples of the smallest cell that counts."""
_NORMAL: Final = 1.96
"""Deviations within which 95 % of a normal variable lie."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One cell as it was measured.

    Attributes
    ----------
    cell
        Which.
    samples
        Each sample in nanoseconds, what reading the clock takes left out.
    interrupts
        How many a sample came to the CPU that got the fewest; `None` where that cannot be known.
    refused
        Why the cell does not count; empty where it does.
    """

    cell: Cell
    samples: tuple[int, ...]
    interrupts: float | None
    refused: str

    @property
    def counts(self) -> bool:
        """Whether it may be fitted or held against a prediction."""
        return not self.refused

    @property
    def ns(self) -> float:
        """The median."""
        return float(np.median(self.samples))

    @property
    def between(self) -> tuple[float, float]:
        """An interval for the median, at 95 %: order statistics around the middle (binomial)."""
        ordered = np.sort(self.samples)
        count = len(ordered)
        off = _NORMAL * sqrt(count) / 2
        low, high = int(count / 2 - off), int(np.ceil(count / 2 + off))
        return float(ordered[max(low, 0)]), float(ordered[min(high, count - 1)])

    @property
    def noise(self) -> float:
        """Half that interval's width, as a share of the median."""
        low, high = self.between
        return (high - low) / 2 / self.ns

    @property
    def spread(self) -> float:
        """The middle half's width, as a share of the median: how unlike samples are."""
        low, high = np.quantile(self.samples, (0.25, 0.75)).tolist()
        return float((high - low) / self.ns)


def judged(
    cell: Cell, samples: Sequence[int], interrupts: float | None, *, silent: bool
) -> Measured:
    """Return a cell with what it may be used for.

    Parameters
    ----------
    cell, samples
        What was measured.
    interrupts
        How many a sample came to the CPU that got the fewest; `None` where counters are hidden.
    silent
        Whether the machine tells other CPUs without interrupts, so that there is nothing to count.
    """
    refused = ""
    if cell.told and not silent and interrupts is None:
        refused = "interrupts cannot be counted"
    elif cell.told and not silent and interrupts is not None and interrupts < ENOUGH:
        refused = f"only {interrupts:.2f} interrupts a sample"
    elif len(samples) < FEWEST:
        refused = f"only {len(samples)} samples"
    elif float(np.median(samples)) <= 0:
        refused = "not longer than reading the clock"
    return Measured(cell, tuple(samples), interrupts, refused)
