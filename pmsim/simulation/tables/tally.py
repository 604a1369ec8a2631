"""How often each value came: the exact distribution of many numbers in little memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_SPLIT = 20
_PATIENCE = 1 << 16


class Tally:
    """A multiset of integers, kept as distinct values and their counts.

    What a simulation repeats takes the same time again, so that ten million operations have some
    hundred distinct times; memory grows with those, not with the operations.

    Examples
    --------
    >>> import numpy as np
    >>> from pmsim.simulation.tables.tally import Tally
    >>> tally = Tally()
    >>> tally.add(np.array([5, 7, 5]))
    >>> tally.count, tally.total, tally.at(2), tally.at(3)
    (3, 17, 5, 7)
    """

    def __init__(self) -> None:
        self.count = 0
        self._values: Ints = np.empty(0, dtype=np.int64)
        self._counts: Ints = np.empty(0, dtype=np.int64)
        self._pending: list[tuple[Ints, Ints]] = []
        self._waiting = 0

    def add(self, numbers: Ints) -> None:
        """Count numbers, shape ``(n,)``."""
        values, counts = np.unique(numbers, return_counts=True)
        self.count += len(numbers)
        self._pending.append((values, counts))
        self._waiting += len(values)
        # Merging costs as much as what is there, so it waits until as much again has come.
        if self._waiting > max(_PATIENCE, len(self._values)):
            self._merge()

    @property
    def total(self) -> int:
        """The sum of all numbers, exact where 64 bits do not hold it."""
        self._merge()
        return _sum(self._values, self._counts)

    def at(self, place: int) -> int:
        """Return the number at a place in ascending order, counted from 1.

        Raises
        ------
        IndexError
            If there are not so many.
        """
        self._merge()
        if not 1 <= place <= self.count:
            raise IndexError(f"place {place} of {self.count}")
        return int(self._values[np.searchsorted(np.cumsum(self._counts), place)])

    def quantile(self, share: float) -> int | None:
        """Return the smallest number that ``share`` of all do not exceed.

        None where no number lies beyond it, so that the largest would be taken for a quantile.
        """
        if self.count * (1 - share) < 1 - 1e-9:
            return None
        return self.at(int(np.ceil(round(share * self.count, 6))))

    def above(self, bound: int) -> tuple[int, int]:
        """Return how many numbers are larger than a bound, and the sum of those."""
        self._merge()
        larger = self._values > bound
        counts = self._counts[larger]
        return int(counts.sum()), _sum(self._values[larger], counts)

    def _merge(self) -> None:
        if not self._pending:
            return
        parts = [(self._values, self._counts), *self._pending]
        self._pending, self._waiting = [], 0
        self._values, where = np.unique(
            np.concatenate([values for values, _ in parts]), return_inverse=True
        )
        merged = np.zeros(len(self._values), dtype=np.int64)
        np.add.at(merged, where, np.concatenate([counts for _, counts in parts]))
        self._counts = merged


def _sum(values: Ints, counts: Ints) -> int:
    """Return the sum of values that came so often, exact where 64 bits do not hold it."""
    high = int(((values >> _SPLIT) * counts).sum())
    low = int(((values & (1 << _SPLIT) - 1) * counts).sum())
    return (high << _SPLIT) + low


def is_dominated(count: int, total: float, longest: float) -> bool:
    """Return whether one of several times is as long as all others together.

    Their mean then tells of neither: the median and that one do.
    """
    return count > 2 and 2 * longest >= total
