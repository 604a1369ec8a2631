"""What else the CPUs were busy with, as ``/proc/stat`` tells it: whether a machine was loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROC: Final = Path("/proc/stat")
LOADED: Final = 0.05
"""The share of the CPUs' time from which on a machine counts as loaded."""
_IDLE: Final = (3, 4)
_STEAL: Final = 7
_GUEST: Final = 8
"""Guests' time, from here on, is in user time already (proc_stat(5))."""


@dataclass(frozen=True, slots=True)
class Load:
    """Time since boot, or a stretch of it, in seconds; as a stretch, of all CPUs together.

    Attributes
    ----------
    all_s, busy_s, stolen_s, own_s
        All of it, what was not idle, what the host took, and what this process took.
    """

    all_s: float
    busy_s: float
    stolen_s: float
    own_s: float

    def since(self, before: Load) -> Load:
        """Return the stretch from then to now."""
        return Load(
            self.all_s - before.all_s,
            self.busy_s - before.busy_s,
            self.stolen_s - before.stolen_s,
            self.own_s - before.own_s,
        )

    @property
    def others(self) -> float:
        """The share of the CPUs' time that other programs took."""
        if not self.all_s:
            return 0.0
        return max(0.0, (self.busy_s - self.stolen_s - self.own_s) / self.all_s)

    @property
    def stolen(self) -> float:
        """The share of the CPUs' time that the host took."""
        return self.stolen_s / self.all_s if self.all_s else 0.0


def load_of(text: str, own_s: float, per_second: int) -> Load | None:
    """Return what a text of ``/proc/stat`` says, `None` where its first line says nothing."""
    first = text.partition("\n")[0].split()
    if first[:1] != ["cpu"] or not all(word.isdigit() for word in first[1:]):
        return None
    words = [int(word) / per_second for word in first[1:]]
    times = (words + [0.0] * (_GUEST + 1))[:_GUEST]
    busy = sum(times) - sum(times[place] for place in _IDLE)
    return Load(sum(times), busy, times[_STEAL], own_s)


def read_load(path: Path = PROC) -> Load | None:
    """Return it as it is now, `None` where it is hidden."""
    spent = os.times()
    try:
        text = path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return load_of(text, spent.user + spent.system, os.sysconf("SC_CLK_TCK"))
