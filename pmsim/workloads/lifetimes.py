"""Things that stay for a while, each for a time of its own."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from itertools import count
from typing import Any

from pmsim.steps import Steps
from pmsim.workloads.cpu import Cpu


class Lifetimes:
    """What a task has brought, and takes away again in the order in which it is due.

    Parameters
    ----------
    cpu
        The task's.
    end
        Called with a thing: the steps that take it away.
    """

    def __init__(self, cpu: Cpu, end: Callable[[Any], Generator[Any, Any, Any]]) -> None:
        self._cpu = cpu
        self._end = end
        self._due: list[tuple[int, int, Any]] = []
        self._numbers = count()

    def begin(self, thing: Any, stay: int) -> None:
        """Let a thing stay for so many picoseconds from now on."""
        heapq.heappush(self._due, (self._cpu.now + stay, next(self._numbers), thing))

    def end_due(self, arrival: int) -> Steps:
        """Take away what is due before the next thing arrives, or by now if that one is late."""
        while self._due and self._due[0][0] <= max(arrival, self._cpu.now):
            yield from self._end_next()

    def end_all(self) -> Steps:
        """Take away everything that is left, each thing when it is due."""
        while self._due:
            yield from self._end_next()

    def _end_next(self) -> Steps:
        due, _, thing = heapq.heappop(self._due)
        yield from self._cpu.sleep_until(due)
        yield from self._end(thing)
