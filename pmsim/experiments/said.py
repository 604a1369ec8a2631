"""Metrics as people say them: numbers with units, means with their intervals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.confidence import Estimate
from pmsim.simulation.answer.metrics import HEADLINES, Metric, metric_of
from pmsim.simulation.answer.sentences import about, share
from pmsim.units import format_size

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep


def quantity(metric: Metric, value: float | None) -> str:
    """Write a value of a metric to three digits, with its unit."""
    if value is None or value != value:
        return "unknown"
    if value < 0:
        return f"-{quantity(metric, -value)}"
    if metric.unit == "ps":
        return about(value)
    if metric.kind == "share":
        return share(value)
    if metric.unit == "B":
        return format_size(round(value), 3)
    unit = "" if metric.unit == "1" else metric.unit if metric.unit == "1/s" else f" {metric.unit}"
    return f"{_number(value)}{unit.replace('1/s', '/s')}"


def signed(metric: Metric, value: float | None) -> str:
    """Write a difference with its sign; one of shares in percentage points."""
    if metric.kind == "share" and value is not None:
        return f"{100 * value:+.3g} points"
    plus = "+" if value is not None and value > 0 else ""
    return f"{plus}{quantity(metric, value)}"


def signed_interval(metric: Metric, difference: Estimate) -> str:
    """Write the interval of a difference by its ends, or that there is not enough data for one."""
    if difference.low is None or difference.high is None:
        return "not enough data"
    low, high = signed(metric, difference.low), signed(metric, difference.high)
    unit = high.partition(" ")[2]
    return f"{low.removesuffix(f' {unit}')} to {high}"


def with_interval(metric: Metric, estimate: Estimate) -> str:
    """Write a mean with what it may be off by: ``3.14 us ± 2 %``."""
    text = quantity(metric, estimate.mean)
    if estimate.mean is None or estimate.method == "constant":
        return text
    if estimate.relative is not None:
        return f"{text} ± {_percent(estimate.relative)}"
    if estimate.half_width is not None:
        return f"{text} ± {quantity(metric, estimate.half_width)}"
    return f"{text} (n={estimate.n})"


def interval(metric: Metric, estimate: Estimate) -> str:
    """Write an interval by its ends, or that there is not enough data for one."""
    if estimate.low is None or estimate.high is None:
        return "not enough data"
    return f"{quantity(metric, estimate.low)} to {quantity(metric, estimate.high)}"


def cell_table(sweep: Sweep, most: int) -> tuple[list[str], list[list[str]]]:
    """Return the headline metrics of the first cells as a table of text: its head, its rows."""
    axes = list(sweep.axes)
    found = sweep.estimates()
    known = [name for name in HEADLINES if any(column == name for _, column in found)]
    head = [*(axes or ["cell"]), "n", *(metric_of(name)[0].label for name in known)]
    rows = []
    for cell, row in list(sweep.cells.iterrows())[:most]:
        number = int(str(cell))
        figures = [
            with_interval(metric_of(name)[0], found[number, name]) if (number, name) in found
            else "" for name in known
        ]  # fmt: skip
        place = [str(row[path]) for path in axes] or [str(number)]
        rows.append([*place, str(row["replications"]), *figures])
    return head, rows


def _number(value: float) -> str:
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 or rounded == int(rounded) else f"{rounded:g}"


def _percent(part: float) -> str:
    return f"{100 * part:.2g} %"
