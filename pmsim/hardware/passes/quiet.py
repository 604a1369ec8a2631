"""Calls to everybody while nothing else goes on: known whole, without a look at any target.

A call is quiet if it tells all other CPUs, no CPU is idle, holds interrupts off or has a handler
that is not over, and no other call is in flight. Then each target's handler starts as its interrupt
arrives, so that the call is the same as any other quiet call of this initiator, but for the time:
its end is known from the first one. Targets catch up when something else happens to them, or when
somebody asks (`history.catch_up`).

No quiet call has jitter, which differs from target to target, or empties TLBs, which leaves a debt
at an instant of its own on each target.
"""

from __future__ import annotations

from pmsim.hardware.passes.history import retire
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import cost_word, entry_of, fanout_to, row_of, still_runs
from pmsim.hardware.passes.turns import in_turns


@compiled
def is_quiet(S: State, targets: State, jitter: State, flags: int) -> bool:
    """Return whether a call that begins now would meet nothing else."""
    return (
        targets.size == 0
        and S[DEFERS] < 0
        and not in_turns(S)
        and jitter.size == 0
        and flags & EMPTIES == 0
        and S[IN_FLIGHT] == 0
        and S[IDLE_CPUS] == 0
        and S[LATEST_FLOOR] <= S[NOW]
        and S[LATEST_END] <= S[NOW]
    )


@compiled
def send_quietly(S: State, D: Codes, i: int, cost: int, flags: int) -> None:
    """Tell all others of a quiet call of ``i``; the same as `calls.send` does for it."""
    o = row_of(i)
    if S[o + Q_KNOWN] == 0:
        _get_to_know(S, D, i)
    stolen = S[ENTRY] + cost + S[EXIT]
    S[QUIET_CALLS] += 1
    S[QUIET_STOLEN] += stolen
    S[QUIET_FROM] = i
    S[QUIET_AT] = S[NOW]
    S[QUIET_COST] = cost_word(S, cost, flags)
    S[BEHIND] = 1
    S[LATEST_END] = S[NOW] + S[o + Q_LAST] + stolen
    S[o + SEEN] = S[QUIET_CALLS]
    S[o + SEEN_STOLEN] = S[QUIET_STOLEN]
    S[o + C_FIRST] = 1 if i == 0 else 0
    S[o + C_LOCAL_END] = S[NOW] + S[o + Q_SENT]
    S[o + C_LINE] = S[o + Q_LINE]
    runs_on = still_runs(S[QUIET_COST])
    S[o + C_MAX] = S[NOW] + S[o + Q_MAX] + S[ENTRY] + cost - runs_on
    S[o + C_LAST_ACK] = S[NOW] + S[o + Q_LAST] + S[ENTRY] + cost - runs_on
    S[o + C_RUNS_ON] = runs_on
    S[o + C_SLOWEST] = S[o + Q_SLOWEST]


@compiled
def _get_to_know(S: State, D: Codes, i: int) -> None:
    """Work out what all quiet calls of ``i`` have in common, from their beginning.

    When they are sent, when the last interrupt arrives, all lines, the largest of a - prefix and
    where; and on each target the prefix, and how long after the queue the interrupt comes.
    """
    o = row_of(i)
    n = S[N_CPUS] - 1
    fanout = fanout_to(S, n)
    q = S[TRAP]
    sent = q + n * S[QUEUE]
    group_end = 0
    prefix = 0
    S[o + Q_MAX] = -INF
    S[o + Q_LAST] = 0
    for c in range(S[N_CPUS]):
        if c == i:
            continue
        retire(S, c, S[NOW])  # before the entry of an earlier call is written over
        if c >= group_end:
            group_end = (c // fanout + 1) * fanout
            sent += S[SEND]
        sent += S[KICK]
        q += S[QUEUE]
        arrives = sent + S[S[DELIVERY_AT] + D[i, c]]
        e = entry_of(S, i, c)
        S[e + E_QUEUED] = q
        S[e + E_ARRIVES] = arrives
        S[e + E_PREFIX] = prefix
        if arrives - prefix > S[o + Q_MAX]:
            S[o + Q_MAX] = arrives - prefix
            S[o + Q_SLOWEST] = c
        S[o + Q_LAST] = max(S[o + Q_LAST], arrives)
        prefix += S[S[LINE_AT] + D[i, c]]
    S[o + Q_LINE] = prefix
    S[o + Q_SENT] = sent
    S[o + Q_KNOWN] = 1
