"""Ticks, at which CPUs sweep: they drop what others have left them a note of (`shootdown.latr`).

A tick is a call of a CPU to itself, which nobody waits for: it arrives at the instant at which it
is queued. The entries of all ticks lie side by side, as those of one more initiator, numbered
behind the last CPU: in the entry of each CPU at itself they would touch all of the memory that
there is for entries. What a tick finds is settled at its instant; what waits for the CPU then is
dropped when the function of its handler ends.
"""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import (
    catch_up,
    catch_up_for_good,
    note_seen,
    retire,
)
from pmsim.hardware.passes.handlers import acknowledge, insert_sorted, plan, settle_maxima
from pmsim.hardware.passes.history import (
    close_plan,
    is_plain,
    is_to_come,
    note_drop,
    retire_known,
)
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import caller, entry_of, row_of, still_runs
from pmsim.hardware.passes.sets import first_of, has, put_in, take_out
from pmsim.hardware.passes.shared import (
    place_behind,
    place_first,
    place_tick,
    tick_is_first,
    write_tick,
)
from pmsim.hardware.passes.turns import goes_on, in_turns


@compiled
def notes_before(S: State) -> int:
    """Return how many notes there had been in all before this instant."""
    return S[SAVES_BEFORE] if S[SAVED_AT] == S[NOW] else S[SAVES]


@compiled
def begin_ticks(S: State, c: int) -> None:
    """From now on ticks come to a CPU, if none did."""
    if has(S, S[TICKING_AT], c) == 0:
        if S[BEHIND]:
            catch_up(S, c)
            note_seen(S, c)  # what others have shared meanwhile says nothing of it
        put_in(S, S[TICKING_AT], c)
        S[UNTICKED] -= 1
        S[NOTES_WAITING] += S[row_of(c) + NOTES]


@compiled
def end_ticks(S: State, c: int) -> None:
    """From now on no ticks come to a CPU: it is idle, or isolated and one program has it."""
    if S[BEHIND]:
        catch_up(S, c)
    take_out(S, S[TICKING_AT], c)
    S[UNTICKED] += 1
    S[NOTES_WAITING] -= S[row_of(c) + NOTES]


@compiled
def look_at_notes(S: State, c: int) -> int:
    """Return how many notes from before this instant wait for a CPU; it has seen them now."""
    S[S[LOOKS_AT] + c] = notes_before(S)
    if S[NOTES_WAITING] == 0:
        return 0
    r = row_of(c)
    new = S[r + NEW_NOTES] if S[r + NOTED_AT] == S[NOW] else 0
    notes = S[r + NOTES] - new
    S[r + NOTES] = new
    S[NOTES_WAITING] -= notes
    return notes


@compiled
def sweep_length(S: State, notes: int) -> int:
    """Return how long a CPU looks into the rings of all, and drops what so many notes are about."""
    return S[N_CPUS] * S[SCAN] + notes * S[SWEEP]


@compiled
def tick_waits(S: State, c: int) -> bool:
    """Return whether a tick of a CPU stands in its queue, of which no history is left there."""
    k = S[row_of(c) + HEAD]
    while k >= 0:
        if k == S[N_CPUS]:
            return True
        k = S[entry_of(S, k, c) + E_NEXT]
    return False


@compiled
def tick_one_by_one(S: State) -> None:
    """A tick comes to every CPU that is busy."""
    behind = S[BEHIND]
    now = S[NOW]
    for c in range(S[N_CPUS]):
        at = S[SEEN_AT] + c
        if at < 0 or at > FAR:
            break  # never happens, as in `calls.send`
        if behind and S[at] != S[QUIET_CALLS]:
            catch_up_for_good(S, c, S[at])
            S[at] = S[QUIET_CALLS]
        r = row_of(c)
        if r < 0 or r > FAR:
            break  # never happens, as in `calls.send`
        if has(S, S[TICKING_AT], c) == 0:
            continue
        if in_turns(S):
            retire(S, c, now - 1)
        elif S[r + HEAD] >= 0:
            if is_plain(S, r, now - 1):
                close_plan(S, r)
            elif not is_to_come(S, r, now - 1):
                retire_known(S, c, now - 1)
        tick_on(S, c)
    S[BEHIND] = 0
    settle_maxima(S)


@compiled
def tick_on(S: State, c: int) -> None:
    """Queue the tick of a CPU, unless the last one still waits; its history is up to date."""
    before = _last_before(S, c)
    if before == S[N_CPUS]:
        return
    r = row_of(c)
    notes = look_at_notes(S, c)
    has_some = notes > 0 or (S[SWITCHES_SEE] > 0 and S[r + SWITCH_SEES] >= 0)
    sees = S[S[LOOKS_AT] + c] if has_some else NONE
    length = sweep_length(S, notes)
    if in_turns(S) or goes_on(S) or not _place(S, c, before, length, sees):
        _plan_tick(S, c, length, sees)
        return
    S[LATEST_END] = max(S[LATEST_END], S[r + PLAN_END])
    S[UNDISTURBED] = 0


