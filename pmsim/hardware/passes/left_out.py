"""CPUs that shootdowns left out: who they are, and what they owe, in one pass (`kernel.safety`).

It is no part of the machine: it only looks at what is known of shootdowns.
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import entry_point
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.waits import C_OPEN

E_LAST, E_WAITING, ENDS = range(3)
"""Words of what `who_is_left` finds, behind the CPUs."""

S_LEFT, S_NEVER, S_LATER, S_GONE, S_CLOSED, SPLIT = range(6)
"""Words of a split: how many CPUs were left out, drop it never as far as is known, or later; and
when the last of those that were not left out has, and from when on these were all closed."""


@entry_point(
    "int64(int64[:, ::1], int64, uint8[::1], uint8[::1], int64[:, ::1], uint8[::1], int64[::1])"
)
def who_is_left(
    drops: State, i: int, told: State, may: State, states: State, out: State, found: State
) -> int:
    """Find the CPUs that a call has left out which is over.

    Parameters
    ----------
    drops
        When each CPU has run its function, and `INF`; shape ``(2, n_cpus)``.
    i
        Who called.
    told
        1 for each CPU that it was to; empty: all.
    may
        1 for each CPU that calls may leave out.
    states
        As in `waits.begin_waits`.
    out
        Filled with 1 for each that it has.
    found
        Filled with these CPUs; and in its last words with when the last of the others but ``i`` has
        run it, and how many of those that were told have anything to drop.

    Returns
    -------
    int
        How many were left out.
    """
    left = last = waiting = 0
    n = drops.shape[1]
    for c in range(n):
        gone = drops[0, c]
        is_told = told.size == 0 or told[c]
        out[c] = 0
        if c != i and gone >= INF and may[c] and is_told:
            out[c] = 1
            found[left] = c
            left += 1
            continue
        if c != i and gone < INF:
            last = max(last, gone)
        if is_told and states[c, C_OPEN] > 0:
            waiting += 1
    found[n + E_LAST], found[n + E_WAITING] = last, waiting
    return left


@entry_point("int64(int64[:, ::1], int64[::1], int64, int64, uint8[::1], int64[:])")
def owe(owed: State, cpus: State, first: int, end: int, watched: State, in_user: State) -> int:
    """Note that CPUs owe pages, and all between these and what they owe already.

    Not if anybody is to be looked at before.

    Parameters
    ----------
    owed
        The first page and the end of what each CPU owes, shape ``(2, n_cpus)``.
    cpus
        The CPUs.
    first, end
        The pages.
    watched, in_user
        1 for each CPU that is to be looked at when it is in user mode no more, and that is in it;
        empty: none is to be looked at.

    Returns
    -------
    int
        How many are to be looked at. Then nothing is noted.
    """
    lost = 0
    for c in range(watched.size):
        if watched[c] and in_user[c] == 0:
            lost += 1
    if lost == 0:
        for c in cpus:
            owed[0, c] = min(owed[0, c], first)
            owed[1, c] = max(owed[1, c], end)
    return lost


@entry_point("int64(int64[:, ::1], uint8[::1], int64[::1])")
def who_owes(owed: State, without: State, cpus: State) -> int:
    """Fill in the CPUs that owe anything, without those that are marked; return how many."""
    n = 0
    for c in range(owed.shape[1]):
        if owed[1, c] > 0 and not without[c]:
            cpus[n] = c
            n += 1
    return n


@entry_point("int64(int64[:, ::1], int64, uint8[::1], int64[:, ::1], int64[::1])")
def split(first: State, now: int, out: State, cpus: State, found: State) -> int:
    """Split the CPUs that have not dropped something by now.

    Parameters
    ----------
    first
        When each CPU has dropped it, and from when on it was closed; shape ``(2, n_cpus)``.
    now
        The present instant.
    out
        1 for each CPU that was left out; empty: none was.
    cpus
        Filled with those that were left out, those that never drop it, and those that do later;
        shape ``(3, n_cpus)``.
    found
        Filled with a split's words.

    Returns
    -------
    int
        How many have not.
    """
    left = never = later = last = shut = 0
    for c in range(first.shape[1]):
        gone = first[0, c]
        if gone > now and out.size and out[c]:
            cpus[S_LEFT, left] = c
            left += 1
            continue
        if gone >= INF:
            cpus[S_NEVER, never] = c
            never += 1
            continue
        if gone > now:
            cpus[S_LATER, later] = c
            later += 1
        last, shut = max(last, gone), max(shut, first[1, c])
    found[S_LEFT], found[S_NEVER], found[S_LATER] = left, never, later
    found[S_GONE], found[S_CLOSED] = last, shut
    return left + never + later


ENTRIES = (who_is_left, owe, who_owes, split)
"""All that Python calls here."""
