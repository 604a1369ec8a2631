"""How often isolated CPUs and user work were interrupted, and what that cost them, in words."""

from __future__ import annotations

from typing import Final

from pmsim.formatting import counted, number, share, time, times_a_second
from pmsim.simulation.answer.isolation import Isolated
from pmsim.simulation.answer.summary import Summary, UserWork
from pmsim.simulation.words.deferral import deferral_words
from pmsim.simulation.words.mean_run import is_over, times
from pmsim.units import S


def over_budget(summary: Summary) -> list[str]:
    """Return a sentence for each limit of the budget that was not kept."""
    found = () if summary.isolated is None else summary.isolated.violations
    return [f"Over budget: {one}." for one in found]


def isolated_words(summary: Summary) -> list[str]:
    """Say how often isolated CPUs were interrupted, by what, how long; and what was deferred."""
    one = summary.isolated
    if one is None:
        return []
    return [_interruptions(one, summary), *deferral_words(summary)]


def _interruptions(one: Isolated, summary: Summary) -> str:
    """Say how often they were interrupted, by what, and how long."""
    cpus = "An isolated CPU" if one.cpus == 1 else f"Each of {one.cpus:,} isolated CPUs"
    length = one.length_ps
    if length.max is None:
        text = f"{cpus} was never interrupted"
    else:
        most = one.by[0]
        by = f", {share(most.interrupts / one.interrupts)} of it by {most}"
        over = is_over(summary)
        mean = one.interrupts / one.cpus / summary.replications
        often = _on_one(mean, summary) + _unlike(one.fewest, one.most, mean, summary)
        text = f"{cpus} was interrupted {often}{by}: half within {time(length.p50 or length.max)}"
        if length.p99_99 is not None:
            text += f", 99.99 % within {time(length.p99_99)}"
        text += f", the longest {time(length.max)} ({one.longest_by})"
        length_ps = one.interrupted_ps / one.interrupts
        if not over:
            text += (
                f"; in a day {number(one.per_day)} times, {time(length_ps * one.per_day)} in all"
            )
    if one.stalled_ps:
        text += f"; stalls by TLB broadcasts took {time(one.stalled_ps)} of all of them"
    return f"{text}."


def user_work_words(summary: Summary) -> list[str]:
    """Say how much longer user work took, and how often its CPUs were interrupted."""
    said = []
    for one in summary.user_work:
        if one.slowdown is None:
            said.append(f"User work ({one.workload}) got nothing done.")
        else:
            tasks = counted(one.tasks // summary.replications, "task")
            said.append(
                f"User work ({one.workload}, {tasks}) took {_longer(one.slowdown)};"
                f" {_interrupted(one, summary)}."
            )
    return said


def _longer(slowdown: float) -> str:
    """Say how much longer something took, in per cent as long as these are below a hundred."""
    return f"{share(slowdown)} longer" if slowdown < 1 else f"{number(1 + slowdown)} times as long"


def _interrupted(work: UserWork, summary: Summary) -> str:
    """Say how often the CPUs of some user work were interrupted."""
    count = work.interrupts
    if not count:
        return "its CPUs were never interrupted"
    often, mean = times(count, summary.replications), count / work.cpus
    unlike = _unlike(work.fewest, work.most, mean, summary)
    return f"its CPUs were interrupted {often}, each {_on_one(mean, summary)}{unlike}"


UNLIKE: Final = 2
"""How many times the mean what one CPU has must be, or the reverse, for the mean to mislead."""


def _unlike(fewest: int, most: int, mean: float, summary: Summary) -> str:
    """Say how differently CPUs fared, where their mean misleads."""
    if most <= UNLIKE * mean and UNLIKE * fewest >= mean:
        return ""
    least = _on_one(fewest, summary) if fewest else "never"
    return f" on average (one {least}, another {_on_one(most, summary)})"


def _on_one(interrupts: float, summary: Summary) -> str:
    """Say how often a CPU was interrupted in a run; as a rate, where it goes on."""
    if is_over(summary):
        each = number(interrupts)
        return "once" if each == "1" else f"{each} times"
    return times_a_second(interrupts * S * summary.replications / summary.duration_ps)
