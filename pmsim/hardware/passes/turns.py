"""When the virtual CPUs of a guest run, whose host has not enough CPUs for all of them.

CPU c runs in ``[phase + m period, phase + m period + slice)`` for every integer m, and is frozen
otherwise. What takes time on it takes running time: where it would end at x + w, it ends at
``run_from(x, w)``. What a CPU has run by an instant is its own clock; it stands still while the CPU
is frozen. Where all CPUs run all the time (`PERIOD` is 0) that clock is the time itself.
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled, only_backwards
from pmsim.hardware.passes.layout import *


@only_backwards
def in_turns(S: State) -> bool:
    """Return whether the CPUs of a machine do not always run."""
    return S[PERIOD] > 0


@only_backwards
def compiled_apart(S: State) -> bool:
    """Return true; it is false in code for machines that are neither of the two."""
    return True


@only_backwards
def goes_on(S: State) -> bool:
    """Return whether there may be calls that nobody waits for (`unwaited`)."""
    return S[GOES_ON] > 0


@compiled
def run_by(S: State, r: int, time: int) -> int:
    """Return for how long a CPU has run by an instant, since its last turn before 0."""
    if not in_turns(S):
        return time
    since = time - S[r + PHASE] + S[PERIOD]
    return since // S[PERIOD] * S[SLICE] + min(since % S[PERIOD], S[SLICE])


@compiled
def reached(S: State, r: int, run: int) -> int:
    """Return the first instant by which a CPU has run for so long."""
    if not in_turns(S):
        return run
    turns = (run - 1) // S[SLICE]
    if turns >= HORIZON // S[PERIOD]:
        return HORIZON
    return (turns - 1) * S[PERIOD] + run - turns * S[SLICE] + S[r + PHASE]


@compiled
def run_from(S: State, r: int, start: int, length: int) -> int:
    """Return when a CPU has run for ``length`` from an instant on."""
    if not in_turns(S) or length == 0:
        return start + length
    return reached(S, r, run_by(S, r, start) + length)


@compiled
def next_run(S: State, r: int, time: int) -> int:
    """Return the first instant from this one on at which a CPU runs."""
    if not in_turns(S):
        return time
    into = (time - S[r + PHASE]) % S[PERIOD]
    return time if into < S[SLICE] else time + S[PERIOD] - into


@compiled
def idle_from(S: State, r: int, end: int) -> int:
    """Return when the idleness of a CPU began whose last handler ended at ``end``.

    A CPU that is frozen where it would begin begins when it next runs; but at 0 it is idle already.
    """
    since = S[r + IDLE_SINCE]
    if end > since:
        return next_run(S, r, end)
    return since if since == 0 else next_run(S, r, since)
