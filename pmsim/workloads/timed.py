"""Kinds of workload that do one thing at given or random times."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice, repeat
from sys import maxsize
from typing import ClassVar, Final

from pydantic import Field, model_validator

from pmsim.workloads.arrival import Arrival
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.registry import Workload

MOST_AT_ONCE: Final = 100_000
"""Things that a task may do one after the other in no time."""


class Timed(Workload):
    """Each of its tasks does one thing again and again, at the instants of an arrival process."""

    counted: ClassVar[str]
    """The key that says how often; None: without end."""

    arrival: Arrival | None = Field(
        default=None, description="When; none: each right after the one before."
    )

    @model_validator(mode="after")
    def _enough_arrivals(self) -> Timed:
        if self.arrival is not None and self.count is not None:
            self.arrival.check_count(self.count, self.counted)
        return self

    @property
    def count(self) -> int | None:
        """How often each task does it; None if there is no end to it."""
        count: int | None = getattr(self, self.counted)
        return count

    @property
    def endless(self) -> bool:
        """Whether neither a number of times nor the instant of each is given."""
        return self.count is None and (self.arrival is None or self.arrival.times is None)

    def arrivals(self, cpu: Cpu) -> Iterator[int]:
        """Return the instants, in picoseconds, at which a task is to do it; 0 is *at once*."""
        instants = repeat(0) if self.arrival is None else self.arrival.instants(cpu.rng("arrival"))
        if self.arrival is not None and self.arrival.times is not None:
            return islice(instants, self.count)
        return chain.from_iterable(self._watched(instants, cpu))

    def _watched(self, instants: Iterator[int], cpu: Cpu) -> Iterator[Iterator[int]]:
        """Yield the arrivals in pieces; raise `ProgramError` if a whole piece took no time.

        On a machine where nothing costs anything, a task would never come to the next instant.
        """
        left = maxsize if self.count is None else self.count
        while left > 0:
            began = cpu.now
            yield islice(instants, min(left, MOST_AT_ONCE))
            left -= MOST_AT_ONCE
            if left > 0 and cpu.now == began:
                raise cpu.task.error(f"has done {MOST_AT_ONCE:,} {self.counted} in no time at all")
