"""What the answer says of locks that tasks wait for: which, who waited, and who held them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim.formatting import share, time
from pmsim.simulation.words.mean_run import times

if TYPE_CHECKING:
    from pmsim.simulation.answer.summary import Summary

MOST_LOCKS: Final = 2
"""Locks that are spoken of, those that were waited for longest."""

NEGLIGIBLE: Final = 0.1
"""A lock with a smaller part of all waiting for locks is not spoken of, nor is a kind of call."""

NOTABLE: Final = 0.25
"""From this part of the lost time on, spinning for locks is spoken of though it is not the most."""

MOST_OF_CALLS: Final = 0.5
"""From this part of the time of calls on, waiting for locks is spoken of though it is asleep."""


def lock_words(summary: Summary) -> list[str]:
    """Say which locks were waited for and in which calls, where that costs much."""
    return [*_locks(summary), *_calls(summary)] if _cost_much(summary) else []


def _cost_much(summary: Summary) -> bool:
    """Return whether waiting for locks costs most, or much, or is most of what calls took."""
    cost = summary.cost
    spun = cost.parts["locks"]
    if spun and (spun >= max(cost.parts.values()) or spun >= NOTABLE * cost.lost_ps):
        return True
    waited = sum(one.lock_wait_ps for one in summary.calls)
    return waited > MOST_OF_CALLS * sum(one.total_ps for one in summary.calls)


def _locks(summary: Summary) -> list[str]:
    """Name the locks that were waited for longest, and who waited and held them."""
    total, runs = sum(one.waited_ps for one in summary.locks), summary.replications
    said = []
    for one in summary.locks[:MOST_LOCKS]:
        if one.waited_ps < NEGLIGIBLE * total:
            break
        often = times(one.waits, runs)
        part = "" if len(summary.locks) == 1 else f" ({share(one.waited_ps / total)} of all waits)"
        text = (
            f"{one.lock} was waited for {often}, {time(one.waited_ps / runs)} in all{part},"
            f" {'longest ' if one.waits > 1 else ''}by {one.waiter} on CPU {one.waiter_cpu}"
        )
        if one.holder is not None:
            doing = f" in {one.doing}" if one.doing else ""
            text += (
                f"; {one.holder} on CPU {one.holder_cpu}{doing} held it longest while others"
                f" waited, {time(one.held_ps)}"
            )
        said.append(f"{text}.")
    return said


def _calls(summary: Summary) -> list[str]:
    """Say in which calls locks are waited for."""
    waits: dict[str, int] = {}
    for one in summary.calls:
        waits[one.kind] = waits.get(one.kind, 0) + one.lock_wait_ps
    total = sum(waits.values())
    if not total:
        return []
    most = sorted(waits.items(), key=lambda wait: -wait[1])[:MOST_LOCKS]
    told = [f"{kind} ({share(ps / total)})" for kind, ps in most if ps >= NEGLIGIBLE * total]
    return [f"Locks were waited for in {' and '.join(told)}."]
