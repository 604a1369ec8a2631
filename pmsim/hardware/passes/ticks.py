"""Ticks, at which CPUs sweep: they drop what others have left them a note of (`shootdown.latr`).

A tick is a call of a CPU to itself, which nobody waits for: it arrives at the instant at which it
is queued. The entries of all ticks lie side by side, as those of one more initiator, numbered
behind the last CPU: in the entry of each CPU at itself they would touch all of the memory that
there is for entries. What a tick finds is settled at its instant; what waits for the CPU then is
dropped when the function of its handler ends.
"""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import retire
from pmsim.hardware.passes.handlers import insert_sorted, plan, settle_maxima
from pmsim.hardware.passes.history import note_drop
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import entry_of, row_of


@compiled
def notes_before(S: State) -> int:
    """Return how many notes there had been in all before this instant."""
    return S[SAVES_BEFORE] if S[SAVED_AT] == S[NOW] else S[SAVES]


@compiled
def look_at_notes(S: State, r: int) -> int:
    """Return how many notes from before this instant wait for a CPU; it has seen them now."""
    new = S[r + NEW_NOTES] if S[r + NOTED_AT] == S[NOW] else 0
    notes = S[r + NOTES] - new
    S[r + NOTES] = new
    S[NOTES_WAITING] -= notes
    S[r + LOOKED_AT] = notes_before(S)
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
    for c in range(S[N_CPUS]):
        r = row_of(c)
        mode = S[r + MODE]
        if mode == M_IDLE:
            continue
        in_user_mode = mode == M_COMPUTE and S[r + COMPUTES] == DO_USER
        if S[r + ISOLATED] and in_user_mode and S[r + READY_HEAD] < 0:
            continue
        retire(S, c, S[NOW] - 1)
        tick_on(S, c)
    settle_maxima(S)


@compiled
def tick_on(S: State, c: int) -> None:
    """Queue the tick of a CPU, unless the last one still waits; its history is up to date."""
    if tick_waits(S, c):
        return
    r = row_of(c)
    e = entry_of(S, S[N_CPUS], c)
    notes = look_at_notes(S, r)
    has_some = notes > 0 or S[r + SWITCH_SEES] >= 0
    S[r + TICK_SEES] = S[r + LOOKED_AT] if has_some else NONE
    S[e + E_QUEUED] = S[NOW]
    S[e + E_ARRIVES] = S[NOW]
    S[e + E_COST] = 8 * sweep_length(S, notes)
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
        note_drop(S, -1 - c, number, number, S[NOW], S[SAVES])
    S[NOTES_WAITING] += S[row_of(i) + C_LAZY]
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
