"""What a sweep answers, in words: what matters most, and where a metric is highest and lowest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from pmsim import formatting
from pmsim.confidence import LEAST
from pmsim.figures.effects import Effect, Effects, effects
from pmsim.figures.swept import axis_of, varied
from pmsim.report.guest_words import guest_words
from pmsim.report.page_size_words import page_size_words
from pmsim.report.pool_words import pool_words
from pmsim.report.protocol_words import protocol_words

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep

ANSWERED: Final = ("lost_share", "latency_mean_ps")
"""The metrics that are spoken of."""
WHERE_ANY: Final = ("waking_share", "awake_share")
"""Those that are spoken of where there is any of it: of CPUs that sleep."""
MOST_AXES: Final = 4
"""Axes that are spoken of, those that matter most."""


def sweep_words(sweep: Sweep) -> list[str]:
    """Return the answers that a sweep gives, a sentence each, the most important first."""
    known = [name for name in ANSWERED if name in sweep.frame and sweep.frame[name].notna().any()]
    known += [name for name in WHERE_ANY if name in sweep.frame and sweep.frame[name].max() > 0]
    said = [one for name in known if varied(sweep) for one in _metric(sweep, name)]
    said = [
        *pool_words(sweep), *page_size_words(sweep), *protocol_words(sweep),
        *guest_words(sweep), *said,
    ]  # fmt: skip
    if len(sweep.failures):
        every = int(sweep.cells["replications"].sum())
        said.append(f"{len(sweep.failures):,} of {every:,} runs failed.")
    fewest = int(sweep.cells["replications"].min()) if len(sweep.cells) else 0
    if fewest < LEAST:
        runs = "One run" if fewest == 1 else f"{fewest} runs"
        said.append(f"{runs} a cell: no intervals; --replications {LEAST} gives them.")
    return [*said, *(f"{one}." for one in sweep.imprecise())]


def _metric(sweep: Sweep, name: str) -> Iterator[str]:
    """Say what the axes do to a metric, and in which cells it is lowest and highest."""
    found = effects(sweep, name)
    told = [_effect(row, found) for row in found.rows[:MOST_AXES]]
    several = " (means over all else)" if len(found.rows) > 1 else ""
    yield f"{found.measure.title}{several}: {'; '.join(told)}."
    if len(found.rows) > 1:
        yield _extremes(sweep, name, found)


def _effect(row: Effect, found: Effects) -> str:
    """Say what one axis does, and whether that is more than chance."""
    say, low, high = found.measure.say, row.low, row.high
    if np.isnan(row.change):
        return f"{row.name} leaves it unknown"
    if not row.change:
        return f"{row.name} changes nothing"
    if say(low.mean) == say(high.mean):
        return f"{row.name} changes next to nothing"
    text = (
        f"{say(low.mean)} at {row.name} = {formatting.written(low.text)},"
        f" {say(high.mean)} at {formatting.written(high.text)}"
    )
    gap = row.gap
    by_chance = gap.low is not None and gap.high is not None and gap.low <= 0 <= gap.high
    return f"{text} (no more than chance)" if by_chance else text


def _extremes(sweep: Sweep, name: str, found: Effects) -> str:
    table = sweep.intervals(name).dropna(subset=["mean"])
    ordered = table.sort_values("mean", kind="stable")
    lowest, highest = ordered.iloc[0], ordered.iloc[-1]
    say = found.measure.say
    return (
        f"{found.measure.title} in single cells: highest, {say(highest['mean'])}, at"
        f" {_place(sweep, highest)}; lowest, {say(lowest['mean'])}, at {_place(sweep, lowest)}."
    )


def _place(sweep: Sweep, row: pd.Series[float]) -> str:
    """Say where a cell is."""
    axes = [axis_of(sweep, path) for path in sweep.axes]
    return ", ".join(axis.in_words(row[axis.path]) for axis in axes if len(axis.labels) > 1)
