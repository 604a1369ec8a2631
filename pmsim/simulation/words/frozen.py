"""What the answer says of virtual CPUs that do not always run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim.formatting import share, time
from pmsim.simulation.words.mean_run import time_of, times

if TYPE_CHECKING:
    from pmsim.simulation.answer.summary import Summary

NOTABLE: Final = 0.01
"""A smaller part of what initiators waited is not spoken of."""


def frozen_words(summary: Summary) -> list[str]:
    """Say how long virtual CPUs did not run, and who waited for that."""
    one, runs = summary.frozen, summary.replications
    if one is None:
        return []
    said = [
        f"Virtual CPUs were frozen for {share(one.share)} of the time: it was not their turn on the"
        " host."
    ]
    waited = summary.cost.initiators_ps
    if one.latency_ps > NOTABLE * waited:
        said[0] = said[0].removesuffix(".") + (
            f", and {share(one.latency_ps / waited)} of what initiators waited for shootdowns,"
            f" {time_of(one.latency_ps, waited, runs)}, was waiting for one of them."
        )
    if one.left_out:
        said.append(
            f"Flushes of user space left frozen CPUs out {times(one.left_out, runs)}; they dropped"
            " everything when they next ran."
        )
    if one.held_up_ps:
        said.append(
            "CPUs that were frozen while their tasks held a lock held others up for"
            f" {time(one.held_up_ps / runs)} (lock-holder preemption){_most(summary)}."
        )
    return said


def _most(summary: Summary) -> str:
    """Say at which lock that was longest, and with what; nothing where it is not known."""
    most = max(summary.locks, key=lambda lock: lock.frozen_ps, default=None)
    if most is None or not most.frozen_ps:
        return ""
    total = sum(lock.frozen_ps for lock in summary.locks)
    part = "" if most.frozen_ps == total else f", {share(most.frozen_ps / total)} of it"
    return f"{part} at {most.lock}"
