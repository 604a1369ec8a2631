"""What tasks waited for, within the operations they were in; and when CPUs had interrupts off."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import Any, Final

import pandas as pd

from pmsim.report.span import Span, put_in_order

COLUMNS: Final = ("cpu", "task", "workload", "kind", "thing", "start_ps", "end_ps")
"""The columns of ``stretches`` that are read here."""

_WAITS: Final = {
    "spinlock": "spins for {thing}",
    "mutex_spin": "spins for {thing}",
    "mutex": "sleeps for {thing}",
    "completion": "waits for {thing}",
    "sleep": "sleeps",
}

Rows = Iterable[Mapping[str, Any]]


def add_waits(tasks: dict[tuple[int, int], list[Span]], rows: Rows) -> None:
    """Put the waits among rows of ``stretches`` into the innermost operation around them.

    Parameters
    ----------
    tasks
        The outermost spans of each task, in order, by CPU and number.
    rows
        Rows of ``stretches``; windows with interrupts off are passed over.
    """
    changed: dict[int, list[Span]] = {}
    waits: list[tuple[list[Span], Span]] = []
    for row in rows:
        if row["kind"] not in _WAITS:
            continue
        name = _WAITS[row["kind"]].format(thing=row["thing"])
        wait = Span(name, "wait", int(row["start_ps"]), int(row["end_ps"]))
        outermost = tasks.setdefault((int(row["cpu"]), int(row["task"])), [])
        waits.append((_place(outermost, wait), wait))
    for listed, wait in waits:
        listed.append(wait)
        changed[id(listed)] = listed
    for listed in changed.values():
        put_in_order(listed)


def _place(spans: list[Span], wait: Span) -> list[Span]:
    """Return where a wait belongs: a task does one thing at a time."""
    while True:
        at = bisect_right(spans, wait.start_ps, key=attrgetter("start_ps")) - 1
        if at < 0 or spans[at].category != "operation" or spans[at].end_ps < wait.end_ps:
            return spans
        spans = spans[at].inside


def windows(stretches: Rows, targets: Rows, alone: Rows) -> dict[int, list[Span]]:
    """Return the windows in which each CPU had interrupts off, in order.

    Parameters
    ----------
    stretches
        Rows of ``stretches``.
    targets
        A row of ``anatomy`` for each call: its initiator has interrupts off up to its first look at
        the answers, and in the serial order as it runs the function after them. Where nobody waits
        it has them off up to its own end of the function; that it waits for data of the call before
        in between is not told apart.
    alone
        Rows of ``crosscalls`` that had no targets: the function alone.
    """
    found: dict[int, list[Span]] = {}

    def add(cpu: int, start: int, end: int, by: str) -> None:
        if start < end:
            span = Span("interrupts off", "irqs_off", start, end, {"by": by})
            found.setdefault(cpu, []).append(span)

    for row in stretches:
        if row["kind"] == "irqs_off":
            add(int(row["cpu"]), int(row["start_ps"]), int(row["end_ps"]), row["workload"])
    for row in targets:
        cpu = int(row["initiator"])
        looks = int(row["own_end_ps"] if pd.isna(row["looks_ps"]) else row["looks_ps"])
        add(cpu, int(row["start_ps"]), looks, _OWN_CALL)
        if row["own_start_ps"] >= looks:
            add(cpu, int(row["own_start_ps"]), int(row["own_end_ps"]), _OWN_CALL)
    for row in alone:
        start = int(row["start_ps"])
        add(int(row["cpu"]), start, start + int(row["local_ps"]), _OWN_CALL)
    for spans in found.values():
        put_in_order(spans)
    return found


_OWN_CALL: Final = "its own IPI call"
