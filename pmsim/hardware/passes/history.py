"""A CPU's history: the handlers whose take has passed, which nothing can change any more.

Groups of a plan become history when the CPU is looked at, or told of another call (`retire`).
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.losses import charge, take_from
from pmsim.hardware.passes.refill import empty_tlb, flush_again, flush_tlb, refill_of
from pmsim.hardware.passes.rows import (
    cpu_of,
    entry_of,
    from_user,
    row_of,
    still_runs,
    take_of,
)
from pmsim.hardware.passes.sets import has, put_in, take_out
from pmsim.hardware.passes.turns import compiled_apart, in_turns, run_by, run_from


@compiled
def history_end(S: State, r: int) -> int:
    """Return when the last handler ends that is history."""
    return S[r + PLAN_END] if S[r + HEAD] < 0 else S[r + BASE_END]


@compiled
def unpin(S: State, r: int) -> None:
    """The first handler of a plan is none any more that was under way already."""
    S[r + PIN] = NONE
    if in_turns(S):
        S[r + PIN_PUSHED] = 0


@compiled
def history_stolen(S: State, r: int) -> int:
    """Return the time stolen by all that is history."""
    return S[r + PLAN_STOLEN] if S[r + HEAD] < 0 else S[r + BASE_STOLEN]


@compiled
def drop_all(S: State, c: int, at: int) -> None:
    """CPU ``c`` has dropped everything on its entry into the kernel, at an instant.

    With it what others have put off there before; what they put off at that very instant, or since
    then, because the entry was over as the CPU froze, waits for the next entry.
    """
    r = row_of(c)
    if not has(S, S[OWING_AT], c):
        return
    last = S[r + OWES_LAST]
    if last >= 0 and S[r + OWES_ALL_AT] == at:
        for number in range(S[r + OWES_AT_FIRST], last + 1):
            note_drop(S, -1 - c, number, number, at, at)
        last = S[r + OWES_AT_FIRST] - 1
    note_drop(S, c, S[r + OWES_FIRST], last, at, at)
    if S[r + OWES_AT] < at:
        take_out(S, S[OWING_AT], c)
    S[r + OWES_LAST] = NONE


@compiled
def note_drop(S: State, c: int, first: int, last: int, at: int, order: int) -> None:
    """Write a row of what was put off or dropped; have them taken before there is no room."""
    d = S[DROPS_AT] + S[DROPS] * DROP_ROW
    S[d + D_CPU] = c
    S[d + D_FIRST] = first
    S[d + D_LAST] = last
    S[d + D_AT] = at
    S[d + D_ORDER] = order
    S[DROPS] += 1
    if S[DROPS] >= DROPS_BUFFERED:
        S[LOG_CAP] = 0


@compiled
def _tick_is_over(S: State, c: int, at: int) -> None:
    """The function of a tick's handler ends at an instant: what the tick saw is dropped then."""
    r = row_of(c)
    S[r + TICK_WAITS] = 0
    if S[r + TICK_SEES] >= 0:
        note_drop(S, c, max(0, S[r + WAS_IDLE] - 1), NONE, at, S[r + TICK_SEES])


@compiled
def _retire_groups(S: State, c: int, now: int) -> None:
    """Move the groups whose take has passed from the plan into history, one by one."""
    r = row_of(c)
    head = S[r + HEAD]
    while head >= 0:
        e = entry_of(S, head, c)
        start = S[e + E_START]
        take = take_of(S, r, e)
        if take > now:
            break
        stolen_from = start
        if S[e + E_META] >> 32 == R_IDLE_EXIT:
            stolen_from = S[e + E_ARRIVES]
        full = 0
        done = 0
        if S[e + E_META] >> 35:
            full = FULL
            drop_all(S, c, take)
        while head >= 0:
            e = entry_of(S, head, c)
            if S[e + E_START] != start:
                break
            over = run_from(S, r, S[e + E_ACK], still_runs(S[e + E_COST]))
            # one that nobody waits for runs after others behind it
            done = max(done, over) if compiled_apart(S) else over
            if head == S[N_CPUS]:
                _tick_is_over(S, c, over)
            full |= S[e + E_COST] & FULL
            head = S[e + E_NEXT]
        if full:
            flush_tlb(S, r, run_by(S, r, start) - S[r + BASE_STOLEN], full)
        end = run_from(S, r, done, S[EXIT])
        S[r + BASE_END] = end
        S[r + BASE_STOLEN] += run_by(S, r, end) - run_by(S, r, stolen_from)
        S[r + BASE_HANDLERS] += 1
        unpin(S, r)
        if S[r + PLAN_FULL]:  # whether what is left holds a full flush is not known
            S[r + PLAN_FULL] = 0 if head < 0 else UNKNOWN
    S[r + HEAD] = head


