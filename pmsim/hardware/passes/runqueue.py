"""Tasks that take turns on a CPU: sleeping, runnable, chosen, switched in, preempted."""

from __future__ import annotations

from pmsim.hardware.passes.calendar import file_step
from pmsim.hardware.passes.catching_up import retire
from pmsim.hardware.passes.deferral import set_user
from pmsim.hardware.passes.handlers import busy_until, exit_latency, revise, stolen_by
from pmsim.hardware.passes.history import drop_all, history_end, history_stolen
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.occupation import (
    begin_compute,
    begin_idleness,
    begin_window,
    end_idleness,
    occupy,
    own_time,
)
from pmsim.hardware.passes.refill import empty_tlb
from pmsim.hardware.passes.rows import cpu_of, entry_of, row_of
from pmsim.hardware.passes.ticks import (
    begin_ticks,
    has_swept,
    look_at_notes,
    sweep_length,
    tick_waits,
)
from pmsim.hardware.passes.turns import idle_from, next_run, run_by, run_from


@compiled
def enqueue(S: State, r: int, task: int) -> None:
    """Put a task at the tail of the run queue."""
    t = S[TASKS_AT] + task * TASK_ROW
    S[t + T_NEXT] = NONE
    if S[r + READY_HEAD] < 0:
        S[r + READY_HEAD] = task
        if S[TICK] > 0 and S[r + MODE] == M_COMPUTE:
            begin_ticks(S, cpu_of(r))
    else:
        S[S[TASKS_AT] + S[r + READY_TAIL] * TASK_ROW + T_NEXT] = task
    S[r + READY_TAIL] = task


@compiled
def sleep_until(S: State, task: int, time: int) -> None:
    """Put a task among the sleepers of its CPU, in the order of (time, number).

    What is due while the CPU is frozen is due when it next runs.
    """
    tasks = S[TASKS_AT]
    t = tasks + task * TASK_ROW
    r = row_of(S[t + T_CPU])
    time = next_run(S, r, time)
    S[t + T_WAKE] = time
    before = NONE
    k = S[r + SLEEP_HEAD]
    while k >= 0:
        other = tasks + k * TASK_ROW
        if S[other + T_WAKE] > time or (
            S[other + T_WAKE] == time and S[other + T_NUMBER] > S[t + T_NUMBER]
        ):
            break
        before = k
        k = S[other + T_NEXT]
    S[t + T_NEXT] = k
    if before < 0:
        S[r + SLEEP_HEAD] = task
    else:
        S[tasks + before * TASK_ROW + T_NEXT] = task


@compiled
def switched_in(S: State, c: int) -> None:
    """The chosen task has the CPU: it goes on computing, or takes its next step."""
    r = row_of(c)
    if S[TICK] > 0:
        has_swept(S, c)
    t = S[TASKS_AT] + S[r + CURRENT] * TASK_ROW
    kind = S[t + T_COMPUTING]
    if kind and begin_compute(S, c, S[t + T_WORK], kind):
        return
    S[r + MODE] = M_STEP
    file_step(S, c, S[NOW])


@compiled
def _sweep(S: State, c: int, is_other: int) -> int:
    """Return how long a CPU sweeps before it runs a task, another one or after it was idle."""
    r = row_of(c)
    if not is_other and S[r + WAS_IDLE] == 0:
        return 0
    S[r + IDLE_FROM] = max(0, S[r + WAS_IDLE] - 1)
    S[r + WAS_IDLE] = 0
    notes = look_at_notes(S, c)
    if notes > 0 or tick_waits(S, c):
        S[r + SWITCH_SEES] = S[S[LOOKS_AT] + c]
        S[SWITCHES_SEE] += 1
    return sweep_length(S, notes)


@compiled
def choose(S: State, c: int) -> None:
    """Take the head of the run queue; switching to another task than the last costs time."""
    r = row_of(c)
    task = S[r + READY_HEAD]
    S[r + READY_HEAD] = S[S[TASKS_AT] + task * TASK_ROW + T_NEXT]
    S[r + CURRENT] = task
    S[r + USED] = 0
    last = S[r + LAST_TASK]
    S[r + LAST_TASK] = task
    is_other = last >= 0 and last != task
    length = S[CONTEXT_SWITCH] if is_other else 0
    if S[TICK] > 0:
        length += _sweep(S, c, is_other)
    if length > 0:
        occupy(S, c, M_SWITCH, length)
        file_step(S, c, run_from(S, r, S[NOW], length))
    else:
        switched_in(S, c)


