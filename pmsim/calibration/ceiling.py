"""From how many pages on the kernel flushes everything, as calls of more and more pages show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

import numpy as np

from pmsim.calibration.measured import Measured

FEWEST: Final = 3
"""Cells on either side of a ceiling."""
BETTER: Final = 0.5
"""What two lines may leave at most of the error that one leaves, for a step to be believed."""
SURE: Final = 3.0
"""How many times larger than the cells' noise the step has to be."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """A step in what calls take by pages.

    Attributes
    ----------
    below, above
        The pages of the last cell before the step, and of the first one behind it.
    step_ns
        How much longer the call takes behind it than more pages alone would make it; negative
        where flushing everything is the cheaper way.
    """

    below: int
    above: int
    step_ns: float


def find_ceiling(measured: Iterable[Measured]) -> Ceiling | None:
    """Return where calls of ``mprotect`` have a step that two curves or all agree on.

    Parameters
    ----------
    measured
        Cells of any calls; those of ``mprotect`` that count are looked at.
    """
    curves = [
        one
        for one in measured
        if one.counts and one.cell.call == "mprotect" and one.cell.figure == "call"
    ]
    found = []
    for _, group in groupby(sorted(curves, key=_curve), key=_curve):
        rows = sorted(group, key=lambda one: one.cell.pages)
        if len(rows) >= 2 * FEWEST:
            found.append(_step(rows))
    steps = [one for one in found if one is not None]
    if not steps or len(steps) * 2 <= len(found):
        return None
    places = [(one.below, one.above) for one in steps]
    place = max(set(places), key=places.count)
    sizes = [one.step_ns for one in steps if (one.below, one.above) == place]
    return Ceiling(*place, float(np.mean(sizes)))


def _curve(one: Measured) -> str:
    return one.cell.curve


def _step(rows: Sequence[Measured]) -> Ceiling | None:
    """Return the step of one curve: where two lines fit best, if that is better than one line."""
    pages = np.array([one.cell.pages for one in rows], float)
    times = np.array([one.ns for one in rows])
    whole = _error(pages, times)
    errors = {
        at: _error(pages[:at], times[:at]) + _error(pages[at:], times[at:])
        for at in range(FEWEST, len(rows) - FEWEST + 1)
    }
    at = min(errors, key=lambda place: errors[place])
    if errors[at] > BETTER * whole:
        return None
    expected = np.polyval(_line(pages[:at], times[:at]), pages[at])
    step = float(times[at] - expected)
    noise = max(one.noise * one.ns for one in rows[at - 1 : at + 1])
    if abs(step) < SURE * noise:
        return None
    return Ceiling(int(pages[at - 1]), int(pages[at]), step)


def _line(pages: Any, times: Any) -> Any:
    """Return the line whose error is least as a share of the times."""
    return np.polyfit(pages, times, 1, w=1 / times)


def _error(pages: Any, times: Any) -> float:
    off = np.polyval(_line(pages, times), pages) / times - 1
    return float((off**2).sum())
