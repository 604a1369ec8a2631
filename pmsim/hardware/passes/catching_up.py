"""CPUs catch up with the quiet events that there were since anybody looked at them (`quiet`).

All of them are of one kind. Of those that are over the sums are enough, but for debts that depend
on when each was; the last call and the last tick may still go on, and are planned as they stand.
"""

from __future__ import annotations

from pmsim.hardware.passes.history import drop_all, owe, retire_known
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.losses import charge, take_from
from pmsim.hardware.passes.refill import empty_tlb, flush_again, flush_tlb, refill_of
from pmsim.hardware.passes.rows import entry_of, from_user, row_of, still_runs
from pmsim.hardware.passes.sets import has
from pmsim.hardware.passes.shared import (
    is_shared,
    length_of_tick,
    place_tick,
    place_ticks,
    pushed_back,
    tally,
)
from pmsim.hardware.passes.turns import goes_on, in_turns


@compiled
def record_of(S: State, number: int) -> int:
    """Return where the record of a quiet event is."""
    return S[RECORDS_AT] + number % RECORDS * RECORD_ROW


@compiled
def note_seen(S: State, c: int) -> None:
    """CPU ``c`` has caught up with all quiet events so far."""
    r = row_of(c)
    S[S[SEEN_AT] + c] = S[QUIET_CALLS]
    S[r + SEEN_STOLEN] = S[QUIET_STOLEN]
    S[r + SEEN_SHARED] = tally(S, S[TALLY_AT], c)


@compiled
def seen_stolen(S: State, c: int, seen: int) -> int:
    """Return what those quiet events had stolen by now that ``c`` has caught up with."""
    ticks = seen - S[QUIET_BEGAN]
    return S[row_of(c) + SEEN_STOLEN] if ticks % TICKS else ticks // TICKS * length_of_tick(S)


@compiled
def _seen_shared(S: State, c: int) -> int:
    """Return how many handlers had been shared on ``c`` by those."""
    has_calls = (S[S[SEEN_AT] + c] - S[QUIET_BEGAN]) % TICKS
    return S[row_of(c) + SEEN_SHARED] if has_calls else 0


@compiled
def catch_up(S: State, c: int) -> None:
    """Take the quiet events into account that there were since ``c`` was last looked at."""
    seen = S[S[SEEN_AT] + c]
    if seen != S[QUIET_CALLS]:
        catch_up_for_good(S, c, seen)
        note_seen(S, c)


@compiled
def catch_up_for_good(S: State, c: int, seen: int) -> None:
    """Do the same for a CPU that has seen so many of them; that it has is for the caller to note.

    Where all others catch up, too, ``SEEN_AT`` is enough for that: the next quiet event is the
    first then that anybody does not know of.
    """
    r = row_of(c)
    behind = S[QUIET_CALLS] - seen
    if not in_turns(S) and not goes_on(S) and seen < S[QUIET_TICKED]:
        if has(S, S[TICKING_AT], c):
            _catch_up_with_ticks(S, c)
        else:
            _catch_up_without_ticks(S, c, seen)
        return
    retire_known(S, c, S[QUIET_AT])
    kind = S[QUIET_KIND]
    if kind & LEAVES_OUT and from_user(S, r):
        first = S[QUIET_NUMBER] - behind + 1
        at_first = max(first, S[QUIET_AT_FIRST])
        owe(S, c, first, S[QUIET_NUMBER], S[QUIET_AT], at_first)
    elif kind & ~1 == QUIET_SERVED:
        _catch_up_with_services(S, c, kind - QUIET_SERVED)
    else:
        _catch_up_with_calls(S, c, behind, 0, 0, S[QUIET_STOLEN] - seen_stolen(S, c, seen))