@compiled
def note_unsettled(S: State, note: int) -> None:
    """Note what sends spinners to sleep; see `layout.UNSETTLED`."""
    S[S[UNSETTLED_AT] + S[UNSETTLED]] = note
    S[UNSETTLED] += 1


@compiled
def _stop(S: State, r: int) -> None:
    """The current task stops running: if others spin for a mutex of its own, that is noted."""
    if S[S[TASKS_AT] + S[r + CURRENT] * TASK_ROW + T_SPUN] > 0:
        note_unsettled(S, 2 * S[r + CURRENT])


@compiled
def leave_cpu(S: State, c: int) -> None:
    """The current task gives the CPU up: the next one takes it, or it goes idle."""
    r = row_of(c)
    _stop(S, r)
    S[r + CURRENT] = NONE
    if S[r + READY_HEAD] >= 0:
        choose(S, c)
        return
    begin_idleness(S, c, history_stolen(S, r))
    revise(S, c)
    file_step(S, c, INF)


@compiled
def put_to_sleep(S: State, c: int) -> None:
    """The task that spins for a mutex on ``c`` falls asleep, perhaps below a handler.

    A handler that runs or starts now stays as it is; the next task is chosen, or idleness begins,
    at its end. On a CPU that is frozen that happens when it next runs.
    """
    r = row_of(c)
    now = S[NOW]
    retire(S, c, now)
    stolen = stolen_by(S, c, now)
    ran = run_by(S, r, now) - run_by(S, r, S[r + SINCE])
    spun = ran - (stolen - S[r + SINCE_STOLEN])
    S[r + SPIN] += spun
    S[r + LOCK_SPIN] += spun
    busy = max(busy_until(S, c, now), next_run(S, r, now))
    if busy == now:
        leave_cpu(S, c)
        return
    _stop(S, r)
    S[r + CURRENT] = NONE
    head = S[r + HEAD]
    if head >= 0 and S[entry_of(S, head, c) + E_START] <= now:
        e = entry_of(S, head, c)
        S[r + PIN] = S[e + E_START] * 8 + (S[e + E_META] >> 32)
    is_idle = S[r + READY_HEAD] < 0
    if is_idle:
        begin_idleness(S, c, stolen)
    else:
        S[r + MODE] = M_READY
        S[r + SINCE] = now
        S[r + SINCE_STOLEN] = stolen
    revise(S, c)
    file_step(S, c, INF if is_idle else busy)


@compiled
def runs(S: State, task: int) -> int:
    """Return 1 if a task has its CPU, 0 if it sleeps or is merely runnable.

    A switch that belongs to this instant's interrupt work is made at the CPU's turn (`choose`):
    whom it will bring in runs already.
    """
    c = S[S[TASKS_AT] + task * TASK_ROW + T_CPU]
    r = row_of(c)
    if S[r + CURRENT] == task:
        return 1
    if (S[r + MODE] != M_READY and S[r + MODE] != M_WAKE) or S[r + READY_HEAD] != task:
        return 0
    retire(S, c, S[NOW])
    if next_run(S, r, S[NOW]) > S[NOW]:
        return 0
    return 1 if S[r + FLOOR] <= S[NOW] and busy_until(S, c, S[NOW]) == S[NOW] else 0


@compiled
def wake_cpu(S: State, c: int) -> None:
    """A task has become runnable on a CPU without one."""
    r = row_of(c)
    now = S[NOW]
    retire(S, c, now)
    end = history_end(S, r)
    idle_since = S[r + IDLE_SINCE]
    idle = idle_from(S, r, end)
    end_idleness(S, c)
    S[r + MODE] = M_READY
    due = now
    head = S[r + HEAD]
    if end > now:
        due = end
    elif head >= 0 and S[entry_of(S, head, c) + E_ARRIVES] <= now:
        # a wake-up or handler that is under way stays as it is
        e = entry_of(S, head, c)
        S[r + PIN] = S[e + E_START] * 8 + (S[e + E_META] >> 32)
        due = max(now, S[e + E_START])
        S[r + FLOOR] = due
        S[LATEST_FLOOR] = max(S[LATEST_FLOOR], due)
        S[r + FLOOR_REASON] = R_WAKING
    elif idle < now or idle == idle_since:
        latency = exit_latency(S, now - idle)
        if latency > 0:
            due = run_from(S, r, now, latency)
            S[r + MODE] = M_WAKE
            S[r + FLOOR] = due
            S[LATEST_FLOOR] = max(S[LATEST_FLOOR], due)
            S[r + FLOOR_REASON] = R_WAKING
    revise(S, c)
    file_step(S, c, due)


