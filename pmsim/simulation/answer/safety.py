"""Who could still use what, and how long pools were open."""

from __future__ import annotations

from collections import Counter
from typing import Final

from pmsim.simulation.answer.summary import Exposed, FirstViolation, Overwritten, Safe
from pmsim.simulation.tables.arrays import filled
from pmsim.simulation.tables.source import TableSource, whole

KINDS: Final = ("write_after_protect", "use_after_free", "table_reuse")
"""Kinds of violations, the worst first."""

_OF_RUNS: Final = (*KINDS, "trusted_areas", "trusted_pages", "held_pages", "held_byte_s")

_POOLS: Final = (
    "writable_byte_s", "stale_byte_s", "stale_ps", "stale_total_ps", "closed_ps",
)  # fmt: skip


def safe(files: TableSource) -> Safe:
    """Return what was found of all runs."""
    runs = whole(files, "safety", _OF_RUNS)
    counts = {name: int(runs[name].sum()) for name in KINDS}
    total = sum(counts.values())
    return Safe(
        violations=total,
        by_kind={name: number for name, number in counts.items() if number},
        first=_first(files) if total else None,
        trusted_areas=int(runs["trusted_areas"].sum()),
        trusted_pages=int(runs["trusted_pages"].sum()),
        held_pages=int(runs["held_pages"].sum()),
        held_byte_s=float(runs["held_byte_s"].sum()),
    )


def _first(files: TableSource) -> FirstViolation:
    names = ("replication", "kind", "operation", "pages", "cpu", "from_ps", "to_ps")
    rows = whole(files, "violations", names)
    run = rows["replication"] == rows["replication"].min()
    at = int(min(run.nonzero()[0].tolist(), key=lambda row: int(rows["from_ps"][row])))
    return FirstViolation(
        kind=str(rows["kind"][at]),
        call=_call(files, int(rows["replication"][at]), int(rows["operation"][at])),
        pages=int(rows["pages"][at]),
        cpu=int(rows["cpu"][at]),
        from_ps=int(rows["from_ps"][at]),
        to_ps=None if rows["to_ps"][at] < 0 else int(rows["to_ps"][at]),
    )


def _call(files: TableSource, run: int, number: int) -> str | None:
    """Return the kind of an operation of a run; None where it has no row."""
    for batch in files.arrow_batches("operations", ("replication", "id", "kind")):
        runs, ids = (filled(batch.column(place)) for place in range(2))
        found = ((runs == run) & (ids == number)).nonzero()[0]
        if found.size:
            return str(batch.column(2)[int(found[0])].as_py())
    return None


def exposed(files: TableSource) -> Exposed | None:
    """Return how long pools were open; None without pools."""
    pools = whole(files, "pools", _POOLS)
    count = len(pools["stale_ps"])
    if not count:
        return None
    stale = int(pools["stale_total_ps"].sum())
    return Exposed(
        pools=count,
        writable_byte_s=float(pools["writable_byte_s"].sum()),
        stale_byte_s=float(pools["stale_byte_s"].sum()),
        stale_ps=int(pools["stale_ps"].max()),
        stale_total_ps=stale,
        closed_share=int(pools["closed_ps"].sum()) / stale if stale else None,
    )


def overwritten(files: TableSource) -> Overwritten | None:
    """Return what became of the writes of an attack; None where there were none."""
    rows = whole(files, "overwrites", ("at_ps", "outcome"))
    outcomes = Counter(rows["outcome"].tolist())
    if not outcomes:
        return None
    landed = rows["at_ps"][rows["outcome"] != "faulted"]
    return Overwritten(
        writes=outcomes.total(),
        landed=outcomes["landed"],
        stale=outcomes["stale"],
        faulted=outcomes["faulted"],
        last_landed_ps=int(landed.max()) if len(landed) else None,
    )
