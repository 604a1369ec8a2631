"""Deferral: isolated CPUs in user mode are left out of calls, and drop everything on their entry.

A CPU is in user mode while its task is in a stay (`IN_USER`) and no handler runs. A stay begins and
ends by steps of its task, when no handler runs; so all handlers that are planned on a CPU at any
time come from user mode, or none do, and are planned again when that changes.
"""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import retire
from pmsim.hardware.passes.catching_up_all import catch_up_all
from pmsim.hardware.passes.drops import is_frozen, owe_drop
from pmsim.hardware.passes.handlers import busy_until, revise
from pmsim.hardware.passes.history import note_drop, owe
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.quiet import put_off_quietly
from pmsim.hardware.passes.rows import row_of
from pmsim.hardware.passes.sets import first_of, has, put_in, take_out
from pmsim.hardware.passes.turns import in_turns


@compiled
def set_user(S: State, c: int, stays: int) -> None:
    """A stay in user mode begins, or is over: what is planned on the CPU is planned again."""
    r = row_of(c)
    S[r + TAKES_UP] = 0
    if S[r + IN_USER] != stays:
        S[r + IN_USER] = stays
        S[USERS] += 1 if stays else -1
        if stays:
            put_in(S, S[USERS_AT], c)
        else:
            take_out(S, S[USERS_AT], c)
        S[USER_CHANGES] += 1
        revise(S, c)


@compiled
def _handles(S: State, c: int, now: int) -> bool:
    """Return whether a handler runs on CPU ``c``, or it is dropping everything."""
    r = row_of(c)
    if not in_turns(S) and S[BEHIND] == 0 and S[r + HEAD] < 0:
        return S[r + PLAN_END] > now
    retire(S, c, now)
    if S[r + DROP_END] >= 0 and now < S[r + DROP_FROM] and S[r + DROP_ALONE]:
        return False
    return busy_until(S, c, now) > now


@compiled
def leave_out(S: State, targets: State, i: int, flags: int, quiet: bool) -> int:
    """Mark the targets that a call of ``i`` leaves out, if it is not quiet; return how many."""
    o = row_of(i)
    S[o + C_DEFERRAL] = NONE
    by_itself = S[DEFERS] >= 0 and S[DEFERS] != BY_CODE
    deferrable = by_itself and flags & (IS_FLUSH if S[DEFERS] else IS_PURGE) > 0
    paravirtual = in_turns(S) and S[PV_FLUSH] == 1 and flags & (IS_FLUSH | OF_KERNEL) == IS_FLUSH
    if not deferrable and not paravirtual:
        return 0
    if not paravirtual and S[USERS] == 0:
        return 0
    now = S[NOW]
    everyone = targets.size == 0
    if everyone and not paravirtual and S[USERS] == S[N_CPUS] - 1 and S[LATEST_END] <= now:
        S[o + C_DEFERRAL] = S[DEFERRALS]
        put_off_quietly(S, i)
        return S[USERS]
    if quiet:
        S[o + C_DEFERRAL] = S[DEFERRALS]
        return S[USERS]
    for k in range(S[LEFT_OUT_AT], S[LEFT_OUT_AT] + -(-S[N_CPUS] // SET_BITS)):
        S[k] = 0
    number = S[DEFERRALS] if everyone else -2 - S[SOME_DEFERRALS]
    if everyone and not paravirtual:
        left_out = _leave_out_users(S, i, number)
    else:
        left_out = _leave_out_some(S, targets, i, deferrable, paravirtual, number)
    if left_out == 0:
        return 0
    S[o + C_DEFERRAL] = number
    S[DEFERRALS if everyone else SOME_DEFERRALS] += 1
    return left_out


@compiled
def _leave_out_users(S: State, i: int, number: int) -> int:
    """Mark all CPUs in user mode but ``i`` that run no handler; return how many.

    They owe what the call is about, by a number.
    """
    left_out = 0
    catch_up_all(S)  # as all are looked at, here or as they are told
    c = first_of(S, S[USERS_AT], 0, S[N_CPUS])
    while c < S[N_CPUS]:
        if c != i and not _handles(S, c, S[NOW]):
            put_in(S, S[LEFT_OUT_AT], c)
            put_off(S, c, number)
            left_out += 1
        c = first_of(S, S[USERS_AT], c + 1, S[N_CPUS])
    return left_out


@compiled
def _leave_out_some(
    S: State, targets: State, i: int, deferrable: bool, paravirtual: bool, number: int
) -> int:
    """Mark targets in user mode that run no handler, and virtual ones that are frozen.

    They owe what the call is about, by a number; return how many.
    """
    left_out = 0
    everyone = targets.size == 0
    for j in range(S[N_CPUS] if everyone else targets.size):
        c = j if everyone else targets[j]
        if c == i:
            continue
        if paravirtual and is_frozen(S, c):
            owe_drop(S, c)
        elif not deferrable or not has(S, S[USERS_AT], c) or _handles(S, c, S[NOW]):
            continue
        put_in(S, S[LEFT_OUT_AT], c)
        put_off(S, c, number)
        left_out += 1
    return left_out


@compiled
def put_off(S: State, c: int, number: int) -> None:
    """CPU ``c`` owes what a call has left to it; one to all others, or (from -2 down) to some."""
    if number >= 0:
        owe(S, c, number, number, S[NOW], number)
        return
    put_in(S, S[OWING_AT], c)
    S[row_of(c) + OWES_AT] = S[NOW]
    note_drop(S, -1 - c, number, number, S[NOW], S[NOW])


@compiled
def put_off_by_code(S: State, c: int, number: int) -> None:
    """CPU ``c`` owes what a protocol's code leaves to it: on its entry, or as it runs again."""
    retire(S, c, S[NOW])
    if S[PV_FLUSH] == BY_CODE:
        owe_drop(S, c)
    put_off(S, c, number)


@compiled
def mode_of(S: State, c: int) -> int:
    """Return what CPU ``c`` does now, as others see it."""
    r = row_of(c)
    if in_turns(S) and is_frozen(S, c):
        return IS_FROZEN
    if _handles(S, c, S[NOW]):
        return IN_HANDLER
    if S[DEFERS] >= 0 and S[r + IN_USER]:
        return IN_USER_MODE
    return IS_IDLE if S[r + MODE] == M_IDLE else IN_KERNEL
