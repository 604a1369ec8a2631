"""One picture's way from a result or a sweep to axes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes


@dataclass(frozen=True, slots=True)
class Panel:
    """How a picture is made: take the data, ask how large, draw."""

    take: Callable[[Any], Any]
    size: Callable[[Any], tuple[float, float]]
    draw: Callable[[Any, Axes], Axes]
