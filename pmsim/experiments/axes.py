"""What a sweep varies: values by dotted path, as a grid or as points in a space."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Values: TypeAlias = tuple[Any, ...]
"""One value for each axis."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One variant of the scenario.

    Attributes
    ----------
    number
        Its place in the plan, from 0.
    changes
        The values that it gives to keys, by dotted path.
    """

    number: int
    changes: Mapping[str, Any]

    def __str__(self) -> str:
        said = ", ".join(f"{path}={label(value)}" for path, value in self.changes.items())
        return f"cell {self.number} ({said})" if said else f"cell {self.number}"


@dataclass(frozen=True, slots=True)
class Grid:
    """Every combination of some values, the last path varying fastest.

    Attributes
    ----------
    axes
        Values by dotted path. Without any there is one cell: the scenario as it is.
    """

    axes: Mapping[str, Values]

    def __len__(self) -> int:
        return math.prod(len(values) for values in self.axes.values())

    def __getitem__(self, number: int) -> Cell:
        changes: dict[str, Any] = {}
        left = number
        for path, values in reversed(list(self.axes.items())):
            left, place = divmod(left, len(values))
            changes[path] = values[place]
        return Cell(number, {path: changes[path] for path in self.axes})

    def __iter__(self) -> Iterator[Cell]:
        return (self[number] for number in range(len(self)))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"grid": {path: list(values) for path, values in self.axes.items()}}


@dataclass(frozen=True, slots=True)
class Points:
    """Chosen combinations of values.

    Attributes
    ----------
    paths
        The keys that vary.
    points
        For each cell one value of each.
    """

    paths: tuple[str, ...]
    points: tuple[Values, ...]

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, number: int) -> Cell:
        return Cell(number, dict(zip(self.paths, self.points[number], strict=True)))

    def __iter__(self) -> Iterator[Cell]:
        return (self[number] for number in range(len(self)))

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"points": {"paths": list(self.paths), "values": [list(p) for p in self.points]}}


Cells: TypeAlias = Grid | Points
"""All cells of a sweep, by number."""


def cells_of(data: Mapping[str, Any]) -> Cells:
    """Return what `Grid.as_dict` or `Points.as_dict` gave."""
    if "grid" in data:
        return Grid({path: tuple(values) for path, values in data["grid"].items()})
    points = data["points"]
    return Points(tuple(points["paths"]), tuple(tuple(point) for point in points["values"]))


def label(value: Any) -> Any:
    """Return what stands for a value in tables.

    A number or text as it is. A mapping goes by its ``name``, or where it names something by its
    first key by that, with what was set besides: ``linux-4.16-x86_32,pae=false``,
    ``ipi,ack=entry``; one of a single key by that and its value: ``every=500``. All else as text.
    """
    if isinstance(value, str | int | float):
        return value
    if isinstance(value, Mapping) and isinstance(value.get("name"), str):
        return value["name"]
    if isinstance(value, Mapping) and value:
        return _named(value)
    return json.dumps(value, ensure_ascii=False)


_NAMES: Final = ("profile", "platform", "kind")
"""First keys whose value is a name."""


def _named(value: Mapping[str, Any]) -> str:
    (first, under), *more = value.items()
    if first in _NAMES and isinstance(under, str):
        return ",".join([under, *_settings(more)])
    if not more and isinstance(under, Mapping):
        return ",".join([first, *_settings(under.items())])
    if not more and isinstance(under, str | int | float):
        return next(_settings([(first, under)]))
    return json.dumps(value, ensure_ascii=False)


def _settings(keys: Iterable[tuple[str, Any]]) -> Iterator[str]:
    return (
        f"{key}={under if isinstance(under, str) else json.dumps(under, ensure_ascii=False)}"
        for key, under in keys
    )


def labels(values: Sequence[Any]) -> list[Any]:
    """Return the labels of an axis: all of them text where some are."""
    found = [label(value) for value in values]
    if any(isinstance(one, str) for one in found):
        return [one if isinstance(one, str) else json.dumps(one) for one in found]
    return found