@compiled
def is_plain(S: State, r: int, now: int) -> bool:
    """Return whether all handlers of a plan are history, and nothing hangs on when they were."""
    full = S[r + PLAN_FULL]
    if S[r + LAST_TAKE] > now:
        return False
    if full == 0:
        return True
    if full & (UNKNOWN | SWEEPS) or refill_of(S, r, full & FULL) > 0:
        return False
    return full & FROM_USER == 0 or not has(S, S[OWING_AT], cpu_of(r))


@compiled
def close_plan(S: State, r: int) -> None:
    """Make history of all handlers of a plan that is plain."""
    if S[r + PLAN_FULL]:
        empty_tlb(S, r, S[r + PLAN_FULL])
        S[r + PLAN_FULL] = 0
    S[r + HEAD] = NONE
    unpin(S, r)


@compiled
def _retire_known(S: State, c: int, now: int) -> None:
    """Make history of handlers that ``c`` knows of."""
    r = row_of(c)
    if S[r + HEAD] < 0:
        return
    if is_plain(S, r, now):
        close_plan(S, r)
        return
    full = S[r + PLAN_FULL]
    several = S[r + PLAN_HANDLERS] - S[r + BASE_HANDLERS] > 1
    if S[r + LAST_TAKE] > now or full & (UNKNOWN | SWEEPS) or several:
        _retire_groups(S, c, now)
        return
    if full & FROM_USER:
        drop_all(S, c, S[r + LAST_TAKE])
    start = S[entry_of(S, S[r + HEAD], c) + E_START]
    flush_tlb(S, r, run_by(S, r, start) - S[r + BASE_STOLEN], full & FULL)
    S[r + PLAN_FULL] = 0
    S[r + HEAD] = NONE
    unpin(S, r)


@compiled
def owe(S: State, c: int, first: int, last: int, at: int, at_first: int) -> None:
    """CPU ``c`` owes what calls to all left to it by ``at``, those from ``at_first`` on then."""
    r = row_of(c)
    if 0 <= S[r + OWES_LAST] < first - 1:  # of those in between it was none, and others were
        _owe_one_by_one(S, c)
    put_in(S, S[OWING_AT], c)
    S[r + OWES_AT] = at
    if S[r + OWES_LAST] < 0:
        S[r + OWES_FIRST] = first
        S[r + OWES_ALL_AT] = NONE
    if S[r + OWES_ALL_AT] != at:
        S[r + OWES_ALL_AT] = at
        S[r + OWES_AT_FIRST] = at_first
    S[r + OWES_LAST] = last


@compiled
def _owe_one_by_one(S: State, c: int) -> None:
    """Write what CPU ``c`` owes of calls to all others as if they had been calls to some."""
    r = row_of(c)
    at = S[r + OWES_ALL_AT]
    for number in range(S[r + OWES_FIRST], S[r + OWES_LAST] + 1):
        since = at if number >= S[r + OWES_AT_FIRST] else at - 1
        note_drop(S, -1 - c, number, number, since, since)
    S[r + OWES_LAST] = NONE


@compiled
def record_of(S: State, number: int) -> int:
    """Return where the record of a quiet event is."""
    return S[RECORDS_AT] + number % RECORDS * RECORD_ROW


@compiled
def catch_up(S: State, c: int) -> None:
    """Take the quiet events into account that there were since ``c`` was last looked at."""
    r = row_of(c)
    behind = S[QUIET_CALLS] - S[r + SEEN]
    if behind == 0:
        return
    _retire_known(S, c, S[QUIET_AT])
    kind = S[QUIET_KIND]
    if kind & LEAVES_OUT and from_user(S, r):
        first = S[QUIET_NUMBER] - behind + 1
        at_first = max(first, S[QUIET_AT_FIRST])
        owe(S, c, first, S[QUIET_NUMBER], S[QUIET_AT], at_first)
    elif kind & ~1 == QUIET_SERVED:
        _catch_up_with_services(S, r, kind - QUIET_SERVED)
    else:
        _catch_up_with_calls(S, c, behind)
    S[r + SEEN] = S[QUIET_CALLS]
    S[r + SEEN_STOLEN] = S[QUIET_STOLEN]


@compiled
def catch_up_all(S: State) -> None:
    """Let every CPU know of all quiet events so far."""
    if S[BEHIND]:
        for c in range(S[N_CPUS]):
            catch_up(S, c)
        S[BEHIND] = 0


