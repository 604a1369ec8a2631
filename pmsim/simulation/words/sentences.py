"""A summary in words: what shootdowns cost, who paid, when the transient ended."""

from __future__ import annotations

from typing import Final

from pmsim.formatting import rate_in_words, share, time
from pmsim.simulation.answer.summary import Calls, Summary
from pmsim.simulation.tables.tally import is_dominated
from pmsim.simulation.words.calm import calm_words
from pmsim.simulation.words.frozen import frozen_words
from pmsim.simulation.words.interrupted import isolated_words, over_budget, user_work_words
from pmsim.simulation.words.locks import lock_words
from pmsim.simulation.words.lost import left_open, lost_words, resting_on, woken_words
from pmsim.simulation.words.mean_run import is_over, shootdowns_made, times
from pmsim.simulation.words.safety import attack, exposure, held_back, unsafe
from pmsim.simulation.words.shootdowns import latency_words, shootdown_words, slowest_words

MOST_CALLS: Final = 2
"""Kinds of calls into the kernel that are spoken of, of each workload the costliest."""

NEGLIGIBLE: Final = 0.1
"""A kind with a smaller share of its workload's time in the kernel is not spoken of."""

OUTLIER: Final = 10
"""A call that took so many times the mean is spoken of."""

TOO_OFTEN: Final = 0.05
"""With so many failures for each call the answer begins with them."""


def sentences(summary: Summary) -> list[str]:
    """Return the answers that a summary gives, one sentence or two each.

    What cost most comes first. Of several runs, times and numbers are those of the mean run.
    """
    failed = _failures(summary)
    first, last = (failed, []) if _are_the_story(summary) else ([], failed)
    danger = unsafe(summary)
    if not summary.broadcasts.total:
        quiet = "No CPU had to be told anything: there was no shootdown."
        spent = lost_words(summary) if summary.cost.lost_ps else []
        isolated = isolated_words(summary)
        return [
            *danger, *first, quiet, *isolated, *spent, *_calls(summary), *exposure(summary),
            *attack(summary), *last, *_detail(summary),
        ]  # fmt: skip
    return [
        *danger,
        *over_budget(summary),
        *first,
        *lost_words(summary),
        *lock_words(summary),
        *woken_words(summary),
        *frozen_words(summary),
        *resting_on(summary),
        *left_open(summary),
        shootdown_words(summary),
        latency_words(summary),
        *slowest_words(summary),
        *isolated_words(summary),
        *_calls(summary),
        *exposure(summary),
        *held_back(summary),
        *attack(summary),
        calm_words(summary),
        *user_work_words(summary),
        *last,
        *_detail(summary),
    ]


def _calls(summary: Summary) -> list[str]:
    """Tell what each workload asked of the kernel, the costliest calls of it."""
    by_workload: dict[str, list[Calls]] = {}
    for one in summary.calls:
        by_workload.setdefault(one.workload, []).append(one)
    said = []
    for calls in by_workload.values():
        least = NEGLIGIBLE * sum(_held(one) for one in calls)
        said += [_call(one, summary) for one in calls[:MOST_CALLS] if _held(one) >= least]
    return said


def _held(one: Calls) -> int:
    """Return how long calls ran, or were held up by locks and shootdowns: not what they slept."""
    return one.total_ps - one.delay_ps


def _call(one: Calls, summary: Summary) -> str:
    runs = summary.replications
    text = f"{one.workload} called {one.kind} "
    if one.count == 1:
        return f"{text}once: {time(one.total_ps)}, {shootdowns_made(one.broadcasts)}."
    often = "" if is_over(summary) else f" ({rate_in_words(one.per_s)})"
    text += f"{times(one.count, runs)}{often}: "
    if is_dominated(one.count, one.total_ps, one.longest_ps):
        text += f"half within {time(one.median_ps)}"
        outlier = True
    else:
        text += f"{time(one.mean_ps)} each"
        outlier = one.longest_ps > OUTLIER * one.mean_ps
    if one.delay_ps > one.total_ps / 2:
        text += f" ({share(one.delay_ps / one.total_ps)} of that asleep or off the CPU)"
    if outlier:
        text += f", once {time(one.longest_ps)}"
    made = f"{shootdowns_made(one.broadcasts, runs)} in all" if one.broadcasts else "no shootdown"
    return f"{text}, {made}."


def _are_the_story(summary: Summary) -> bool:
    """Whether so much of what workloads asked for was refused that the answer begins with it."""
    failed = sum(one.count for one in summary.failures)
    asked = sum(one.count for one in summary.calls)
    return failed > 0 and failed >= TOO_OFTEN * asked


def _failures(summary: Summary) -> list[str]:
    return [
        f"{one.kind} failed {times(one.count, summary.replications)}, first at"
        f" {time(one.first_at_ps)}, for {one.first_by}: {one.first}."
        for one in summary.failures
    ]


def _detail(summary: Summary) -> list[str]:
    """Say of which part of the first run everything was kept, and whether all of it."""
    if not summary.detail:
        return []
    kept = summary.detail[0]
    start = time(kept.start_ps) if kept.start_ps else "the start"
    end = "the end" if kept.end_ps is None else time(kept.end_ps)
    text = (
        f"Everything from {start} to {end} is kept: {kept.calls:,} shootdowns with their"
        f" {kept.targets:,} targets"
    )
    if kept.cut_ps is not None:
        text += f"; after {time(kept.cut_ps)} there was no room for more"
    return [f"{text}."]
