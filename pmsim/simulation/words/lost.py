"""What tasks lost, to what, and which constants that hangs on, in words."""

from __future__ import annotations

from typing import Final

from pmsim.formatting import counted, from_to, share, time, written
from pmsim.simulation.answer.summary import Summary, UsedConstant
from pmsim.simulation.tables.protocols import SILENT
from pmsim.simulation.words.mean_run import duration, time_of, times

MOST_CONSTANTS: Final = 3
"""Constants that the lost time is said to hang on, those with the largest parts of it."""

ENOUGH: Final = 0.8
"""When so much of it is said, the rest is not."""

LITTLE: Final = 0.05
"""A constant with a smaller part is not spoken of."""

SLIGHT: Final = 0.01
"""A part of the lost time with a smaller share of it is not spoken of."""

OUTSTANDING: Final = 2
"""A CPU that lost so many times the mean is named."""

NOTABLE_WAKING: Final = 0.1
"""From this part of the waiting on, that targets had to wake up is spoken of."""

_PRODUCTS: Final = {
    "tlb.walk": " and the working sets",
    "tlbi.share": " and how long broadcasts take",
}
"""What a constant is multiplied by, where that is no mere number of events."""


def lost_words(summary: Summary) -> list[str]:
    """Say what tasks lost, and to what, the largest part first; then who lost most."""
    cost, runs = summary.cost, summary.replications
    if not cost.lost_ps:
        return ["No task lost any time."]
    said = (
        f"Tasks lost {share(cost.share)} of all CPU time: {time(cost.lost_ps / runs)} of"
        f" {counted(summary.cpus, 'CPU')} in {duration(summary)}"
    )
    words = _taker_words(summary)
    parts = sorted(cost.parts.items(), key=lambda part: -part[1])
    told = [f"{time(ps / runs)} {words[name]}" for name, ps in parts if ps >= SLIGHT * cost.lost_ps]
    told[0] += f" ({share(parts[0][1] / cost.lost_ps)})"
    return [f"{said}: {', '.join(told)}{_who_lost_most(summary)}."]


def _taker_words(summary: Summary) -> dict[str, str]:
    """Return what each part of the lost time was lost to."""
    ways = set(summary.broadcasts.by_protocol)
    stalls = ["stalls by TLB broadcasts"] if ways & SILENT else []
    handlers = ["handlers"] if ways - SILENT else []
    return {
        "handlers": f"to {' and '.join(stalls + handlers)}",
        "locks": "spinning for locks",
        "answers": "waiting for shootdowns",
        "sending": "enqueuing and sending" if ways else "flushing their own CPUs",
        "refill": "refilling TLBs",
    }


def _who_lost_most(summary: Summary) -> str:
    """Say which CPU lost most, where that is far more than the others did."""
    if not summary.paid.cpus:
        return ""
    worst = summary.paid.cpus[0]
    if worst.lost_ps * summary.cpus < OUTSTANDING * summary.cost.lost_ps:
        return ""
    text = f". CPU {worst.cpu} lost most, {time(worst.lost_ps / summary.replications)}"
    return f"{text}, by spinning" if worst.spin_ps > worst.lost_ps / 2 else text


def woken_words(summary: Summary) -> list[str]:
    """Tell of the idle CPUs that were woken, which cost no task anything."""
    cost, runs = summary.cost, summary.replications
    if not cost.woken:
        return []
    said = [
        f"Idle CPUs were woken {times(cost.woken, runs)}, and awake for"
        f" {time(cost.awake_ps / runs)}: no task lost that time."
    ]
    waking = cost.waking_ps / (cost.initiators_ps or 1)
    if waking >= NOTABLE_WAKING:
        said.append(
            f"{share(waking)} of what initiators waited for shootdowns,"
            f" {time_of(cost.waking_ps, cost.initiators_ps, runs)}, is waking the slowest target,"
            " not flushing."
        )
    return said


def resting_on(summary: Summary) -> list[str]:
    """Say which constants make most of the lost time, and how well they are known."""
    said: list[str] = []
    told = 0.0
    for one in summary.constants[:MOST_CONSTANTS]:
        if told >= ENOUGH or one.lost_share < LITTLE:
            break
        told += one.lost_share
        said.append(f"{share(one.lost_share)} on {_constant(one)}")
    if not said:
        return []
    first, rest = said[0].replace(" on ", " of the lost time hangs on ", 1), said[1:]
    return [f"{', '.join([first, *rest])}."]


def left_open(summary: Summary) -> list[str]:
    """Say how far the ranges of constants may move the lost time."""
    found = summary.left_open.get("lost_share")
    if found is None:
        return []
    ends = from_to(share(found.low), share(found.high))
    seeds = " and seeds" if found.seeds > 1 else ""
    return [
        f"With constants{seeds} from their ranges, {share(found.level)} of {found.n:,} runs lose"
        f" {ends} of all CPU time."
    ]


def _constant(one: UsedConstant) -> str:
    """Say what a constant is, and what it rests on."""
    basis = one.basis or "no source"
    known = basis if one.low is None or one.high is None else f"{basis}, {between(one)}"
    product = _PRODUCTS.get(one.name, "")
    return f"{one.name} = {written(one.value)} ({known}){product}"


def between(one: UsedConstant) -> str:
    """Write the range of a constant; nothing where it has none."""
    if one.low is None or one.high is None:
        return ""
    return from_to(written(one.low), written(one.high))
