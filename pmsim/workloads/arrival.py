"""When things come: the arrival processes of workloads."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, model_validator

from pmsim import units
from pmsim.quantities import Keys, Time, refused
from pmsim.workloads.keys import Apart, EventRate, NotEmpty, PositiveCount

if TYPE_CHECKING:
    import numpy as np


class Burst(Keys):
    """Several at once, again and again."""

    size: PositiveCount = Field(description="Arrivals of one burst, all at the same instant.")
    every: Apart = Field(description="Time from one burst to the next.")


class Arrival(Keys):
    """An arrival process: exactly one of its keys is given.

    The first arrival of ``every`` and ``burst`` is at time 0, that of ``poisson`` after its first
    random gap. An arrival that finds the one before still at work is served right after it.
    """

    poisson: EventRate | None = Field(
        default=None, description="A Poisson process: exponential gaps at this mean rate."
    )
    every: Apart | None = Field(default=None, description="One after each such time.")
    burst: Burst | None = Field(default=None, description="Bursts of `size`, one `every` time.")
    times: Annotated[tuple[Time, ...], NotEmpty] | None = Field(
        default=None, description="The instants themselves, ascending."
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Arrival:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            message = f"an arrival has exactly one of its keys, not {len(given)}"
            hint = "poisson: 2/s, or every: 500ms, or burst: {size: 20, every: 10s}, or times: [..]"
            raise refused("bad-arrival", message, hint)
        times = self.times or ()
        late = next((i for i in range(1, len(times)) if times[i] < times[i - 1]), None)
        if late is not None:
            message = f"entry {late + 1} of times is before the one above it"
            raise refused("times-not-ascending", message, "write the instants in ascending order")
        return self

    def check_count(self, wanted: int, what: str) -> None:
        """Raise a validation error if ``times`` has fewer instants than are wanted."""
        if self.times is not None and len(self.times) < wanted:
            message = f"{wanted:,} {what} cannot arrive at {len(self.times):,} times"
            raise refused("too-few-times", message, f"give a time for each of the {what}")

    def instants(self, rng: np.random.Generator) -> Iterator[int]:
        """Return the arrivals in picoseconds, ascending; without end except for ``times``.

        Parameters
        ----------
        rng
            The stream that a Poisson process draws its gaps from; the others draw nothing.
        """
        if self.times is not None:
            return iter(self.times)
        if self.poisson is not None:
            return _poisson(self.poisson, rng)
        if self.burst is not None:
            starts = itertools.count(0, self.burst.every)
            return (start for start in starts for _ in range(self.burst.size))
        assert self.every is not None
        return itertools.count(0, self.every)


def _poisson(rate: Fraction, rng: np.random.Generator) -> Iterator[int]:
    """Add up exponential gaps, each rounded to a picosecond once, as it is drawn."""
    mean = float(units.S / rate)
    now = 0
    while True:
        now += round(rng.exponential(mean))
        yield now
