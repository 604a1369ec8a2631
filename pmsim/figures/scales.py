"""What stands at the ticks of an axis: times with their units, and round values."""

from __future__ import annotations

from typing import Final

from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from pmsim import formatting
from pmsim.figures.form import current


def time_axis(axis: Axis, largest: float, label: str) -> None:
    """Let an axis whose data are picoseconds speak the unit that fits its largest value."""
    unit, factor = formatting.time_unit(largest)
    axis.set_major_formatter(FuncFormatter(lambda value, _position: f"{value / factor:,g}"))
    axis.set_label_text(f"{label} ({unit})")


_DECADES_WITH_STEPS: Final = 10**4
_STEPS_NARROW: Final = 30
"""Up to this ratio of its ends a logarithmic axis has room for labels between its decades."""


def log_time_axis(axis: Axis, label: str) -> None:
    """Let a logarithmic axis whose data are picoseconds write a time with its unit at each tick."""
    low, high = axis.get_view_interval()
    few = high <= (_STEPS_NARROW if current().narrow else _DECADES_WITH_STEPS) * low
    subs: tuple[float, ...] = (1.0, 2.0, 5.0) if few else (1.0,)
    if high <= 5 * low:
        subs = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=16))
    axis.set_major_formatter(FuncFormatter(lambda value, _position: formatting.tick_time(value)))
    axis.set_minor_formatter(NullFormatter())
    axis.set_label_text(label)


def round_ticks(axis: Axis, most: int, largest: float | None = None) -> None:
    """Put ticks at round values, none beyond the largest value of the data where that is given."""
    locator = MaxNLocator(most, steps=[1, 2, 5, 10])
    axis.set_major_locator(locator)
    if largest is not None:
        axis.set_ticks([tick for tick in locator.tick_values(0, largest) if 0 <= tick <= largest])
