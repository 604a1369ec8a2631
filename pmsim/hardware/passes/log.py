"""The log of finished calls: one row each, whose parts add up to the latency exactly.

The parts follow the one target that decided when the visit ended, from queue to visit; where nobody
was waited for they follow the initiator (machine-model page, section 7).
"""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import catch_up
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.occupation import irqs_off_of
from pmsim.hardware.passes.rows import (
    entry_of,
    group_of,
    reason_of,
    row_of,
    still_runs,
    take_of,
    told,
)
from pmsim.hardware.passes.specimens import keep_call
from pmsim.hardware.passes.ticks import leave_notes
from pmsim.hardware.passes.turns import goes_on, in_turns, run_by, run_from


@compiled
def _waited(S: State, r: int) -> int:
    """Return how long before its (last) part the call of a CPU began."""
    return S[r + C_WAITED] + S[r + C_READY] * S[QUEUE] if goes_on(S) else S[r + C_WAITED]


@compiled
def _log_row(S: State, i: int) -> int:
    """Begin the row of what CPU ``i`` had in flight: all that does not depend on the protocol."""
    r = row_of(i)
    at = S[LOG_AT]
    for k in range(LOG_ROW):
        S[at + k] = 0
    S[at + L_CPU] = i
    S[at + L_TASK] = S[S[TASKS_AT] + S[r + CURRENT] * TASK_ROW + T_NUMBER]
    S[at + L_START] = S[r + C_START] - _waited(S, r)
    S[at + L_END] = S[NOW]
    S[at + L_KIND] = S[r + C_KIND]
    S[at + L_CAUSE] = S[r + C_CAUSE]
    S[at + L_OPERATION] = S[r + C_OPERATION]
    S[at + L_TARGETS] = S[r + C_TARGETS]
    S[at + L_PAGES] = S[r + C_PAGES]
    return at


@compiled
def _file_row(S: State, at: int) -> None:
    """Put a row that is complete into the columns."""
    to = at + LOG_ROW + S[LOG_ROWS]
    for k in range(LOG_ROW):
        S[to + k * LOG_COLUMN] = S[at + k]
    S[LOG_ROWS] += 1


@compiled
def _queueing(S: State, r: int) -> int:
    """Return how long a call was put into queues, or targets were looked at and left out."""
    trap = S[TRAP] if S[r + C_TARGETS] > 0 else 0
    before = S[r + C_READY] if goes_on(S) else 0
    return trap + (S[r + C_TARGETS] - before) * S[QUEUE] + S[r + C_LEFT_OUT] * S[CHECK]


@compiled
def _kicks(S: State, i: int, c: int) -> int:
    """Return how long the host of a guest took for the targets up to ``c``."""
    if S[KICK] == 0:
        return 0
    if S[row_of(i) + C_TARGETS] == S[N_CPUS] - 1:  # perhaps quiet, without a chain
        return (c + (c < i)) * S[KICK]
    place = 1
    k = S[row_of(i) + C_FIRST]
    while k != c:
        place += 1
        k = (S[entry_of(S, i, k) + E_META] & 0xFFFF) - 1
    return place * S[KICK]


@compiled
def _log_local(S: State, r: int, at: int) -> None:
    """Every acknowledgement was in when the initiator began to look."""
    S[at + L_SLOWEST_CPU] = NONE
    S[at + L_SLOWEST_REASON] = R_LOCAL
    if told(S, r) > 0:
        S[at + L_QUEUE] = _queueing(S, r)
    if S[SERIAL] == 0 or told(S, r) == 0:
        S[at + L_LOCAL] = S[r + C_LOCAL]
    S[at + L_SEND] = irqs_off_of(S, r) - S[at + L_QUEUE] - S[at + L_LOCAL]
    S[at + L_VISIT] = S[r + C_LINE]


@compiled
def _log_slowest(S: State, i: int, at: int) -> None:
    """Follow the target whose acknowledgement ended the waiting from queue to visit."""
    r = row_of(i)
    c = S[r + C_SLOWEST]
    catch_up(S, c)
    e = entry_of(S, i, c)
    begin = S[e + E_START]
    reason = reason_of(S, e)
    there = row_of(c)
    began, arrived = run_by(S, there, begin), run_by(S, there, S[e + E_ARRIVES])
    taken = run_by(S, there, take_of(S, there, e))
    S[at + L_SLOWEST_CPU] = c
    S[at + L_SLOWEST_REASON] = R_IDLE_EXIT if reason == R_WAKING else reason
    if reason == R_RIDE:
        queued = S[e + E_QUEUED]
        if goes_on(S):  # it may have been queued, and even taken, in an earlier part
            queued = max(queued, S[r + C_START])
            taken = max(taken, run_by(S, there, queued))
        S[at + L_QUEUE] = run_by(S, r, queued) - run_by(S, r, S[r + C_START])
        S[at + L_RIDE] = taken - run_by(S, there, queued)
    else:
        S[at + L_QUEUE] = _queueing(S, r)
        S[at + L_SEND] = group_of(S, e) * S[SEND] + _kicks(S, i, c)
        sent = run_from(S, r, S[r + C_START], S[at + L_QUEUE] + S[at + L_SEND])
        S[at + L_DELIVERY] = S[e + E_ARRIVES] - sent
        waited = began - arrived
        if reason == R_IRQS_OFF:
            S[at + L_IRQS_OFF] = waited
        elif reason == R_IDLE_EXIT or reason == R_WAKING:
            S[at + L_IDLE_EXIT] = waited
        else:
            S[at + L_BUSY_HANDLER] = waited
        S[at + L_ENTRY] = taken - began
    S[at + L_FUNCTION] = run_by(S, there, S[e + E_ACK]) - taken
    S[at + L_VISIT] = S[r + C_LINE] - S[e + E_PREFIX]


