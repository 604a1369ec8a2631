"""The calendar: a tournament tree over the CPUs' next instants.

An instant in the tree is a lower bound. Handlers only push what a CPU does back, so the calendar
keeps the earliest instant at which it may have something to do; when that is due, `instants.look`
verifies it, and files the CPU again where handlers that have started have moved it.
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import row_of
from pmsim.hardware.passes.turns import next_run


@compiled
def file_at(S: State, c: int, key: int) -> None:
    """File CPU ``c`` at ``key = 2 * time + phase``; timers are phase 0, task steps phase 1."""
    tree = S[TREE_AT]
    k = S[LEAVES] + c
    S[tree + k] = key
    while k > 1:
        k >>= 1
        left = S[tree + 2 * k]
        right = S[tree + 2 * k + 1]
        least = left if left <= right else right
        if S[tree + k] == least:
            return
        S[tree + k] = least


@compiled
def lowest(S: State) -> int:
    """Return the lowest CPU among those whose instant is the earliest."""
    tree = S[TREE_AT]
    leaves = S[LEAVES]
    key = S[tree + 1]
    k = 1
    while k < leaves:
        k *= 2
        if S[tree + k] != key:
            k += 1
    return k - leaves


@compiled
def file_step_or_timer(S: State, c: int, key: int) -> None:
    """File CPU ``c``, at its next timer where that comes before ``key``."""
    sleeper = S[row_of(c) + SLEEP_HEAD]
    if sleeper >= 0:
        timer = 2 * S[S[TASKS_AT] + sleeper * TASK_ROW + T_WAKE]
        if timer < key:
            key = timer
    file_at(S, c, key)


@compiled
def file_step(S: State, c: int, time: int) -> None:
    """File the next step of CPU ``c`` at ``time``, or when it next runs; not before its timer."""
    if time < HORIZON:
        file_step_or_timer(S, c, 2 * next_run(S, row_of(c), time) + 1)
    else:
        file_step_or_timer(S, c, INF)
