"""Summaries that no run made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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
    broadcasts=ShootdownCounts(0, 0.0, {}, {}, {}, 0),
    latency_ps=Latency(None, None, None, None, None),
    cost=Cost(0, 0, 0, 0, 0, 0, 0.0),
    paid=Paid((), ()),
    slowest=None,
    transient_end_ps=None,
    transients=(Parts(None, "none"),),
    user_work=(),
    calls=(),
    operations=(),
    failures=(),
    detail=(),
)
"""A summary of a run in which nothing happened."""


def transient(end_ps: int | None, **known: Any) -> Parts:
    """Return the parts of a run whose transient ends somewhere, or does not."""
    return Parts(end_ps, "none" if end_ps is None else "mser5", **known)


def with_transients(*found: Parts) -> Summary:
    """Return a summary of some runs that tells where their transients end."""
    return replace(EMPTY, transient_end_ps=found[0].end_ps, transients=found)
