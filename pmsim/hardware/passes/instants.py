"""What happens at an instant: interrupt work first, then the steps of tasks, by ascending CPU."""

from __future__ import annotations

from pmsim.hardware.passes.calendar import file_at, file_step, lowest
from pmsim.hardware.passes.calls import look_call
from pmsim.hardware.passes.catching_up import retire
from pmsim.hardware.passes.deferral import set_user
from pmsim.hardware.passes.handlers import busy_until
from pmsim.hardware.passes.invalidations import await_fence, repeat_sync, serve_due
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.log import log_fence
from pmsim.hardware.passes.occupation import own_time
from pmsim.hardware.passes.quiet_ticks import tick
from pmsim.hardware.passes.rows import row_of
from pmsim.hardware.passes.runqueue import (
    choose,
    enqueue,
    entered,
    look_compute,
    note_unsettled,
    switched_in,
    wake_cpu,
)
from pmsim.hardware.passes.turns import run_from


@compiled
def _timers(S: State, c: int) -> None:
    """Queue the sleepers of ``c`` whose time has come; then look at who has the CPU."""
    r = row_of(c)
    tasks = S[TASKS_AT]
    if S[r + MODE] == M_ADAPTIVE:  # somebody comes: only a sleeper's time is filed here
        note_unsettled(S, 2 * S[r + CURRENT] + 1)
    while S[r + SLEEP_HEAD] >= 0 and S[tasks + S[r + SLEEP_HEAD] * TASK_ROW + T_WAKE] <= S[NOW]:
        task = S[r + SLEEP_HEAD]
        S[r + SLEEP_HEAD] = S[tasks + task * TASK_ROW + T_NEXT]
        enqueue(S, r, task)
    if S[r + MODE] == M_FENCE and S[r + C_PHASE] == 0 and S[r + I_SERVED] <= S[NOW]:
        serve_due(S, c)
    if S[r + MODE] == M_IDLE:
        wake_cpu(S, c)
    else:
        file_step(S, c, S[NOW])  # whatever it does: look again, its instant is found anew


@compiled
def _go_on_in_user_mode(S: State, c: int) -> None:
    """A task that went to the tail in user mode, between two steps, is there again."""
    r = row_of(c)
    t = S[TASKS_AT] + S[r + CURRENT] * TASK_ROW
    if S[t + T_USER]:
        S[t + T_USER] = 0
        set_user(S, c, 1)


@compiled
def _look(S: State, c: int) -> int:
    """CPU ``c`` is due: return 1 if its task takes a step now, 0 if it has been filed again."""
    r = row_of(c)
    now = S[NOW]
    mode = S[r + MODE]
    if mode == M_IDLE or mode == M_ADAPTIVE or (mode == M_SPINLOCK and S[r + NEED] > now):
        file_step(S, c, S[r + NEED] if mode == M_SPINLOCK else INF)
        return 0
    if mode == M_FENCE and S[r + NEED] > now:
        await_fence(S, c)
        return 0
    retire(S, c, now)
    busy = busy_until(S, c, now)
    if busy > now:
        file_step(S, c, busy)
        return 0
    if mode == M_STEP:
        if S[DEFERS] >= 0:
            _go_on_in_user_mode(S, c)
        return 1
    if mode == M_COMPUTE:
        return look_compute(S, c)
    if mode == M_CALL:
        return look_call(S, c)
    if mode == M_SWITCH or mode == M_WINDOW or mode == M_ENTRY:
        left = S[r + NEED] - own_time(S, r)
        if left > 0:
            file_step(S, c, run_from(S, r, now, left))
            return 0
        if mode == M_SWITCH:
            S[r + BUSY] += S[r + NEED]
            switched_in(S, c)
            return 0
        if mode == M_ENTRY:
            return entered(S, c)
        S[r + IRQS_OFF] += S[r + NEED]
        S[r + MODE] = M_STEP
        return 1
    if mode == M_SPINLOCK or mode == M_FENCE:
        S[r + SPIN] += own_time(S, r)
        if mode == M_SPINLOCK:
            S[r + LOCK_SPIN] += own_time(S, r)
        if mode == M_FENCE and repeat_sync(S, c):
            return 0
        S[r + MODE] = M_STEP
        if mode == M_FENCE:
            log_fence(S, c)
        return 1
    if S[r + FLOOR] > now:  # still waking
        file_step(S, c, S[r + FLOOR])
        return 0
    S[r + IDLE] += own_time(S, r)
    choose(S, c)
    return 0


@compiled
def advance(S: State) -> int:
    """Go on to the next task step before the limit and return its task, or why there is none yet.

    That is `NOTHING`, `LOG_FULL`, `SETTLE` or `GO_ON`.
    """
    if S[LOG_ROWS] >= S[LOG_CAP]:
        return LOG_FULL
    for _ in range(MOST_LOOKS):
        key = S[S[TREE_AT] + 1]
        ticks = S[NEXT_TICK] <= key and (key < INF or S[TICKS_GO_ON])
        if ticks:
            key = S[NEXT_TICK]
        if S[UNSETTLED] > 0 and key > 2 * S[NOW]:
            return SETTLE
        if key >= S[LIMIT]:
            return NOTHING
        S[NOW] = key >> 1
        if ticks:
            tick(S)
            if S[LOG_ROWS] >= S[LOG_CAP]:
                return LOG_FULL
            continue
        c = lowest(S)
        if key & 1 == 0:
            _timers(S, c)
        elif _look(S, c):
            file_at(S, c, INF)
            return S[row_of(c) + CURRENT]
    return GO_ON
