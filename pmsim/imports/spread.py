"""How often each value occurred, in bounded memory."""

from __future__ import annotations

from typing import Final

MOST_VALUES: Final = 1 << 14
"""Different values that are kept; beyond, three significant digits of each."""


class Spread:
    """Whole numbers, each with how often it occurred."""

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}

    def add(self, value: int) -> None:
        """Count a value."""
        counts = self.counts
        counts[value] = counts.get(value, 0) + 1
        if len(counts) > MOST_VALUES:
            self._round()

    def _round(self) -> None:
        rounded: dict[int, int] = {}
        for value, count in self.counts.items():
            near = int(float(f"{value:.2e}"))
            rounded[near] = rounded.get(near, 0) + count
        self.counts = rounded

    @property
    def n(self) -> int:
        """How many values there were."""
        return sum(self.counts.values())

    @property
    def total(self) -> int:
        """Their sum."""
        return sum(value * count for value, count in self.counts.items())

    @property
    def largest(self) -> int:
        """The largest; 0 where there is none."""
        return max(self.counts, default=0)

    def quantile(self, part: float) -> int:
        """Return the smallest value that so large a part of all does not exceed; 0 of none."""
        wanted, so_far = part * self.n, 0
        for value in sorted(self.counts):
            so_far += self.counts[value]
            if so_far >= wanted:
                return value
        return 0
