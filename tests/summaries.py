"""Summaries that no run made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pmsim.simulation.answer.calm import Calm, foremost
from pmsim.simulation.answer.summary import (
    Cost,
    Latency,
    Paid,
    Parts,
    ShootdownCounts,
    Summary,
)

EMPTY = Summary(
    duration_ps=1_000,
    replications=1,
    cpus=2,
    broadcasts=ShootdownCounts(0, 0.0, {}, {}, {}, 0, None),
    latency_ps=Latency(None, None, None, None, None),
    cost=Cost(0, 0, 0, 0, 0, 0, 0, 0, 0, 0.0),
    paid=Paid((), ()),
    slowest=None,
    transient_end_ps=None,
    calm=Calm("too_few"),
    transients=(Parts(None, "too_few"),),
    user_work=(),
    calls=(),
    operations=(),
    locks=(),
    failures=(),
    detail=(),
)
"""A summary of a run in which nothing happened."""


def transient(end_ps: int | None, **known: Any) -> Parts:
    """Return the parts of a run whose transient ends somewhere, or does not."""
    if end_ps is None:
        return Parts(None, "still_changing")
    if not end_ps:
        return Parts(0, "steady_from_start", **known)
    silent = known.get("broadcasts_after") == 0
    return Parts(end_ps, "silent_from" if silent else "steady_from", **known)


def with_transients(*found: Parts) -> Summary:
    """Return a summary of some runs that tells where their transients end."""
    return told_of(EMPTY, *found)


def told_of(summary: Summary, *found: Parts) -> Summary:
    """Return a summary with other parts, and the verdict that follows from them."""
    calms = [Calm(one.verdict, one.end_ps) for one in found if one.verdict != "given"]
    end = found[0].end_ps
    return replace(summary, transient_end_ps=end, calm=foremost(calms), transients=found)
