"""Distributions for costs: how late interrupts are, what entering one takes, windows without them.

What a trace tells is measured with the tracing on: an event itself takes part of a microsecond.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pmsim import formatting
from pmsim.imports.spread import Spread
from pmsim.imports.trace.seen import SeenTrace
from pmsim.report.table import Table, count, time, word
from pmsim.units import NS, S, format_time

COSTS: Final = "costs.yaml"
ENOUGH: Final = 100
"""Measurements from which on a distribution is fitted: its 99 % is one of them."""
LOW: Final = 0.01
"""The part of all interrupts that is taken to be as early as can be; the rest is late by jitter."""
_AT: Final = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Fitted:
    """A distribution of one parameter.

    Attributes
    ----------
    dist, scale_ps
        As in the key ``costs.ipi.jitter``.
    quantiles
        What it has at 50, 90 and 99 % (ps).
    """

    dist: str
    scale_ps: int
    quantiles: tuple[float, ...]


def fit(spread: Spread) -> Fitted:
    """Return the exponential or half-normal distribution of the same mean that is nearer.

    Nearer is what is off by less at 50, 90 and 99 %, in proportion.
    """
    mean = spread.total / spread.n
    deviation = mean * math.sqrt(math.pi / 2)
    normal = tuple(deviation * z for z in _HALF_NORMAL)
    exponential = tuple(-mean * math.log(1 - at) for at in _AT)
    candidates = (
        Fitted("half-normal", round(deviation), normal),
        Fitted("exponential", round(mean), exponential),
    )
    measured = [max(spread.quantile(at), 1) for at in _AT]

    def off(one: Fitted) -> float:
        pairs = zip(one.quantiles, measured, strict=True)
        return max(abs(math.log(max(fitted, 1) / told)) for fitted, told in pairs)

    return min(candidates, key=off)


_HALF_NORMAL: Final = (0.67449, 1.64485, 2.57583)
"""Quantiles of |Z| at 50, 90 and 99 %: those of Z at 75, 95 and 99.5 %."""


def above_earliest(spread: Spread) -> Spread:
    """Return by how much each is later than the earliest hundredth."""
    earliest = spread.quantile(LOW)
    late = Spread()
    late.counts = {}
    for value, number in spread.counts.items():
        over = max(value - earliest, 0)
        late.counts[over] = late.counts.get(over, 0) + number
    return late


def costs_piece(seen: SeenTrace, name: str) -> str | None:
    """Return a piece of a scenario with what was measured; None where that is nothing."""
    parts = [*_jitter(seen, name), *_entry(seen, name)]
    noise = _windows(seen)
    if not parts and not noise:
        return None
    head = [
        f"# Measured by pmsim import in {name}: keys for a scenario, with what they rest on.",
        "# Tracing was on: an event itself takes part of a microsecond.",
    ]
    costs = ["machine:", "  costs:", "    ipi:", *parts] if parts else []
    return "\n".join([*head, *costs, *noise]) + "\n"


def distributions(seen: SeenTrace) -> Table:
    """Return what was fitted beside what was measured."""
    rows = []
    busy = seen.calls.busy
    if not seen.reading.counts and busy.n >= ENOUGH:
        late = above_earliest(busy)
        if late.total:
            fitted = fit(late)
            for at, told in zip(_AT, fitted.quantiles, strict=True):
                rows.append(
                    (
                        word(f"jitter, {fitted.dist}, at {formatting.share(at)}"),
                        count(late.n),
                        time(late.quantile(at)),
                        time(told),
                    )
                )
    columns = ("distribution", "interrupts", "measured", "fitted")
    note = (
        "How much later busy CPUs begin a function than the earliest hundredth of them; those that"
        " were idle, or got no interrupt of their own, are left out."
    )
    return Table("how late interrupts are", columns, tuple(rows), note)


def _jitter(seen: SeenTrace, name: str) -> Sequence[str]:
    busy = seen.calls.busy
    if seen.reading.counts or busy.n < ENOUGH:
        return ()
    late = above_earliest(busy)
    if not late.total:
        return ()
    fitted = fit(late)
    source = (
        f"{name}: {busy.n:,} interrupts of busy CPUs, later than the earliest hundredth"
        f" ({formatting.time(busy.quantile(LOW))}) by {formatting.time(late.quantile(0.5))}"
        f" (median) and {formatting.time(late.quantile(0.99))} (99 %)"
    )
    return (
        "      jitter:",
        f"        value: {{dist: {fitted.dist}, scale: {format_time(fitted.scale_ps)}}}",
        "        basis: measured",
        f"        source: '{_quoted(source)}'",
    )


def _entry(seen: SeenTrace, name: str) -> Sequence[str]:
    entry = seen.calls.entry
    median = entry.quantile(0.5)
    if seen.reading.counts or entry.n < ENOUGH or not median:
        return ()
    source = (
        f"{name}: from call_function_entry to csd_function_entry, median of {entry.n:,}"
        f" ({formatting.time(entry.quantile(0.99))} at 99 %)"
    )
    return (
        "      entry:",
        f"        value: {format_time(median)}",
        "        basis: measured",
        f"        source: '{_quoted(source)}'",
    )


def _windows(seen: SeenTrace) -> Sequence[str]:
    """Return windows with interrupts off as a workload: a lognormal of their median and 84 %."""
    windows, span = seen.happenings.windows, seen.reading.span_ps
    every = Spread()
    for one in windows.values():
        for value, number in one.counts.items():
            every.counts[value] = every.counts.get(value, 0) + number
    median = every.quantile(0.5)
    if seen.reading.counts or every.n < ENOUGH or not median or not span:
        return ()
    sigma = min(max(math.log(max(every.quantile(0.8413), median) / median), 0.01), 5.0)
    rate = max(round(every.n * S / span / len(windows)), 1)
    return (
        "workloads:",
        f"  # {every.n:,} windows on {len(windows)} CPUs, from irq_disable to irq_enable.",
        "  - kind: irq_off_noise",
        "    cpus: all",
        f"    rate: {rate}/s",
        f"    length: {{dist: lognormal, scale: {format_time(max(median, NS))}, sigma: {sigma:.3f},"
        f" at_most: {format_time(every.largest)}}}",
    )


def _quoted(text: str) -> str:
    return text.replace("'", "''")