@compiled
def _preempt_compute(S: State, c: int, served: int) -> None:
    """The quantum is over in the middle of a compute: to the tail, with what is left to do."""
    r = row_of(c)
    task = S[r + CURRENT]
    t = S[TASKS_AT] + task * TASK_ROW
    debt = max(0, S[r + DEBT] - (served - S[r + DEBT_AT]))
    S[r + REFILL] += S[r + DEBT] - debt
    S[r + BUSY] += served
    if S[r + COMPUTES] == DO_KERNEL:
        S[r + KERNEL_DEBT] = debt
    else:
        S[t + T_DEBT] = debt
    S[t + T_WORK] = S[r + NEED] - served - debt
    S[t + T_COMPUTING] = S[r + COMPUTES]
    _go_to_tail(S, c)


@compiled
def _go_to_tail(S: State, c: int) -> None:
    """The current task makes way for others, after an entry where it was in user mode."""
    r = row_of(c)
    if S[r + IN_USER]:
        S[r + TO_TAIL] = 1
        if enter_kernel(S, c) == 0:
            return
        S[r + TO_TAIL] = 0
    task = S[r + CURRENT]
    _stop(S, r)
    enqueue(S, r, task)
    choose(S, c)


@compiled
def enter_kernel(S: State, c: int) -> int:
    """The task leaves user mode: everything is dropped in a window, or at once: then return 1."""
    set_user(S, c, 0)
    if S[ENTRY_FLUSH] == 0:
        _has_entered(S, c, S[NOW])
        return 1
    begin_window(S, c, M_ENTRY, S[ENTRY_FLUSH])
    return 0


@compiled
def _has_entered(S: State, c: int, at: int) -> None:
    drop_all(S, c, at)
    empty_tlb(S, row_of(c), FULL)


@compiled
def entered(S: State, c: int) -> int:
    """All is dropped: return 1 if the task steps now, 0 if it makes way for others."""
    r = row_of(c)
    S[r + IRQS_OFF] += S[r + NEED]
    _has_entered(S, c, S[r + FLOOR])
    S[r + MODE] = M_STEP
    if S[r + TO_TAIL] == 0:
        return 1
    S[r + TO_TAIL] = 0
    _go_to_tail(S, c)
    return 0


@compiled
def look_compute(S: State, c: int) -> int:
    """The compute, or the quantum, may be over."""
    r = row_of(c)
    if S[DEFERS] >= 0 and S[r + TAKES_UP]:
        set_user(S, c, 1)
    stands_still = S[r + REACHED] - (run_by(S, r, S[NOW]) - history_stolen(S, r))
    if stands_still > 0:
        file_step(S, c, run_from(S, r, S[NOW], stands_still))
        return 0
    served = own_time(S, r)
    left = S[r + NEED] - served
    if left <= 0:
        if S[TICK] > 0:
            begin_ticks(S, c)
        S[r + REFILL] += S[r + DEBT]
        S[r + USED] += S[r + NEED]
        S[r + BUSY] += S[r + NEED]
        S[r + MODE] = M_STEP
        return 1
    if S[r + READY_HEAD] >= 0 and S[r + PREEMPT_COUNT] == 0:
        slice_left = S[QUANTUM] - S[r + USED] - served
        if slice_left <= 0:
            _preempt_compute(S, c, served)
            return 0
        left = min(left, slice_left)
    file_step(S, c, run_from(S, r, S[NOW], left))
    return 0


@compiled
def quantum_is_over(S: State, c: int) -> int:
    """Between two steps: a task whose quantum is over goes to the tail while others can run."""
    r = row_of(c)
    if S[r + READY_HEAD] < 0 or S[r + USED] < S[QUANTUM] or S[r + PREEMPT_COUNT] > 0:
        return 0
    t = S[TASKS_AT] + S[r + CURRENT] * TASK_ROW
    S[t + T_COMPUTING] = 0
    S[t + T_USER] = S[r + IN_USER]
    retire(S, c, S[NOW])
    _go_to_tail(S, c)
    return 1
