"""How many shootdowns there were, of what kind, and how long they took, in words."""

from __future__ import annotations

from typing import Final

from pmsim.formatting import quantity, share, time
from pmsim.simulation.answer.summary import ShootdownCounts, Summary
from pmsim.simulation.tables.protocols import SILENT, place, told
from pmsim.simulation.tables.tally import is_dominated
from pmsim.simulation.words.mean_run import how_many

NOTABLE: Final = 10
"""So many times slower than the mean is worth a sentence of its own."""

MANY_PAGES: Final = 64
"""A ranged flush of more pages says how many: x86 flushes no more than 33 one by one."""

_WAITED_FOR: Final = {
    "irqs_off": "had interrupts off",
    "idle_exit": "had to wake up",
    "busy_handler": "was in another handler",
    "frozen": "did not run, or the initiator did not (frozen)",
    "ride": "took the call with another one's interrupt (coalesced)",
    "distance": "had nothing in the way but the distance",
}
"""What the CPU did that a shootdown waited for, by reason."""


def shootdown_words(summary: Summary) -> str:
    """Say how many shootdowns there were, of what kind, and who waited for them."""
    calls, runs = summary.broadcasts, summary.replications
    kinds = [
        f"{how_many(n, runs)} {kind}{_pages(calls) if kind == 'range' else ''}"
        for kind, n in calls.by_kind.items()
    ]
    initiators = ", ".join(dict.fromkeys(one.workload for one in summary.paid.initiators))
    one = how_many(calls.total, runs) == "1"
    return (
        f"There {'was' if one else 'were'} {how_many(calls.total, runs)}"
        f" shootdown{'' if one else 's'}{' a run' if runs > 1 else ''} ({', '.join(kinds)})"
        f"{_told(calls, runs)}{_unheard(calls)}; {initiators} waited"
        f" {time(summary.cost.initiators_ps / runs)} for {'it' if one else 'them'}."
    )


def _told(calls: ShootdownCounts, runs: int) -> str:
    """Say which shootdowns were no IPI calls; nothing where all were."""
    counts, total = calls.by_protocol, calls.total
    said = [
        f"{'all' if count == total else how_many(count, runs)} of them {told(name)}"
        for name, count in sorted(counts.items(), key=lambda one: place(one[0]))
        if told(name)
    ]
    return f", {', '.join(said)}" if said else ""


def _unheard(calls: ShootdownCounts) -> str:
    """Say that calls were for nobody but their initiators, as those of idle CPUs' processes are."""
    if calls.targets or set(calls.by_protocol) & SILENT:
        return ""
    return ", for which nobody had to be interrupted"


def _pages(calls: ShootdownCounts) -> str:
    """Say of how many pages ranged flushes are, where that is more than x86 would flush so."""
    pages = calls.pages_p50
    return f" of {pages:,} pages each" if pages is not None and pages > MANY_PAGES else ""


def latency_words(summary: Summary) -> str:
    """Say how long shootdowns took: the mean, and the slow ones."""
    latency, count = summary.latency_ps, summary.broadcasts.total
    found = {
        "half within": latency.p50,
        "p99": latency.p99,
        "p99.9": latency.p99_9,
        "the slowest": latency.max,
    }
    known = [f"{name} {time(ps)}" for name, ps in found.items() if ps is not None]
    if count == 1:
        return f"The shootdown took {quantity(latency.max, 'ps')}."
    if {time(ps) for ps in (latency.p50, latency.mean) if ps is not None} == {
        time(latency.max or 0)
    }:
        return f"Shootdowns took {quantity(latency.max, 'ps')} each."
    if is_dominated(count, count * (latency.mean or 0), latency.max or 0):
        return f"A shootdown took: {', '.join(known)}, as long as all others together."
    mean = f"A shootdown took {quantity(latency.mean, 'ps')} on average: {', '.join(known)}."
    return mean + _few_of_them(summary)


def _few_of_them(summary: Summary) -> str:
    """Say why a mean is above the 99th percentile; nothing where it is not."""
    latency, runs = summary.latency_ps, summary.replications
    above, part = latency.above_p99, latency.above_p99_share
    if latency.mean is None or latency.p99 is None or latency.mean <= latency.p99:
        return ""
    if above is None or part is None:
        return ""
    few = share(above / summary.broadcasts.total)
    return (
        f" The mean is above the p99 because of a few: the slowest {how_many(above, runs)}"
        f"{' a run' if runs > 1 else ''} ({few}) took {share(part)} of all that time."
    )


def slowest_words(summary: Summary) -> list[str]:
    """Tell of the slowest shootdown, where it was far slower than the others."""
    one = summary.slowest
    if one is None or one.latency_ps < NOTABLE * (summary.latency_ps.mean or 0):
        return []
    text = (
        f"The slowest shootdown ({one.cause}) was made by {one.workload} on CPU {one.cpu},"
        f" from {time(one.at_ps)} on"
    )
    why = _WAITED_FOR.get(one.slowest_reason)
    if one.slowest_cpu is not None and why is not None:
        text += f": it waited for CPU {one.slowest_cpu}, which {why}"
    return [f"{text}."]
