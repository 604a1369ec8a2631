"""What a figure asks of a sweep: its axes as they are drawn, and a metric cell by cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from pmsim import formatting, units
from pmsim.errors import ResultError, UnitError
from pmsim.scenario.faults import did_you_mean
from pmsim.simulation.answer.metrics import is_metric

Floats = npt.NDArray[np.float64]


@runtime_checkable
class Swept(Protocol):
    """The part of a `pmsim.Sweep` that figures read."""

    @property
    def axes(self) -> Mapping[str, tuple[Any, ...]]: ...  # noqa: D102
    @property
    def cells(self) -> pd.DataFrame: ...  # noqa: D102
    @property
    def frame(self) -> pd.DataFrame: ...  # noqa: D102
    def intervals(self, *columns: str, level: float = ...) -> pd.DataFrame: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a sweep.

    Attributes
    ----------
    path
        Its dotted path.
    labels
        Its values as the sweep's tables bear them, in the order of drawing.
    numbers
        The same in their base unit; empty where they are no numbers.
    """

    path: str
    labels: tuple[Any, ...]
    numbers: tuple[float, ...]

    @property
    def name(self) -> str:
        """What the figure calls it."""
        return in_words(self.path)

    @property
    def texts(self) -> list[str]:
        """Its values as they are written at ticks."""
        return [text_of(one) for one in self.labels]

    @property
    def positions(self) -> Floats:
        """Where its values are drawn: by their numbers, or one beside the other without any."""
        return np.array(self.numbers or range(len(self.labels)), dtype=float)

    @property
    def logarithmic(self) -> bool:
        """Whether its values are spaced more evenly by ratio than by difference."""
        if len(self.numbers) < 2 or self.numbers[0] <= 0:
            return False
        if len(self.numbers) == 2:
            return self.numbers[1] > _WIDE * self.numbers[0]
        return _unevenness(np.log(self.numbers)) < _unevenness(np.array(self.numbers))

    def in_words(self, value: Any) -> str:
        """Write one of its values as part of a sentence: ``56 CPUs``, ``20/s``, ``order = 3``."""
        text = self.texts[self.labels.index(value)]
        if self.path in _NAMES and _is_number(value):
            return f"{text} {_NAMES[self.path]}"
        tells = not (_is_number(value) or isinstance(value, bool | np.bool))
        return text if tells else f"{self.path.split('.')[-1].replace('_', ' ')} = {text}"


_NAMES: Final = {
    "machine.cpus": "CPUs",
    "machine.platform": "machine",
    "kernel.profile": "kernel",
    "together": "variant",
}
"""Names of axes that everybody knows without their path."""
_WIDE: Final = 20
"""The ratio of two values from which on they are drawn by their logarithms."""
_READERS: Final[tuple[Callable[[str], Any], ...]] = (
    float,
    units.parse_time,
    units.parse_size,
    units.parse_pages,
    units.parse_rate,
)


def text_of(value: Any) -> str:
    """Write a value of an axis as it stands at ticks: yes and no as in a file."""
    if isinstance(value, bool | np.bool):
        return str(value).lower()
    return formatting.tick_count(value) if _is_number(value) else formatting.written(str(value))


def in_words(path: str) -> str:
    """Write a dotted path as words: ``workloads.first.pool.refill`` as ``pool refill (first)``."""
    if path in _NAMES:
        return _NAMES[path]
    room, *keys = path.split(".")
    of = f" ({keys.pop(0)})" if room == "workloads" and len(keys) > 1 else ""
    said = " ".join(key for key in keys if key != "costs") or path
    return said.replace("_", " ") + of


def axis_of(sweep: Swept, path: str) -> Axis:
    """Return an axis, its values in ascending order where they are numbers.

    Raises
    ------
    ResultError
        If the sweep has no axis of that path; the nearest is named.
    """
    if path not in sweep.axes:
        known = did_you_mean(path, sweep.axes) or "it varies nothing"
        raise ResultError(f"the sweep does not vary '{path}' ({known})")
    labels = tuple(dict.fromkeys(sweep.axes[path]))
    numbers = _numbers(labels)
    if numbers is None:
        return Axis(path, labels, ())
    order = sorted(range(len(labels)), key=numbers.__getitem__)
    return Axis(path, tuple(labels[i] for i in order), tuple(numbers[i] for i in order))


