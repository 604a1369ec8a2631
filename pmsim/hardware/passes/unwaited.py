"""Calls that nobody waits for, and the next call of such an initiator (machine-model page, 15).

A CPU has one call's data for each target. So whoever calls a target whose data the call before has
not given back waits for that, in the middle of queueing. Such a call is made in parts: some targets
have it queued, nothing being sent yet (`queue_some`); the data of one is waited for, as a visit is
(`await_data`); and so on. The last part queues the rest, and sends to all (`calls.send`).

Until it is sent, the interrupt of a call that is queued is as if it never came.
"""

from __future__ import annotations

from pmsim.hardware.passes.calendar import file_step
from pmsim.hardware.passes.catching_up import catch_up, retire
from pmsim.hardware.passes.handlers import insert_sorted, plan, settle_maxima, visited, visited_at
from pmsim.hardware.passes.jit import absent_elsewhere, compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.occupation import begin_window, own_time
from pmsim.hardware.passes.rows import cost_word, entry_of, row_of
from pmsim.hardware.passes.turns import goes_on, in_turns, run_by, run_from


@compiled
def next_is_unwaited(S: State) -> int:
    """Return 1 if nobody waits for the call that begins now."""
    return S[UNWAITED] if goes_on(S) else 0


@compiled
def next_is_ready(S: State) -> int:
    """Return how many targets have the call queued already that begins now."""
    return S[READY] if goes_on(S) else 0


@compiled
def word_of(S: State, cost: int, flags: int) -> int:
    """Return the `E_COST` of the call that begins now."""
    word = cost_word(S, cost, flags)
    return word | 2 if next_is_unwaited(S) else word


@compiled
def open_plan(S: State, r: int) -> None:
    """Begin a plan on a CPU that has none, on top of all that has been planned before."""
    if S[r + HEAD] >= 0:
        return
    S[r + BASE_END] = S[r + PLAN_END]
    S[r + BASE_STOLEN] = S[r + PLAN_STOLEN]
    S[r + BASE_HANDLERS] = S[r + PLAN_HANDLERS]


@compiled
def _begin_part(S: State, i: int, part: int) -> None:
    o = row_of(i)
    retire(S, i, S[NOW])
    S[o + C_START] = S[NOW]
    S[o + C_LOCAL_END] = S[NOW]
    S[o + C_LINE] = 0
    S[o + C_MAX] = -INF
    S[o + C_SLOWEST] = NONE
    S[o + C_FIRST] = NONE
    S[o + C_LAST_ACK] = 0
    S[o + C_PHASE] = part
    S[o + Q_KNOWN] = 0  # the entries are no longer those of a quiet call
    if in_turns(S):
        S[o + C_PUSHED] = 0
    S[IN_FLIGHT] += 1


@absent_elsewhere
def queue_some(S: State, targets: State, i: int, cost: int, flags: int) -> None:
    """Queue a call of ``i`` to some targets, one after the other, interrupts off."""
    o = row_of(i)
    t = S[NOW]
    _begin_part(S, i, QUEUES_ONLY)
    word = word_of(S, cost + flags // REMOTE, flags % REMOTE)
    q = t
    for c in targets:
        q += S[QUEUE]
        retire(S, c, t)
        e = entry_of(S, i, c)
        S[e + E_QUEUED] = run_from(S, o, t, q - t)
        S[e + E_ARRIVES] = HORIZON
        S[e + E_COST] = word
        S[e + E_ACK] = NONE
        S[e + E_META] = S[UNWAITED] << 31
        S[e + E_PREFIX] = NONE
        S[e + E_NEXT] = NONE
        open_plan(S, row_of(c))
        insert_sorted(S, c, i)
        plan(S, c)
    S[o + C_LOCAL_END] = run_from(S, o, t, q - t)
    begin_window(S, i, M_CALL, q - t)
    settle_maxima(S)
    file_step(S, i, S[o + C_LOCAL_END])


@absent_elsewhere
def await_data(S: State, D: Codes, i: int, c: int) -> int:
    """CPU ``i`` spins until ``c`` has given its data back and the line is there.

    Returns 1 if it is there now.
    """
    o = row_of(i)
    catch_up(S, c)
    _begin_part(S, i, AWAITS_DATA)
    e = entry_of(S, i, c)
    S[e + E_META] &= ~0xFFFF
    S[e + E_PREFIX] = 0
    S[o + C_LINE] = S[S[LINE_AT] + D[i, c]]
    S[o + C_MAX] = run_by(S, o, S[e + E_ACK])
    S[o + C_SLOWEST] = c
    S[o + C_LAST_ACK] = S[e + E_ACK]
    S[o + C_FIRST] = c
    begin_window(S, i, M_CALL, 0)
    settle_maxima(S)
    if visited(S, o) <= run_by(S, o, S[NOW]):
        return look_part(S, i)
    file_step(S, i, visited_at(S, o))
    return 0


@absent_elsewhere
def look_part(S: State, i: int) -> int:
    """A part of a call that is not the last may be over: return 1 if it is."""
    o = row_of(i)
    if S[o + C_PHASE] == AWAITS_DATA:
        if visited(S, o) > run_by(S, o, S[NOW]):
            file_step(S, i, visited_at(S, o))
            return 0
        S[o + SPIN] += own_time(S, o)
    else:
        left = S[o + NEED] - own_time(S, o)
        if left > 0:
            file_step(S, i, run_from(S, o, S[NOW], left))
            return 0
        S[o + IRQS_OFF] += S[o + NEED]
    S[o + MODE] = M_STEP
    S[IN_FLIGHT] -= 1
    return 1


@absent_elsewhere
def send_to_queued(S: State, c: int, i: int, meta: int, prefix: int) -> int:
    """Send to ``c``, which has the call of ``i`` queued; return when it acknowledges that.

    Its entry says when the interrupt arrives. It may have been taken with another call already.
    """
    e = entry_of(S, i, c)
    S[e + E_META] = S[e + E_META] >> 31 << 31 | meta
    S[e + E_PREFIX] = prefix
    k = S[row_of(c) + HEAD]
    while k >= 0 and k != i:
        k = S[entry_of(S, k, c) + E_NEXT]
    if k == i:
        plan(S, c)
    return S[e + E_ACK]


@absent_elsewhere
def know_ends_again(S: State) -> None:
    """Look for the end of the last handler that is planned, all of a call being sent."""
    S[LATEST_END] = 0
    for c in range(S[N_CPUS]):
        S[LATEST_END] = max(S[LATEST_END], S[row_of(c) + PLAN_END])
