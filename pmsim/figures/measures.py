"""How figures write the values of a metric: at ticks, beside points, and in sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pmsim import formatting, units
from pmsim.errors import UnitError
from pmsim.escaping import visible
from pmsim.simulation.answer.metrics import metric_of


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
        The unit of its values, as `pmsim.formatting` knows them.
    """

    column: str
    name: str
    unit: str

    @property
    def title(self) -> str:
        """Its name at the start of a sentence; a symbol, such as p99, stays as it is."""
        if self.name[1:2].isdigit():
            return self.name
        return self.name[:1].upper() + self.name[1:]

    def say(self, value: float) -> str:
        """Write a value with its unit, unless the name tells the unit."""
        return formatting.quantity(value, "1" if self._named else self.unit)

    def tick(self, value: float) -> str:
        """Write a round value, as short as it goes."""
        if self.unit == "ps":
            return formatting.tick_time(value)
        if self.unit == formatting.SHARE:
            return formatting.tick_share(value)
        return formatting.size(value) if self.unit == "B" else formatting.tick_count(value)

    def read(self, text: str) -> float:
        """Read a value that has the metric's unit, and is above zero: ``"1%"``, ``"20us"``.

        Raises
        ------
        UnitError
            If it is no number, or has another unit.
        """
        share = self.unit == formatting.SHARE
        reader, example = _READERS.get(self.unit, (float, "20"))
        try:
            value = _part_of_whole(text) if share else float(reader(text.strip()))
        except UnitError as error:
            raise UnitError(f"{error}; of {self.name} as in {example}") from None
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            example = "1% or 0.01" if share else example
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
        written = self.unit in ("ps", "B", "1", formatting.SHARE) or self._named
        return self.title if written else f"{self.title} ({self.unit})"

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
    return Measure(column, f"{metric.label}: {visible(of)}" if of else metric.label, metric.form)
