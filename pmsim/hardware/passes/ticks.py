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
from pmsim.hardware.passes.history import close_plan, is_plain, note_drop
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import entry_of, row_of
from pmsim.hardware.passes.sets import has, put_in, take_out
from pmsim.hardware.passes.shared import place_tick
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
        if not in_turns(S) and S[r + HEAD] >= 0 and is_plain(S, r, now - 1):
            close_plan(S, r)
        else:
            retire(S, c, now - 1)
        tick_on(S, c)
    S[BEHIND] = 0
    settle_maxima(S)


@compiled
def tick_on(S: State, c: int) -> None:
    """Queue the tick of a CPU, unless the last one still waits; its history is up to date."""
    r = row_of(c)
    i = S[r + HEAD]
    if i >= 0 and tick_waits(S, c):
        return
    notes = look_at_notes(S, c)
    has_some = notes > 0 or (S[SWITCHES_SEE] > 0 and S[r + SWITCH_SEES] >= 0)
    sees = S[S[LOOKS_AT] + c] if has_some else NONE
    length = sweep_length(S, notes)
    if in_turns(S) or goes_on(S) or not _is_simple(S, r):
        _plan_tick(S, c, length, sees)
        return
    e = entry_of(S, max(0, i), c)
    before = S[e + E_ACK]
    place_tick(S, c, S[NOW], length, sees)
    S[LATEST_END] = max(S[LATEST_END], S[r + PLAN_END])
    S[UNDISTURBED] = 0
    if i >= 0:
        ack = S[e + E_ACK]
        S[e + E_ACK] = before  # as far as the initiator knows
        acknowledge(S, i, c, ack)


@compiled
def _is_simple(S: State, r: int) -> bool:
    """Return whether a CPU has one open call at most, and neither window nor handler before it."""
    if S[r + HEAD] < 0:
        return S[r + FLOOR] <= max(S[NOW], S[r + PLAN_END])
    return S[r + HEAD] == S[r + TAIL] and max(S[r + FLOOR], S[r + BASE_END]) <= S[NOW]


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
    for k in range(S[row_of(i) + C_LAZY]):
        c = S[S[LAZY_AT] + i * S[N_CPUS] + k]
        r = row_of(c)
        if S[r + NOTED_AT] != S[NOW]:
            S[r + NOTED_AT] = S[NOW]
            S[r + NEW_NOTES] = 0
        S[r + NEW_NOTES] += 1
        S[r + NOTES] += 1
        S[NOTES_WAITING] += has(S, S[TICKING_AT], c)
        note_drop(S, -1 - c, number, number, S[NOW], S[SAVES])
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
