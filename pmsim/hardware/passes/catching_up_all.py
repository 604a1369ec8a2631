"""All CPUs catch up at once with quiet events, or those that a call tells one after the other.

Where nothing is left of the events but sums it takes a few nanoseconds for each.
"""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import catch_up_for_good, queued_at, seen_stolen
from pmsim.hardware.passes.history import close_plan, is_plain, is_to_come, owe, retire_known
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import entry_of, row_of, still_runs
from pmsim.hardware.passes.sets import has
from pmsim.hardware.passes.shared import length_of_tick


@compiled
def catch_up_all(S: State) -> None:
    """Let every CPU know of all quiet events so far."""
    if S[BEHIND]:
        if _ends_with_a_call(S):
            _catch_up_all_with_a_call(S)
            return
        for c in range(S[N_CPUS]):
            at = S[SEEN_AT] + c
            if at < 0 or at > FAR:
                break  # never happens, as in `calls.send`
            seen = S[at]
            if seen == S[QUIET_CALLS]:
                continue
            catch_up_for_good(S, c, seen)
            S[at] = S[QUIET_CALLS]
        S[BEHIND] = 0


@compiled
def _ends_with_a_call(S: State) -> bool:
    """Return whether the last quiet event is a call, and no tick has met one."""
    return S[QUIET_CALLED] == S[QUIET_CALLS] and S[QUIET_MET] < 0 and S[TALLIED] == 0


@compiled
def _catch_up_all_with_a_call(S: State) -> None:
    """Let every CPU catch up where that is so; the same as one by one, in a few nanoseconds each.

    One by one are those on which debts of several calls are left.
    """
    i = S[QUIET_FROM]
    now = S[QUIET_AT]
    calls = S[QUIET_CALLS]
    cost = S[QUIET_COST]
    to_ack = (cost >> 3) - still_runs(cost)
    to_end = (cost >> 3) + S[EXIT]
    all_stolen = S[QUIET_STOLEN]
    tick = length_of_tick(S)
    began = S[QUIET_BEGAN]
    unticked = S[UNTICKED]
    users = S[USERS]
    leaves_out = S[QUIET_KIND] & LEAVES_OUT
    drops = S[QUIET_KIND] >= QUIET_DROPPING
    seen_at = S[SEEN_AT]
    entries_at = entry_of(S, i, 0)
    told = now + S[TRAP]
    for c in range(S[N_CPUS]):
        at = seen_at + c
        r = row_of(c)
        e = entries_at + c * ENTRY_ROW
        if at < 0 or at > FAR or r < 0 or r > FAR or e < 0 or e > FAR:
            break  # never happens, as in `calls.send`
        if c != i:
            told += S[QUEUE]
        seen = S[at]
        if seen == calls:
            continue
        user = has(S, S[USERS_AT], c) if users > 0 else 0
        left_out = user and leaves_out
        if drops and calls - seen > 1 and not left_out:
            catch_up_for_good(S, c, seen)
            S[at] = calls
            continue
        S[at] = calls
        if S[r + HEAD] >= 0:
            if is_plain(S, r, now):
                close_plan(S, r)
            elif not is_to_come(S, r, now):
                retire_known(S, c, now)
        if left_out:
            first = S[QUIET_NUMBER] - (calls - seen) + 1
            owe(S, c, first, S[QUIET_NUMBER], now, max(first, S[QUIET_AT_FIRST]))
            continue
        ticks = (calls - seen) // TICKS
        handlers = (calls - seen) % TICKS
        stolen = all_stolen
        if seen != began:
            stolen -= seen_stolen(S, c, seen)
        q = queued_at(S, i, c, S[r + LEFT_OUT_BELOW], now) if leaves_out else told
        arrives = q + S[e + E_ARRIVES] - S[e + E_QUEUED]
        take = arrives + S[ENTRY]
        if user:
            take += S[ENTRY_FLUSH]
            stolen += handlers * S[ENTRY_FLUSH]
        if ticks > 0:
            if unticked > 0 and has(S, S[TICKING_AT], c) == 0:
                stolen -= ticks * tick
            else:
                handlers += ticks
                S[S[LOOKS_AT] + c] = S[QUIET_LOOKED]
        end = take + to_end
        S[e + E_QUEUED] = q
        S[e + E_ARRIVES] = arrives
        S[e + E_COST] = cost
        S[e + E_ACK] = take + to_ack
        S[e + E_START] = arrives
        S[e + E_META] = user << 35 | R_DISTANCE << 32 | S[e + E_META] & 0xFFFFFFFF
        S[e + E_NEXT] = NONE
        S[r + HEAD] = i
        S[r + TAIL] = i
        S[r + LAST_TAKE] = take
        S[r + BASE_END] = S[r + PLAN_END]
        S[r + PLAN_END] = end
        stolen += S[r + PLAN_STOLEN]
        handlers += S[r + PLAN_HANDLERS]
        S[r + PLAN_STOLEN] = stolen
        S[r + BASE_STOLEN] = stolen - (end - arrives)
        S[r + PLAN_HANDLERS] = handlers
        S[r + BASE_HANDLERS] = handlers - 1
        S[r + PLAN_FULL] = FULL | FROM_USER if user else cost & FULL
    S[BEHIND] = 0


@compiled
def only_ticks(S: State) -> bool:
    """Return whether all quiet events that CPUs may not know of are ticks that met nothing.

    Their handlers have begun, and nothing can be taken with them.
    """
    has_called = S[QUIET_CALLED] > S[QUIET_BEGAN]
    return S[QUIET_TICKED] > S[QUIET_BEGAN] and not has_called and S[QUIET_TICK] + S[ENTRY] < S[NOW]


@compiled
def catch_up_with_ticks_alone(S: State, c: int) -> None:
    """Let a CPU catch up where that is so; what it knew of is history by now."""
    at = S[SEEN_AT] + c
    looks = S[LOOKS_AT] + c
    if at < 0 or at > FAR or looks < 0 or looks > FAR:
        return  # never happens, as in `calls.send`
    ticks = (S[QUIET_CALLS] - S[at]) // TICKS
    if ticks == 0:
        return
    S[at] = S[QUIET_CALLS]
    if S[UNTICKED] > 0 and has(S, S[TICKING_AT], c) == 0:
        return
    r = row_of(c)
    each = length_of_tick(S)
    S[r + PLAN_STOLEN] += ticks * each
    S[r + PLAN_HANDLERS] += ticks
    S[r + PLAN_END] = S[QUIET_TICK] + each
    S[looks] = S[QUIET_LOOKED]
