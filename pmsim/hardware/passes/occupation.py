"""What a CPU's task is occupied with: since when, and how much CPU time it takes."""

from __future__ import annotations

from pmsim.hardware.passes.calendar import file_step
from pmsim.hardware.passes.deferral import set_user
from pmsim.hardware.passes.handlers import begun_by, revise, stolen_by
from pmsim.hardware.passes.history import history_stolen
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.refill import kernel_debt
from pmsim.hardware.passes.rows import row_of
from pmsim.hardware.passes.sets import put_in, take_out
from pmsim.hardware.passes.ticks import begin_ticks, end_ticks
from pmsim.hardware.passes.turns import in_turns, run_by, run_from


@compiled
def occupy(S: State, c: int, mode: int, need: int) -> None:
    """Begin an occupation of the CPU that takes ``need`` of its time."""
    r = row_of(c)
    S[r + MODE] = mode
    S[r + SINCE] = S[NOW]
    S[r + SINCE_STOLEN] = history_stolen(S, r)
    S[r + NEED] = need


@compiled
def begin_idleness(S: State, c: int, stolen: int) -> None:
    """No task is left on ``c``, ``stolen`` being what was stolen before now."""
    r = row_of(c)
    S[r + MODE] = M_IDLE
    S[r + SINCE] = S[NOW]
    S[r + SINCE_STOLEN] = stolen
    S[r + IDLE_SINCE] = S[NOW]
    if S[TICK] > 0:
        S[r + WAS_IDLE] = S[NOW] + 1
        end_ticks(S, c)
    S[IDLE_CPUS] += 1
    put_in(S, S[IDLING_AT], c)
    S[r + WOKEN] -= begun_by(S, c, S[NOW])


@compiled
def end_idleness(S: State, c: int) -> None:
    """A task is there again; what handlers took of ``c`` meanwhile, they took from nobody."""
    r = row_of(c)
    S[r + IDLE_SINCE] = NONE
    if S[TICK] > 0:
        begin_ticks(S, c)
    S[IDLE_CPUS] -= 1
    take_out(S, S[IDLING_AT], c)
    S[r + AWAKE] += stolen_by(S, c, S[NOW]) - S[r + SINCE_STOLEN]
    S[r + WOKEN] += begun_by(S, c, S[NOW])


@compiled
def own_time(S: State, r: int) -> int:
    """Return the time of the present occupation so far, less what was stolen from it."""
    ran = run_by(S, r, S[NOW]) - run_by(S, r, S[r + SINCE])
    return ran - (history_stolen(S, r) - S[r + SINCE_STOLEN])


@compiled
def irqs_off_of(S: State, r: int) -> int:
    """Return for how long an initiator keeps interrupts off from the start of its call on."""
    ran = run_by(S, r, S[r + C_LOCAL_END]) - run_by(S, r, S[r + C_START])
    return ran - S[r + C_PUSHED] if in_turns(S) else ran


@compiled
def begin_compute(S: State, c: int, work: int, kind: int) -> int:
    """Start or continue the current task's compute, debt first; return 0 if it takes no time.

    The kernel's work pays what the CPU owes for the kernel's entries, any other the task's debt.
    """
    r = row_of(c)
    t = S[TASKS_AT] + S[r + CURRENT] * TASK_ROW
    at_turn = 0
    if kind == DO_USER and S[DEFERS] >= 0 and S[r + ISOLATED]:
        if S[t + T_COMPUTING]:  # one that was cut short is taken up at the CPU's next turn
            S[r + TAKES_UP] = at_turn = 1
        else:
            set_user(S, c, 1)
    if kind == DO_KERNEL:
        debt = kernel_debt(S, r)
        S[r + FLUSHES] &= ~1
        S[r + KERNEL_DEBT] = 0
        S[r + OWED] = 2 * S[KERNEL_REFILL] + 1
    else:
        debt = S[t + T_REFILL] if S[t + T_EPOCH] < S[r + FLUSHES] else S[t + T_DEBT]
        S[t + T_EPOCH] = S[r + FLUSHES] | 1
        S[t + T_DEBT] = 0
        S[r + OWED] = 2 * S[t + T_REFILL]
    S[t + T_COMPUTING] = 0
    if debt + work == 0:
        return 0
    occupy(S, c, M_COMPUTE, debt + work)
    S[r + COMPUTES] = kind
    if S[TICK] > 0 and kind == DO_USER and S[r + ISOLATED] and S[r + READY_HEAD] < 0:
        end_ticks(S, c)
    S[r + DEBT] = debt
    S[r + DEBT_AT] = 0
    need = S[r + NEED]
    if S[r + READY_HEAD] >= 0 and S[r + PREEMPT_COUNT] == 0:
        need = min(need, max(0, S[QUANTUM] - S[r + USED]))
    file_step(S, c, S[NOW] if at_turn else run_from(S, r, S[NOW], need))
    return 1


@compiled
def begin_window(S: State, c: int, mode: int, length: int) -> None:
    """Interrupts off for ``length`` from now on; a task's own do not hold the firmware off."""
    r = row_of(c)
    occupy(S, c, mode, length)
    end = run_from(S, r, S[NOW], length)
    if mode == M_CALL or S[HELD_OFF]:
        S[r + FLOOR] = end
        if mode != M_CALL:  # whose end is not before: `IN_FLIGHT` tells
            S[LATEST_FLOOR] = max(S[LATEST_FLOOR], S[r + FLOOR])
        S[r + FLOOR_REASON] = R_IRQS_OFF
        revise(S, c)
    file_step(S, c, end)