@compiled
def _catch_up_with_ticks(S: State, c: int) -> None:
    """Take quiet events into account, ticks among them: up to the last call, then what is behind.

    Of those before the call the sums are enough, less what CPUs save where a handler is shared.
    """
    at = S[SEEN_AT] + c
    if S[QUIET_KIND] >= QUIET_DROPPING and S[at] < S[QUIET_CALLED]:
        _catch_up_with_missed_tick(S, c)
    behind = S[QUIET_CALLED] - S[at]
    ticks = (S[QUIET_CALLS] - max(S[QUIET_CALLED], S[at])) // TICKS
    met = behind >= 0 and S[QUIET_MET] >= 0
    if behind > 0:
        retire_known(S, c, S[QUIET_AT])
        before = tally(S, S[TALLY_AT], c) - _seen_shared(S, c)
        if met:
            before -= is_shared(S, c, S[QUIET_MET] - S[QUIET_AT])
        stolen = S[CALLED_STOLEN] - seen_stolen(S, c, S[at]) - before * (S[ENTRY] + S[EXIT])
        _catch_up_with_calls(S, c, behind % TICKS, behind // TICKS, before, stolen)
    if met:
        retire_known(S, c, S[QUIET_MET] - 1)
        place_tick(S, c, S[QUIET_MET], S[N_CPUS] * S[SCAN], NONE)
        ticks -= 1
    if ticks > 0:
        retire_known(S, c, S[QUIET_TICK] - 1)
        place_ticks(S, c, ticks)
    S[S[LOOKS_AT] + c] = S[QUIET_LOOKED]


@compiled
def _catch_up_without_ticks(S: State, c: int, seen: int) -> None:
    """Take quiet events into account on a CPU to which the ticks among them did not come."""
    calls = (S[QUIET_CALLS] - seen) % TICKS
    if calls > 0:
        retire_known(S, c, S[QUIET_AT])
        stolen = S[CALLED_STOLEN] - seen_stolen(S, c, seen)
        stolen -= (S[QUIET_CALLED] - seen) // TICKS * length_of_tick(S)
        _catch_up_with_calls(S, c, calls, 0, 0, stolen)


@compiled
def _catch_up_with_missed_tick(S: State, c: int) -> None:
    """Take a tick into account that met the last call that ``c`` knows of, and no call behind that.

    It may have changed when the CPU's TLB was emptied.
    """
    r = row_of(c)
    seen = S[S[SEEN_AT] + c]
    if seen % TICKS == S[QUIET_BEGAN] % TICKS:
        return
    at = record_of(S, seen - 1)
    tick = S[at + RECORD_MET]
    if S[at + RECORD_NUMBER] != seen or tick < 0:
        return
    retire_known(S, c, tick - 1)
    place_tick(S, c, tick, S[N_CPUS] * S[SCAN], NONE)
    S[S[SEEN_AT] + c] = seen + TICKS
    S[r + SEEN_STOLEN] += length_of_tick(S)
    S[r + SEEN_SHARED] += is_shared(S, c, tick - S[at + RECORD_TIME])


@compiled
def _catch_up_with_calls(
    S: State, c: int, behind: int, ticks: int, shared: int, stolen: int
) -> None:
    """Take quiet calls into account, and ticks before the last one, which have stolen so much.

    Each was over everywhere before the next began, and found no handler, window or idleness on any
    target: it ran in a handler of its own that started as the interrupt arrived. Of all but the
    last one the sums are enough, and what is owed behind them; the last one may still go on, and is
    planned as it stands.
    """
    r = row_of(c)
    i = S[QUIET_FROM]
    cost = S[QUIET_COST]
    user = from_user(S, r)
    entry = S[ENTRY_FLUSH] if user else 0
    left_out = S[r + LEFT_OUT_BELOW] if S[QUIET_KIND] & LEAVES_OUT else 0
    e = entry_of(S, i, c)
    q = queued_at(S, i, c, left_out, S[QUIET_AT])
    arrives = q + S[e + E_ARRIVES] - S[e + E_QUEUED]
    if behind > 1 and (user or cost & FULL):
        _drop_behind(S, c, behind - 1, arrives - S[QUIET_AT], shared)
    stolen += behind * entry
    open_call(S, r, e, i, q, arrives, arrives, R_DISTANCE, cost, user)
    S[r + BASE_STOLEN] = S[r + PLAN_STOLEN] + stolen - (S[r + PLAN_END] - arrives)
    S[r + BASE_HANDLERS] = S[r + PLAN_HANDLERS] + behind + ticks - shared - 1
    S[r + PLAN_STOLEN] += stolen
    S[r + PLAN_HANDLERS] += behind + ticks - shared


@compiled
def queued_at(S: State, i: int, c: int, left_out: int, begins: int) -> int:
    """Return when a quiet call of ``i`` is queued at ``c`` that leaves out so many CPUs below."""
    called = c - (c > i) + 1 - left_out  # up to c
    return begins + S[TRAP] + called * S[QUEUE] + left_out * S[CHECK]


@compiled
def open_call(
    S: State,
    r: int,
    e: int,
    i: int,
    queued: int,
    arrives: int,
    start: int,
    reason: int,
    cost: int,
    user: int,
) -> None:
    """Plan a quiet call on a CPU without open calls, whose row and entry are given.

    Not what it steals, and how many handlers.
    """
    take = start + S[ENTRY]
    if user:
        take += S[ENTRY_FLUSH]
    done = take + (cost >> 3)
    S[e + E_QUEUED] = queued
    S[e + E_ARRIVES] = arrives
    S[e + E_COST] = cost
    S[e + E_ACK] = done - still_runs(cost)
    S[e + E_START] = start
    S[e + E_META] = user << 35 | reason << 32 | S[e + E_META] & 0xFFFFFFFF
    S[e + E_NEXT] = NONE
    S[r + BASE_END] = S[r + PLAN_END]
    S[r + PLAN_END] = done + S[EXIT]
    S[r + PLAN_FULL] = FULL | FROM_USER if user else cost & FULL
    S[r + LAST_TAKE] = take
    S[r + HEAD] = i
    S[r + TAIL] = i


@compiled
def _drop_behind(S: State, c: int, count: int, arrives: int, shared: int) -> None:
    """The first calls that ``c`` does not know of empty its TLB, arriving so long after they began.

    Each leaves a debt. Where it is paid before the next one comes, the sums are enough. So many
    handlers were shared with ticks in all.
    """
    r = row_of(c)
    user = from_user(S, r)
    entry = S[ENTRY_FLUSH] if user else 0
    full = FULL if user else S[QUIET_COST] & FULL
    first = S[S[SEEN_AT] + c]
    at = record_of(S, first)
    if user:
        drop_all(S, c, S[at + RECORD_TIME] + arrives + S[ENTRY] + entry)
    clock = _clock_at(S, c, at, arrives)
    flush_tlb(S, r, clock, full)
    paid = refill_of(S, r, full) <= S[LEAST_GAP] - entry and S[r + REACHED] <= clock
    so_far = 0
    for k in range(count - 1 if paid and count > 1 else 1, count):
        at = record_of(S, first + k)
        if paid:
            so_far = shared - _is_met(S, c, at)
        else:
            so_far += _is_met(S, c, record_of(S, first + k - 1))
        clock = _clock_at(S, c, at, arrives) + so_far * (S[ENTRY] + S[EXIT]) - k * entry
        if paid:
            flush_again(S, r, count - 1, clock, full)
        else:
            flush_tlb(S, r, clock, full)


@compiled
def _since(S: State, c: int, at: int) -> int:
    """Return how long after the call of a record a tick met it on ``c``; `NONE` if none has."""
    if S[at + RECORD_MET] < 0 or has(S, S[TICKING_AT], c) == 0:
        return NONE
    return S[at + RECORD_MET] - S[at + RECORD_TIME]


@compiled
def _is_met(S: State, c: int, at: int) -> int:
    """Return 1 if the call of a record shared a handler with a tick on ``c``."""
    return is_shared(S, c, _since(S, c, at))


@compiled
def _clock_at(S: State, c: int, at: int, arrives: int) -> int:
    """Return what the clock of ``c`` shows as the handler of a call starts, were none shared."""
    seen = S[S[SEEN_AT] + c]
    stolen = S[row_of(c) + PLAN_STOLEN] + S[at + RECORD_STOLEN] - seen_stolen(S, c, seen)
    if S[QUIET_TICKED] > 0 and has(S, S[TICKING_AT], c) == 0:
        stolen -= (S[at + RECORD_NUMBER] - seen) // TICKS * length_of_tick(S)
    return S[at + RECORD_TIME] + arrives - stolen + pushed_back(S, c, _since(S, c, at))


@compiled
def _catch_up_with_services(S: State, c: int, empties: int) -> None:
    """Charge a CPU for services of invalidations, one by one or, where they are alike, at once.

    They are once the CPU neither stands still nor has computed for less than a service takes: then
    each takes the whole loss.
    """
    r = row_of(c)
    first = S[S[SEEN_AT] + c]
    count = S[QUIET_CALLS] - first
    if S[r + MODE] != M_COMPUTE:
        if empties:
            empty_tlb(S, r, FULL)
        return
    alike = S[LEAST_GAP] >= 0 and (empties == 0 or refill_of(S, r, FULL) <= S[LEAST_GAP])
    k = 0
    while k < count:
        at = record_of(S, first + k)
        clock = S[at + RECORD_TIME] - S[r + PLAN_STOLEN]
        charge(S, r, clock, S[at + RECORD_SERVICE], S[at + RECORD_AFTER], empties)
        k += 1
        if k == 2 and count > 3 and alike and _computes_on(S, r, clock):
            k = count - 1
            last = S[record_of(S, first + k) + RECORD_STOLEN]
            before = record_of(S, first + k - 1)
            take_from(S, r, S[before + RECORD_STOLEN] - S[record_of(S, first + 2) + RECORD_STOLEN])
            reached = S[before + RECORD_TIME] - S[r + PLAN_STOLEN]
            if empties:
                flush_again(S, r, count - 3, reached, FULL)
            S[r + REACHED] = reached
            take_from(S, r, last - S[before + RECORD_STOLEN])


@compiled
def _computes_on(S: State, r: int, clock: int) -> bool:
    """Return whether the compute of a CPU goes on at a time on its clock, and has for long enough.

    For as long as the longest service takes: so each may hold it up as a whole.
    """
    served = clock - (S[r + SINCE] - S[r + SINCE_STOLEN])
    return S[r + REACHED] <= clock and served >= S[MOST_SERVICE]


@compiled
def retire(S: State, c: int, now: int) -> None:
    """Make history of every handler of ``c`` whose take has passed (``<=``: q is after now)."""
    if S[BEHIND]:
        catch_up(S, c)
    if in_turns(S) and S[PV_FLUSH]:
        _has_dropped(S, c, now)
    retire_known(S, c, now)


@compiled
def _has_dropped(S: State, c: int, now: int) -> None:
    """If ``c`` has dropped by now what flushes of user space left to it, make history of that."""
    r = row_of(c)
    if 0 <= S[r + DROP_END] <= now:
        drop_all(S, c, S[r + DROP_END])
        S[r + DROP_END] = NONE