@compiled
def _catch_up_with_calls(S: State, c: int, behind: int) -> None:
    """Take quiet calls into account.

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
    called = c - (c > i) + 1 - left_out  # up to c
    e = entry_of(S, i, c)
    q = S[QUIET_AT] + S[TRAP] + called * S[QUEUE] + left_out * S[CHECK]
    arrives = q + S[e + E_ARRIVES] - S[e + E_QUEUED]
    done = arrives + S[ENTRY] + entry + (cost >> 3)
    end = done + S[EXIT]
    if behind > 1 and (user or cost & FULL):
        _drop_behind(S, c, behind - 1, arrives - S[QUIET_AT])
    stolen = S[QUIET_STOLEN] - S[r + SEEN_STOLEN] + behind * entry
    S[e + E_QUEUED] = q
    S[e + E_ARRIVES] = arrives
    S[e + E_COST] = cost
    S[e + E_ACK] = done - still_runs(cost)
    S[e + E_START] = arrives
    S[e + E_META] = user << 35 | R_DISTANCE << 32 | S[e + E_META] & 0xFFFFFFFF
    S[e + E_NEXT] = NONE
    S[r + BASE_END] = S[r + PLAN_END]
    S[r + BASE_STOLEN] = S[r + PLAN_STOLEN] + stolen - (end - arrives)
    S[r + BASE_HANDLERS] = S[r + PLAN_HANDLERS] + behind - 1
    S[r + PLAN_END] = end
    S[r + PLAN_STOLEN] += stolen
    S[r + PLAN_HANDLERS] += behind
    S[r + PLAN_FULL] = FULL | FROM_USER if user else cost & FULL
    S[r + LAST_TAKE] = arrives + S[ENTRY] + entry
    S[r + HEAD] = i
    S[r + TAIL] = i


@compiled
def _drop_behind(S: State, c: int, count: int, arrives: int) -> None:
    """The first calls that ``c`` does not know of empty its TLB, arriving so long after they began.

    Each leaves a debt. Where it is paid before the next one comes, the sums are enough.
    """
    r = row_of(c)
    user = from_user(S, r)
    entry = S[ENTRY_FLUSH] if user else 0
    full = FULL if user else S[QUIET_COST] & FULL
    first = S[r + SEEN]
    start = S[record_of(S, first) + RECORD_TIME] + arrives
    if user:
        drop_all(S, c, start + S[ENTRY] + entry)
    flush_tlb(S, r, start - S[r + PLAN_STOLEN], full)
    paid = refill_of(S, r, full) <= S[LEAST_GAP] - entry
    paid = paid and S[r + REACHED] <= start - S[r + PLAN_STOLEN]
    for k in range(count - 1 if paid and count > 1 else 1, count):
        at = record_of(S, first + k)
        stolen = S[r + PLAN_STOLEN] + S[at + RECORD_STOLEN] - S[r + SEEN_STOLEN] + k * entry
        clock = S[at + RECORD_TIME] + arrives - stolen
        if paid:
            flush_again(S, r, count - 1, clock, full)
        else:
            flush_tlb(S, r, clock, full)


@compiled
def _catch_up_with_services(S: State, r: int, empties: int) -> None:
    """Charge a CPU for services of invalidations, one by one or, where they are alike, at once.

    They are once the CPU neither stands still nor has just begun: then each takes the whole loss.
    """
    first = S[r + SEEN]
    count = S[QUIET_CALLS] - first
    if S[r + MODE] != M_COMPUTE:
        if empties:
            empty_tlb(S, r, FULL)
        return
    alike = S[LEAST_SLACK] >= 0 and (empties == 0 or refill_of(S, r, FULL) <= S[LEAST_GAP])
    k = 0
    while k < count:
        at = record_of(S, first + k)
        clock = S[at + RECORD_TIME] - S[r + PLAN_STOLEN]
        charge(S, r, clock, S[at + RECORD_SERVICE], S[at + RECORD_AFTER], empties)
        k += 1
        if k == 2 and count > 3 and alike and S[r + REACHED] <= clock:
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
def retire(S: State, c: int, now: int) -> None:
    """Make history of every handler of ``c`` whose take has passed (``<=``: q is after now)."""
    if S[BEHIND]:
        catch_up(S, c)
    if in_turns(S) and S[PV_FLUSH]:
        _has_dropped(S, c, now)
    _retire_known(S, c, now)


@compiled
def _has_dropped(S: State, c: int, now: int) -> None:
    """If ``c`` has dropped by now what flushes of user space left to it, make history of that."""
    r = row_of(c)
    if 0 <= S[r + DROP_END] <= now:
        drop_all(S, c, S[r + DROP_END])
        S[r + DROP_END] = NONE
