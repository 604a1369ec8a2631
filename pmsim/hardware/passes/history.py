"""A CPU's history: the handlers whose take has passed, which nothing can change any more.

Groups of a plan become history when the CPU is looked at, or told of another call
(`catching_up.retire`).
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.refill import empty_tlb, flush_tlb, refill_of
from pmsim.hardware.passes.rows import (
    cpu_of,
    entry_of,
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
    sees = S[entry_of(S, S[N_CPUS], c) + E_SEES]
    if sees >= 0:
        note_drop(S, c, max(0, S[row_of(c) + WAS_IDLE] - 1), NONE, at, sees)


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
def is_to_come(S: State, r: int, now: int) -> bool:
    """Return whether no handler of a plan is history, there being but one."""
    return S[r + LAST_TAKE] > now and S[r + PLAN_HANDLERS] == S[r + BASE_HANDLERS] + 1


@compiled
def retire_known(S: State, c: int, now: int) -> None:
    """Make history of handlers that ``c`` knows of.

    Passes over many CPUs ask first whether this is all of them (`is_plain`) or none (`is_to_come`).
    """
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
