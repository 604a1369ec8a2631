"""Random lengths of time."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, Tag

from pmsim.quantities import MAPPING_OR_OTHER, Keys, PositiveTime, Time

if TYPE_CHECKING:
    import numpy as np


class Spread(Keys):
    """A distribution of lengths, each draw rounded to a picosecond once."""

    dist: Literal["exponential", "half-normal", "uniform", "lognormal"] = Field(
        description="Its family."
    )
    scale: PositiveTime = Field(
        description="exponential: the mean; half-normal: the deviation of the whole normal;"
        " uniform: the upper end; lognormal: the median."
    )
    sigma: Annotated[float, Field(gt=0, le=5, allow_inf_nan=False)] = Field(
        default=1.0, description="lognormal only: the deviation of the logarithm."
    )
    at_most: PositiveTime | None = Field(
        default=None, description="Longer draws are cut to this length."
    )

    def draw(self, rng: np.random.Generator) -> int:
        """Return one length in picoseconds."""
        if self.dist == "exponential":
            value = rng.exponential(self.scale)
        elif self.dist == "half-normal":
            value = abs(rng.normal(0.0, self.scale))
        elif self.dist == "uniform":
            value = rng.uniform(0.0, self.scale)
        else:
            value = rng.lognormal(math.log(self.scale), self.sigma)
        length = round(value)
        return length if self.at_most is None else min(length, self.at_most)


Length = Annotated[
    Annotated[Time, Tag("other")] | Annotated[Spread, Tag("mapping")],
    MAPPING_OR_OTHER,
]
"""A time, always the same, or ``{dist: exponential, scale: 20us}``."""


def draw_length(length: Length, rng: np.random.Generator) -> int:
    """Return one length in picoseconds; a fixed one draws nothing."""
    return length.draw(rng) if isinstance(length, Spread) else length
