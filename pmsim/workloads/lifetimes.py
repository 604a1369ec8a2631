"""Objects with lifetimes: a task creates them, and frees each when its time is over."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from itertools import count
from typing import Any

from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu


class Lifetimes:
    """The objects of a task that are alive, freed in the order in which their lifetimes end.

    Parameters
    ----------
    cpu
        The task's.
    end
        Called with an object: the steps that free it.
    """

    def __init__(self, cpu: Cpu, end: Callable[[Any], Generator[Any, Any, Any]]) -> None:
        self._cpu = cpu
        self._end = end
        self._due: list[tuple[int, int, Any]] = []
        self._numbers = count()

    def begin(self, thing: Any, stay: int) -> None:
        """Begin the lifetime of an object, in picoseconds from now on."""
        heapq.heappush(self._due, (self._cpu.now + stay, next(self._numbers), thing))

    def end_due(self, arrival: int) -> Steps:
        """Free what is due before the next arrival, or by now if that one is late."""
        while self._due and self._due[0][0] <= max(arrival, self._cpu.now):
            yield from self._end_next()

    def end_all(self) -> Steps:
        """Free all that are left, each at the end of its lifetime."""
        while self._due:
            yield from self._end_next()

    def _end_next(self) -> Steps:
        due, _, thing = heapq.heappop(self._due)
        yield from self._cpu.sleep_until(due)
        yield from self._end(thing)
