"""One picture's way from a result or a sweep to axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Panel:
    """How a picture is made: take the data, ask how large, draw; and whether it is worth it.

    Attributes
    ----------
    take
        Returns the data of a result or a sweep.
    size
        Returns width and height in inches that they need.
    draw
        Draws them.
    says
        Whether a picture of them says more than a sentence would.
    name
        What tells it from its neighbours, where it has any.
    """

    take: Callable[[Any], Any]
    size: Callable[[Any], tuple[float, float]]
    draw: Callable[[Any, Axes], Axes]
    says: Callable[[Any], bool] = lambda _data: True
    name: str = ""
