"""What a figure is drawn from: refused with words where it is something else."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeVar

Source = Literal["a result", "a sweep", "a sensitivity", "points of a reproduction"]
"""What figures are drawn from."""

_HAS: Final[dict[Source, tuple[str, ...]]] = {
    "a result": ("operations", "crosscalls", "cpus", "timeline", "cpu_timeline", "anatomy"),
    "a sweep": ("frame", "intervals"),
    "a sensitivity": ("found",),
    "points of a reproduction": ("columns",),
}
"""What they are told by: any of these attributes."""
_FROM: Final[dict[Source, str]] = {
    "a result": "pmsim.run or pmsim.open gives one",
    "a sweep": "pmsim.sweep or pmsim.open gives one",
    "a sensitivity": "pmsim.sensitivity or pmsim.open gives one",
    "points of a reproduction": "pmsim.reproduce(...).points",
}

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


def drawn_from(
    *sources: Source,
) -> Callable[[Callable[Concatenate[T, P], R]], Callable[Concatenate[T, P], R]]:
    """Let a figure refuse, with a `TypeError` that says what it takes, what it cannot draw."""

    def decorate(figure: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
        @wraps(figure)
        def checked(given: T, /, *args: P.args, **kwargs: P.kwargs) -> R:
            if not any(hasattr(given, name) for source in sources for name in _HAS[source]):
                raise TypeError(_refusal(figure.__name__, given, sources))
            return figure(given, *args, **kwargs)

        return checked

    return decorate


def _refusal(name: str, given: Any, sources: tuple[Source, ...]) -> str:
    wanted = " or ".join(f"{source} ({_FROM[source]})" for source in sources)
    return f"{name} draws {wanted}, not {type(given).__name__}"
