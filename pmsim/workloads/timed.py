"""Kinds of workload that do one thing at given or random times."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, repeat
from typing import ClassVar

from pydantic import Field, model_validator

from pmsim.workloads.arrival import Arrival
from pmsim.workloads.cpu import Cpu
from pmsim.workloads.registry import Workload


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
        return islice(instants, self.count)