def check_metric(sweep: Swept, metric: str) -> None:
    """Raise `ResultError`, with the nearest name, if no replication knows a metric's column."""
    known = metrics_of(sweep)
    if metric not in known:
        raise ResultError(f"the sweep has no metric '{metric}' ({did_you_mean(metric, known)})")


def metrics_of(sweep: Swept) -> list[str]:
    """Return the columns of metrics, in the order of the sweep's tables."""
    return [str(name) for name in sweep.frame.columns if is_metric(str(name))]


def varied(sweep: Swept) -> list[str]:
    """Return the paths of the axes that have more than one value."""
    return [path for path, values in sweep.axes.items() if len(set(values)) > 1]


def is_grid(sweep: Swept) -> bool:
    """Return whether the cells are every combination of the values of the axes."""
    return len(sweep.cells) == math.prod(len(values) for values in sweep.axes.values())


def choose(
    sweep: Swept, wanted: Sequence[str | None], where: Mapping[str, Any] | None = None
) -> list[Axis]:
    """Return an axis for each path; one that is not given is the longest that is left.

    Axes of numbers come first: what is drawn from left to right should have an order.

    Raises
    ------
    ResultError
        If there is none left.
    """
    taken = {*filter(None, wanted), *(where or {})}
    left = [axis_of(sweep, path) for path in sweep.axes if path not in taken]
    left.sort(key=lambda axis: (not axis.numbers, -len(axis.labels)))
    chosen = []
    for path in wanted:
        if path is None and not left:
            raise ResultError(f"the sweep varies too little: this figure needs {len(wanted)} axes")
        chosen.append(left.pop(0) if path is None else axis_of(sweep, path))
    return chosen


def cells(
    sweep: Swept, metric: str, axes: Sequence[Axis], where: Mapping[str, Any] | None = None
) -> pd.DataFrame:
    """Return the mean of a metric with its interval, one row per combination of some axes.

    Parameters
    ----------
    sweep
        The sweep.
    metric
        Its column.
    axes
        The axes of the figure.
    where
        The values of the other axes, by dotted path.

    Returns
    -------
    DataFrame
        Indexed by the labels of the axes: ``mean``, ``low``, ``high`` (NaN where unknown), ``n``.

    Raises
    ------
    ResultError
        If the sweep has no such metric or value, or if an axis is left whose values differ.
    """
    check_metric(sweep, metric)
    table = sweep.intervals(metric)
    for path, value in (where or {}).items():
        known = axis_of(sweep, path)
        if value not in known.labels:
            hint = did_you_mean(str(value), map(str, known.labels))
            raise ResultError(f"the sweep has no {path} = {value} ({hint})")
        table = table[table[path] == value]
    paths = [axis.path for axis in axes]
    rest = [path for path in sweep.axes if path not in paths and table[path].nunique() > 1]
    if rest:
        example = f"where={{'{rest[0]}': {sweep.axes[rest[0]][0]!r}}}"
        raise ResultError(f"the sweep varies {' and '.join(rest)} too: choose, as in {example}")
    return table.set_index(paths)[["mean", "low", "high", "n"]]


def grid(table: pd.DataFrame, column: str, x: Axis, y: Axis) -> Floats:
    """Return a column of `cells` as a row of numbers for each value of y; NaN where no cell is."""
    spread = table[column].unstack(x.path).reindex(index=list(y.labels), columns=list(x.labels))
    return spread.to_numpy(dtype=float)


def fixed(where: Mapping[str, Any] | None) -> str:
    """Say the values of the axes that are not drawn, as the start of a line of detail."""
    return "".join(f"{in_words(path)} = {value}. " for path, value in (where or {}).items())


def _numbers(labels: Sequence[Any]) -> list[float] | None:
    """Return the values of labels in their base unit, `None` where they are no numbers."""
    if all(map(_is_number, labels)):
        return [float(one) for one in labels]
    for read in _READERS:
        try:
            return [float(read(str(one))) for one in labels]
        except (UnitError, ValueError):
            continue
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _unevenness(values: Floats) -> float:
    steps = np.diff(values)
    return float(steps.std() / steps.mean())
