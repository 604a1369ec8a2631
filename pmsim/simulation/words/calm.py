"""When shootdowns calm down, in words."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import Final

from pmsim.formatting import number, share, time
from pmsim.simulation.answer.calm import Calm
from pmsim.simulation.answer.summary import Summary
from pmsim.units import S

_BURST: Final = 1.5
"""Shootdowns in a period from which on it is one of bursts."""


def calm_words(summary: Summary) -> str:
    """Say when the shootdowns calm down, on most runs, and what they cost before and after."""
    runs, told = summary.transients, summary.calm
    if runs and runs[0].verdict == "given":
        alike, text = list(runs), ""
    else:
        alike = [one for one in runs if one.verdict == told.verdict]
        text = f"In {len(alike):,} of {len(runs):,} runs: " if len(alike) < len(runs) else ""
    ends = [one.end_ps for one in alike if one.end_ps is not None]
    if not ends:
        return text + _untold(told, summary)
    end, run = fmean(ends), summary.duration_ps / summary.replications
    mean = "" if len(alike) == 1 else f" (means of {len(alike):,} runs)"
    before = _part([(one.per_s_before, one.lost_share_before) for one in alike])
    after = _part([(one.per_s_after, one.lost_share_after) for one in alike])
    if alike[0].verdict == "given":
        given = f"In the warm-up of {time(end)} that the scenario gives"
        return f"{given}: {before}; after it: {after}."
    if told.period_ps is not None and alike[0].verdict == "periodic":
        since = f" from {time(end)} on" if end else ""
        per_s = fmean(one.per_s_after or 0.0 for one in alike)
        come = come_every(told.period_ps, per_s)
        return f"{text}{come}{since}{mean}: {after}."
    if not end:
        return f"{text}There is no transient: {after}, from the start{mean}."
    left = f" (the last {share(max(0.0, 1 - end / run))} of the run)" if run / 2 < end < run else ""
    if not any(one.broadcasts_after for one in alike):
        return f"{text}The transient ends at {time(end)}{mean}: no shootdown comes after it{left}."
    return f"{text}The transient ends at {time(end)}{mean}: {before}; after it{left}: {after}."


def come_every(period_ps: int, per_s: float) -> str:
    """Say in which rhythm shootdowns come: one in each period, or a burst."""
    bursts = " in bursts" if per_s * period_ps / S > _BURST else ""
    return f"Shootdowns come{bursts} every {time(period_ps)}"


def _untold(told: Calm, summary: Summary) -> str:
    if told.verdict == "still_changing":
        return "Shootdowns still become more or fewer when the run ends: no part of it is steady."
    count = summary.broadcasts.total / summary.replications
    return f"Too few shootdowns ({number(count)} in a run) to tell whether they calm down."


def _part(runs: Sequence[tuple[float | None, float | None]]) -> str:
    """Say how often shootdowns came in a part of some runs, and what they cost, on average."""
    per_s, lost = (fmean(value or 0 for value in values) for values in zip(*runs, strict=True))
    return f"{number(per_s)} shootdowns/s, {share(lost)} of all CPU time lost"
