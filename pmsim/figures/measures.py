"""How figures write the values of a metric: at ticks, beside points, and in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pmsim import units
from pmsim.errors import UnitError
from pmsim.figures.words import about_count, about_share, about_time, tick_time
from pmsim.simulation.answer.metrics import metric_of
from pmsim.units import format_size


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric's column as people read it.

    Attributes
    ----------
    column
        The column.
    name
        What it is: the metric's label, and which operation or workload it is of.
    unit
        The metric's unit.
    share
        Whether it is a part of a whole, written in per cent.
    """

    column: str
    name: str
    unit: str
    share: bool

    @property
    def title(self) -> str:
        """Its name at the start of a sentence."""
        return self.name[:1].upper() + self.name[1:]

    def say(self, value: float) -> str:
        """Write a value to about three digits, with its unit."""
        if value != value:
            return "unknown"
        if self.unit == "ps":
            return about_time(value)
        if self.share:
            return f"-{about_share(-value)}" if value < 0 else about_share(value)
        if self.unit == "B":
            return format_size(round(value), 3)
        return f"{_number(value)}{self._suffix}"

    def tick(self, value: float) -> str:
        """Write a round value, as short as it goes."""
        if self.unit == "ps":
            return "0" if value == 0 else tick_time(value)
        if self.share:
            return f"{100 * value:g} %"
        if self.unit == "B":
            return format_size(round(value), 3)
        return f"{value:,g}" if abs(value) < 1e6 else about_count(value)

    def read(self, text: str) -> float:
        """Read a value that has the metric's unit, and is above zero: ``"1%"``, ``"20us"``.

        Raises
        ------
        UnitError
            If it is no number, or has another unit.
        """
        reader, example = _READERS.get(self.unit, (float, "20"))
        try:
            value = _part_of_whole(text) if self.share else float(reader(text.strip()))
        except UnitError as error:
            raise UnitError(f"{error}; of {self.name} as in {example}") from None
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            example = "1% or 0.01" if self.share else example
            raise UnitError(f"'{text}' is no value of {self.name}: one above zero, as in {example}")
        return value

    def on(self, axis: Axis) -> None:
        """Let an axis speak of the metric: its label with the unit, and its ticks."""
        if axis.get_scale() == "log":
            low, high = axis.get_view_interval()
            subs = (1.0, 2.0, 5.0) if high <= 1000 * low else (1.0,)
            axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=16))
            axis.set_minor_formatter(NullFormatter())
        axis.set_major_formatter(FuncFormatter(lambda value, _position: self.tick(value)))
        axis.set_label_text(self.label)

    @property
    def label(self) -> str:
        """What an axis of it says; times, shares and sizes have their units at each tick."""
        written = self.share or self.unit in ("ps", "B", "1") or self._named
        return self.title if written else f"{self.title} ({self.unit})"

    @property
    def _suffix(self) -> str:
        return "" if self.unit == "1" or self._named else f" {self.unit}"

    @property
    def _named(self) -> bool:
        """Whether the name tells the unit."""
        return self.unit in self.name.split() or (self.unit == "1/s" and "per second" in self.name)


_READERS: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "ps": (units.parse_time, "20us"),
    "B": (units.parse_size, "64KiB"),
    "pages": (units.parse_pages, "16 pages"),
    "1/s": (units.parse_rate, "100/s"),
}


def _part_of_whole(text: str) -> float:
    number = text.strip().removesuffix("%")
    return float(number) / (1 if number == text.strip() else 100)


def measure_of(column: str) -> Measure:
    """Return how a column's values are written; it must be that of a metric."""
    metric, of = metric_of(column)
    return Measure(
        column, f"{metric.label}: {of}" if of else metric.label, metric.unit, metric.kind == "share"
    )


def _number(value: float) -> str:
    return f"{float(f'{value:.3g}'):,g}" if abs(value) < 1e6 else about_count(value)