@compiled
def _last_before(S: State, c: int) -> int:
    """Return the last call that stands before a tick now in the queue of a CPU; `NONE` without any.

    A tick of its own that is still there does.
    """
    before = NONE
    k = S[row_of(c) + HEAD]
    while k >= 0:
        e = entry_of(S, k, c)
        if e < 0 or e > FAR:
            break  # never happens, as in `calls.send`
        if tick_is_first(S, c, caller(S, k, c), S[e + E_QUEUED], S[NOW]):
            break
        before = k
        if k == S[N_CPUS]:
            break
        k = S[e + E_NEXT]
    return before


@compiled
def _place(S: State, c: int, before: int, length: int, sees: int) -> bool:
    """Plan a tick where little changes by it; return False, and do nothing, where more may.

    Calls before it are in one handler, which takes it along; or none is, and it has a handler of
    its own that is over before the next one begins, or that there is at most one call for.
    """
    r = row_of(c)
    now = S[NOW]
    if r < 0 or r > FAR:
        return True  # never happens, as in `calls.send`
    if before >= 0:
        if S[r + PLAN_HANDLERS] != S[r + BASE_HANDLERS] + 1:
            return False
        _place_into(S, c, before, length, sees)
        return True
    if S[r + HEAD] < 0:
        if S[r + FLOOR] > max(now, S[r + PLAN_END]):
            return False
        place_behind(S, c, now, length, sees)
        return True
    if max(S[r + FLOOR], S[r + BASE_END]) > now:
        return False
    i = S[r + HEAD]
    e = entry_of(S, i, c)
    end = now + S[ENTRY] + length + S[EXIT]
    ack = S[e + E_ACK]
    if S[e + E_QUEUED] > now + S[ENTRY] and S[e + E_START] == S[e + E_ARRIVES] >= end:
        place_first(S, c, now, length, sees)
    elif i == S[r + TAIL]:
        place_tick(S, c, now, length, sees)
        later = S[e + E_ACK]
        S[e + E_ACK] = ack  # as far as the initiator knows
        acknowledge(S, i, c, later)
    else:
        return False
    return True


@compiled
def _place_into(S: State, c: int, before: int, length: int, sees: int) -> None:
    """Plan a tick behind a call in the one handler that is planned."""
    r = row_of(c)
    e = entry_of(S, before, c)
    if r < 0 or r > FAR or e < 0 or e > FAR:
        return  # never happens, as in `calls.send`
    done = S[e + E_ACK] + still_runs(S[e + E_COST]) + length
    tick = write_tick(S, c, S[NOW], S[e + E_START], R_RIDE, done, length, sees)
    k = S[e + E_NEXT]
    S[tick + E_NEXT] = k
    S[e + E_NEXT] = S[N_CPUS]
    if k < 0:
        S[r + TAIL] = S[N_CPUS]
    if sees >= 0:
        S[r + PLAN_FULL] |= SWEEPS
    S[r + PLAN_END] += length
    S[r + PLAN_STOLEN] += length
    while k >= 0:
        e = entry_of(S, k, c)
        acknowledge(S, k, c, S[e + E_ACK] + length)
        k = S[e + E_NEXT]


@compiled
def _plan_tick(S: State, c: int, length: int, sees: int) -> None:
    """Plan a tick between calls, or behind a window."""
    r = row_of(c)
    e = entry_of(S, S[N_CPUS], c)
    S[e + E_SEES] = sees
    S[e + E_QUEUED] = S[NOW]
    S[e + E_ARRIVES] = S[NOW]
    S[e + E_COST] = 8 * length
    S[e + E_META] = 0
    if S[r + HEAD] < 0:
        S[r + BASE_END] = S[r + PLAN_END]
        S[r + BASE_STOLEN] = S[r + PLAN_STOLEN]
        S[r + BASE_HANDLERS] = S[r + PLAN_HANDLERS]
    insert_sorted(S, c, S[N_CPUS])
    plan(S, c)


@compiled
def leave_notes(S: State, i: int, number: int) -> None:
    """What CPU ``i`` has freed is noted for all whom it concerns."""
    if S[SAVED_AT] != S[NOW]:
        S[SAVED_AT] = S[NOW]
        S[SAVES_BEFORE] = S[SAVES]
    lazy = S[LAZY_AT] + i * (S[RING_ROW] - 1)
    c = first_of(S, lazy, 0, S[N_CPUS])
    while c < S[N_CPUS]:
        r = row_of(c)
        if S[r + NOTED_AT] != S[NOW]:
            S[r + NOTED_AT] = S[NOW]
            S[r + NEW_NOTES] = 0
        S[r + NEW_NOTES] += 1
        S[r + NOTES] += 1
        S[NOTES_WAITING] += has(S, S[TICKING_AT], c)
        note_drop(S, -1 - c, number, number, S[NOW], S[SAVES])
        c = first_of(S, lazy, c + 1, S[N_CPUS])
    S[row_of(i) + LATEST_NOTE] = S[SAVES]
    S[SAVES] += 1


@compiled
def has_swept(S: State, c: int) -> None:
    """A switch that began by looking at the notes is over."""
    r = row_of(c)
    if S[r + SWITCH_SEES] >= 0:
        note_drop(S, c, S[r + IDLE_FROM], NONE, S[NOW], S[r + SWITCH_SEES])
        S[r + SWITCH_SEES] = NONE
        S[SWITCHES_SEE] -= 1
