"""Finished calls that are kept whole: the first of each latency, the slowest, and a part of a run.

Which call is the median is known only at the end of a run, and what happened at its targets is gone
by then. `pmsim.hardware.specimens` and `pmsim.hardware.detail` read what is kept here.
"""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import catch_up
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import entry_of, row_of
from pmsim.hardware.passes.turns import goes_on, reached, run_by


@compiled
def bucket(S: State, latency: int) -> int:
    """Return a latency's bucket: its highest bit and the ``SUB_BITS`` that follow.

    Below ``2 ** SUB_BITS`` every value has its own; above, a bucket is as wide as that power of two
    is a part of its values.
    """
    sub = S[SUB_BITS]
    high = latency >> sub
    shift = 0
    if high >= 1 << 32:
        high >>= 32
        shift = 32
    if high >= 1 << 16:
        high >>= 16
        shift += 16
    if high >= 1 << 8:
        high >>= 8
        shift += 8
    if high >= 1 << 4:
        high >>= 4
        shift += 4
    while high > 1:
        high >>= 1
        shift += 1
    return (shift << sub) + (latency >> shift)


@compiled
def _copy_call(S: State, i: int, at: int, head: int, to: int) -> None:
    """Copy the call that CPU ``i`` has just finished, whose row is at ``at``, entries apart.

    The initiator leaves c at max(l, max of ack - prefix up to c) + the prefix after c.
    """
    r = row_of(i)
    for k in range(LOG_ROW):
        S[head + k] = S[at + k]
    S[head + K_LOCAL_END] = S[r + C_LOCAL_END]
    S[head + K_VISITED] = reached(S, r, S[r + C_VISITED])
    S[head + K_LOCAL] = S[r + C_LOCAL]
    S[head + K_AFTER] = S[r + C_PHASE]
    S[head + K_WAITED] = S[r + C_WAITED]
    S[head + K_READY] = S[r + C_READY] if goes_on(S) else 0
    latest = run_by(S, r, S[r + C_LOCAL_END])
    c = S[r + C_FIRST]
    while c >= 0:
        catch_up(S, c)
        e = entry_of(S, i, c)
        for k in range(ENTRY_ROW):
            S[to + k] = S[e + k]
        S[to + E_NEXT] = c
        c = (S[e + E_META] & 0xFFFF) - 1
        latest = max(latest, run_by(S, r, S[e + E_ACK]) - S[e + E_PREFIX])
        following = S[entry_of(S, i, c) + E_PREFIX] if c >= 0 else S[r + C_LINE]
        S[to + E_PREFIX] = reached(S, r, latest + following)
        to += ENTRY_ROW


@compiled
def _keep_specimen(S: State, i: int, at: int, number: int) -> None:
    head = S[SPECIMENS_AT] + number * S[SPECIMEN_ROW]
    _copy_call(S, i, at, head, head + SPECIMEN_HEAD)


@compiled
def _keep_detail(S: State, i: int, at: int) -> None:
    """Keep a call of the part of the run that is kept whole; none any more after one too many."""
    targets = S[at + L_TARGETS]
    if targets > S[DETAIL_LEFT]:
        S[DETAIL_FROM] = INF
        S[DETAIL_CUT] = S[NOW]
        return
    head = S[DETAIL_HEADS_AT] + S[DETAIL_CALLS] * SPECIMEN_HEAD
    _copy_call(S, i, at, head, S[DETAIL_ENTRIES_AT] + S[DETAIL_ENTRIES] * ENTRY_ROW)
    S[DETAIL_LEFT] -= targets
    S[DETAIL_CALLS] += 1
    S[DETAIL_ENTRIES] += targets
    if S[DETAIL_ENTRIES] + S[N_CPUS] > S[DETAIL_CAP]:
        S[LOG_CAP] = 0  # there may be no room for another: have the log emptied, and this with it


@compiled
def keep_call(S: State, i: int, at: int) -> None:
    """Count a finished call; keep it if it is the first of its latency, or the slowest so far."""
    latency = S[at + L_END] - S[at + L_START]
    pair = S[BUCKETS_AT] + 2 * bucket(S, latency)
    S[pair] += 1
    if S[pair] == 1:
        S[pair + 1] = S[SPECIMENS]
        _keep_specimen(S, i, at, S[SPECIMENS])
        S[SPECIMENS] += 1
    if latency > S[SLOWEST]:
        S[SLOWEST] = latency
        _keep_specimen(S, i, at, 0)
    if S[at + L_START] >= S[DETAIL_FROM] and S[at + L_START] < S[DETAIL_TO]:
        _keep_detail(S, i, at)
