"""A Linux 6.18 that starts threads: what each purge takes, and which addresses come back."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, pairwise
from pathlib import Path
from typing import NamedTuple, cast

import pytest

from pmsim.kernel.addresses.node_pools import NodePools
from pmsim.kernel.addresses.ranges import AddressRange, FreedArea
from pmsim.kernel.freespace import FreeSpace
from pmsim.units import PAGE_SIZE

TRACE = Path(__file__).parent.parent / "data" / "linux-6.18-traces" / "thread_churn.csv.gz"
CPUS = 2
LIMIT = 16_384
STACK = 5
"""Pages of a kernel stack and its guard."""

ALIGN = 4


class Event(NamedTuple):
    """One event; what its numbers are is in tests/data/README.md."""

    kind: str
    cpu: int
    page: int
    pages: int
    lazy: int


class Told:
    """A space whose next free place is told."""

    def __init__(self) -> None:
        self.page = 0
        self.asked = 0

    def take(self, size: int, align: int) -> int:
        self.asked += 1
        return self.page

    def give(self, start: int, size: int) -> None:
        """Take it back."""


@pytest.fixture(scope="module")
def events() -> list[Event]:
    with gzip.open(TRACE, "rt", newline="") as lines:
        rows = csv.reader(lines)
        next(rows)
        return [Event(row[0], *(int(cell or 0) for cell in row[1:])) for row in rows]


def between_purges(events: list[Event]) -> Iterator[tuple[list[Event], Event | None]]:
    """Yield the events up to each purge, and it; None after the last."""
    gathered: list[Event] = []
    for purge, group in groupby(events, lambda event: event.kind == "purge"):
        if purge:
            yield gathered, next(group)
            gathered = []
        else:
            gathered = list(group)
    yield gathered, None


def test_a_purge_fires_when_the_limit_is_first_exceeded_and_begins_when_its_worker_is_free(
    events: list[Event],
) -> None:
    for before, purge in between_purges(events):
        # Two CPUs may write their events in another order than they counted.
        lazy = sorted(event.lazy for event in before if event.kind == "free")
        assert all(later - earlier == STACK for earlier, later in pairwise(lazy))
        above = [event for event in before if event.kind == "free" and event.lazy > LIMIT]
        if purge is None:
            assert above == []
            continue
        # All that came too much was freed in one go, by the worker of the CPU which then purges.
        assert above[0].lazy - STACK <= LIMIT
        assert {event.cpu for event in above} == {purge.cpu}
        assert lazy[-1] == STACK * purge.lazy


def test_a_purge_takes_all_that_was_freed_and_flushes_one_span_over_it(events: list[Event]) -> None:
    for before, purge in list(between_purges(events))[1:-1]:
        freed = sorted(event.page for event in before if event.kind == "free")
        assert purge is not None
        assert len(freed) == purge.lazy
        assert (freed[0], freed[-1] + STACK - freed[0]) == (purge.page, purge.pages)


def test_every_address_that_a_cpu_gets_is_the_one_its_pool_had_last(events: list[Event]) -> None:
    # What was pooled before the trace began is not known; so the first purge fills no pool here,
    # and an address counts where the pool holds areas of the later ones.
    told = Told()
    where = AddressRange("vmalloc", 0, 1 << 45, PAGE_SIZE, cast(FreeSpace, told))
    nodes, seen = NodePools(CPUS, where), Counter[str]()
    for number, (before, purge) in enumerate(between_purges(events)):
        for event in before:
            if event.kind == "alloc":
                told.page, asked = event.page, told.asked
                assert nodes.take(event.cpu, where, STACK, ALIGN) == event.page
                seen["unknown" if told.asked > asked else "pooled"] += 1
        if purge is not None:
            freed = sorted(event.page for event in before if event.kind == "free")
            nodes.before_purge(full=number == 0)
            for share in nodes.shares([FreedArea(page, STACK, where) for page in freed]):
                nodes.give(share, full=number == 0)
    assert seen["pooled"] == 5_969
    assert seen["pooled"] + seen["unknown"] == sum(event.kind == "alloc" for event in events)
