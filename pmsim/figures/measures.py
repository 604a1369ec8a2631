"""How figures write the values of a metric: at ticks, beside points, and in sentences."""

from __future__ import annotations

from dataclasses import dataclass

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from pmsim.figures.words import about_count, about_share, about_time, tick_time
from pmsim.simulation.metrics import metric_of
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


def measure_of(column: str) -> Measure:
    """Return how a column's values are written; it must be that of a metric."""
    metric, of = metric_of(column)
    return Measure(
        column, f"{metric.label}: {of}" if of else metric.label, metric.unit, metric.kind == "share"
    )


def _number(value: float) -> str:
    return f"{float(f'{value:.3g}'):,g}" if abs(value) < 1e6 else about_count(value)