@compiled
def latest(S: State, i: int, word: int) -> int:
    """Return the latest instant at a target of a call that has just ended; 0 without any.

    `E_START`: when its handler began; `E_ACK`: when the function had run, acknowledged or not.
    """
    last = 0
    c = S[row_of(i) + C_FIRST]
    while c >= 0:
        catch_up(S, c)
        e = entry_of(S, i, c)
        runs = still_runs(S[e + E_COST]) if word == E_ACK else 0
        last = max(last, run_from(S, row_of(c), S[e + word], runs))
        c = (S[e + E_META] & 0xFFFF) - 1
    return last


@compiled
def _gone(S: State, i: int) -> int:
    """Return when the last CPU had done what a call was for, the initiator among them.

    In the serial order the initiator does it at the end, in a step of its own.
    """
    r = row_of(i)
    if S[r + C_KIND] >= DROPPING_KINDS:
        return NONE
    own = S[r + C_LOCAL_END]
    if S[SERIAL] and told(S, r) > 0:
        own = S[r + FLOOR] if S[r + C_PHASE] == 1 else S[NOW]
    if in_turns(S) or S[r + C_LAST_ACK] == INF:
        return max(own, latest(S, i, E_ACK))
    return max(own, S[r + C_LAST_ACK] + S[r + C_RUNS_ON])


@compiled
def _log_frozen(S: State, at: int) -> None:
    """What the parts of a latency leave: somebody was frozen on the way that they follow."""
    left = S[at + L_END] - S[at + L_START]
    for part in range(L_QUEUE, L_RESUME + 1):
        left -= S[at + part]
    S[at + L_FROZEN] = left
    if left > 0:
        S[at + L_SLOWEST_REASON] = R_FROZEN


@compiled
def log_call(S: State, i: int) -> None:
    """Write the row of a call that has ended: the parts of its latency add up exactly."""
    r = row_of(i)
    at = _log_row(S, i)
    S[at + L_PROTOCOL] = S[r + C_PROTOCOL]
    S[at + L_GONE] = _gone(S, i)
    S[at + L_LEFT_OUT] = S[r + C_LEFT_OUT]
    S[at + L_DEFERRAL] = S[r + C_DEFERRAL]
    local_after = S[r + C_LOCAL] if S[r + C_PHASE] == 1 else 0
    if S[r + C_MAX] <= S[r + C_LOCAL_END]:
        _log_local(S, r, at)
    else:
        _log_slowest(S, i, at)
    S[at + L_LOCAL] += local_after
    # until the handler's end
    S[at + L_RESUME] = run_by(S, r, S[NOW]) - S[r + C_VISITED] - local_after
    S[at + L_QUEUE] += _waited(S, r)
    if in_turns(S):
        _log_frozen(S, at)
    if S[r + C_LAZY] > 0:
        _log_lazy(S, i, at)
    if S[r + C_TARGETS] > 0 and not (goes_on(S) and S[r + C_UNWAITED]):
        keep_call(S, i, at)
    _file_row(S, at)


@compiled
def _log_lazy(S: State, i: int, at: int) -> None:
    """Nobody was called: the others are left a note, and drop it later."""
    r = row_of(i)
    S[at + L_PROTOCOL] = BY_LATR
    S[at + L_LEFT_OUT] = S[r + C_LAZY]
    S[at + L_DEFERRAL] = -2 - S[SOME_DEFERRALS]
    S[SOME_DEFERRALS] += 1
    leave_notes(S, i, S[at + L_DEFERRAL])
    S[r + C_LAZY] = 0


@compiled
def log_fence(S: State, i: int) -> None:
    """Write the row of an invalidation that has ended, repetition and all.

    What a handler delays the repetition counts as waiting for the server.
    """
    r = row_of(i)
    at = _log_row(S, i)
    S[at + L_SLOWEST_CPU] = NONE
    S[at + L_DELIVERY] = S[r + NEED] - S[r + I_SERVED]
    if S[r + I_REPEAT] == REPEATED:
        S[at + L_DELIVERY] += S[r + I_TRIP]
    S[at + L_FUNCTION] = S[r + I_SERVICE] + S[r + I_BEFORE]
    S[at + L_RESUME] = run_by(S, r, S[NOW]) - run_by(S, r, S[r + NEED])
    S[at + L_QUEUE] = S[r + NEED] - S[r + C_START] - S[at + L_FUNCTION] - S[at + L_DELIVERY]
    S[at + L_SLOWEST_REASON] = R_DISTANCE if S[r + C_TARGETS] > 0 else R_LOCAL
    if S[at + L_QUEUE] > 0:
        S[at + L_SLOWEST_REASON] = R_SERVER
    if in_turns(S):
        _log_frozen(S, at)
    S[at + L_PROTOCOL] = S[r + C_PROTOCOL]
    S[at + L_GONE] = S[r + C_LAST_ACK]
    S[at + L_DEFERRAL] = NONE
    S[at + L_INVALIDATIONS] = S[r + C_INVALIDATIONS]
    _file_row(S, at)
