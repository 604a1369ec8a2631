"""The compiled loops of the fabric: every rule of the machine-model page, over one flat array.

The whole state of a machine is one ``int64`` array ``S``: a header, a row per CPU, a row per task,
a tournament tree over the CPUs' next instants, an entry per (initiator, target), and a buffer of
finished cross-calls. Rows are addressed by arithmetic: one array and a few integers are what a
compiled function is passed fastest.

Three ideas carry the speed; `docs/machine-model.md` derives them.

* *Handlers are planned, not simulated.* Everything a call does to a target is known when it starts,
  so a CPU's handlers are a recurrence over its open entries (`_plan`). Groups whose take has passed
  are history (`_retire`); what is open is planned again when the CPU's own state changes.
* *The visit is a maximum.* A call ends at ``total line + max(l, max(ack - prefix))``.
* *An instant in the tree is a lower bound.* `_look` verifies it when it is due, and files it again
  where handlers have pushed it back.

All compiled code lives in this module so that the cache on disk is invalidated as a whole. With
``NUMBA_DISABLE_JIT=1`` the same functions run as plain Python, for debugging and coverage.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from numba import njit

State = npt.NDArray[Any]
Codes = npt.NDArray[np.uint8]

F = TypeVar("F", bound=Callable[..., Any])


def compiled(signature: str) -> Callable[[F], F]:
    """Compile a function ahead of its first call, or load it from the cache on disk.

    Without reference counts (``_nrt``): no function here makes an array, and calls between them
    become free.
    """
    options: Any = {"cache": True, "error_model": "numpy", "_nrt": False}
    decorate: Any = njit(signature, **options)
    return decorate


INF = 1 << 62
HORIZON = INF // 2  # what is later never happens, and may stand for any later time
NONE = -1
PPM = 1_000_000

# --- header ---------------------------------------------------------------------------------------
NOW, LIMIT, N_CPUS, SERIAL = 0, 1, 2, 3
QUEUE, SEND, FANOUT, ENTRY, EXIT = 4, 5, 6, 7, 8
QUANTUM, SWITCH_COST = 9, 10
N_IDLE, IDLE_AT = 11, 12  # idle states: pairs (residency, exit)
DELIVERY_AT, LINE_AT = 13, 14  # cost tables by distance code
TASKS_AT, TREE_AT, LEAVES, ENTRIES_AT = 15, 16, 17, 18
LOG_AT, LOG_ROWS, LOG_CAP = 19, 20, 21
DIRTY_AT, DIRTY_COUNT = 22, 23
PROTOCOL, TRAP, HELD_OFF = 24, 25, 26  # of cross-calls
SERVER_FREE, SHARE, ROUND_TRIP_AT = 27, 28, 29  # of invalidations: when, ppm, by distance code
BUCKETS_AT, SUB_BITS = 30, 31  # finished calls by latency: pairs (how many, which specimen)
SPECIMENS_AT, SPECIMEN_ROW, SPECIMENS, SLOWEST = 32, 33, 34, 35
DETAIL_FROM, DETAIL_TO, DETAIL_LEFT, DETAIL_CUT = 36, 37, 38, 39  # calls that are all kept whole
DETAIL_HEADS_AT, DETAIL_ENTRIES_AT, DETAIL_CAP = 40, 41, 42
DETAIL_CALLS, DETAIL_ENTRIES = 43, 44  # of them in the buffer
HEADER = 48

# --- a CPU's row: 16 words in each of four planes; a pass over all CPUs streams one of them ---
CPU_WORDS = 16
PLANE = 4096 * CPU_WORDS  # `topology.MAX_CPUS` rows; only what is touched takes memory
PLANES = 4

# plane 0: open entries (a list sorted by (q, initiator)) and the plan on top of what is history
HEAD, TAIL, LAST_TAKE, PLAN_END, PLAN_STOLEN, PLAN_HANDLERS, FLOOR, IDLE_SINCE = range(8)
BASE_END, BASE_STOLEN, BASE_HANDLERS, PLAN_FULL, PIN, FLOOR_REASON, MODE, FLUSHES = range(8, 16)
# plane 1: the present occupation (since when, stolen time then, CPU time needed, refill debt within
# it), the run queue, and how far the occupation had come when an invalidation made it stand still
SINCE, SINCE_STOLEN, NEED, DEBT, DEBT_AT, USED, LAST_TASK, SPINS = range(PLANE, PLANE + 8)
CURRENT, READY_HEAD, READY_TAIL, SLEEP_HEAD, REACHED = range(PLANE + 8, PLANE + 13)
# plane 2: the call or the invalidation that this CPU has in flight
C_START, C_LOCAL_END, C_TARGETS, C_LINE, C_MAX, C_SLOWEST, C_FIRST, C_DIRTY = range(
    2 * PLANE, 2 * PLANE + 8
)
C_LOCAL, C_PHASE, C_KIND, C_CAUSE, C_OPERATION, C_PAGES, C_VISITED, C_INVALIDATIONS = range(
    2 * PLANE + 8, 2 * PLANE + 16
)
# an invalidation's own: when its service ends and how long it takes, whether it empties the TLBs
I_SERVED, I_SERVICE, I_EMPTIES = C_LOCAL_END, C_LOCAL, C_FIRST
# plane 3: accounts
BUSY, SPIN, IRQS_OFF, IDLE, REFILL, SENT = range(3 * PLANE, 3 * PLANE + 6)

# --- a task's row ---------------------------------------------------------------------------------
T_CPU, T_NUMBER, T_NEXT, T_WAKE, T_DEBT, T_WORK, T_COMPUTING, T_EPOCH, T_REFILL = range(9)
TASK_ROW = 10

# --- an entry: one call at one target -------------------------------------------------------------
E_QUEUED, E_ARRIVES, E_COST, E_ACK, E_START, E_META, E_PREFIX, E_NEXT = range(8)
ENTRY_ROW = 8

# --- what a CPU is doing --------------------------------------------------------------------------
M_IDLE, M_WAKE, M_READY, M_SWITCH, M_COMPUTE, M_WINDOW, M_CALL, M_SPINLOCK, M_STEP = range(9)
M_FENCE = 9  # an invalidation: its service until `C_PHASE` is 1, then the way back

# --- why a handler started when it did (`SlowestReason` gives these numbers their names) ----------
R_LOCAL, R_DISTANCE, R_IRQS_OFF, R_IDLE_EXIT, R_BUSY_HANDLER, R_RIDE, R_SERVER, R_WAKING = range(8)

# --- who told the others (`shootdown.calls.Protocol` gives these numbers their names) -------------
BY_TLBI = 1

# --- columns of the log of finished calls (`fabric.CROSSCALL_COLUMNS` names them) -----------------
LOG_COLUMNS = 25

# --- a call that is kept whole: finished, with what happened at each target -----------------------
# its row of the log and what the row does not tell; then the entries, `E_NEXT` being the CPU and
# `E_PREFIX` when the initiator went on from there
K_LOCAL_END, K_VISITED, K_LOCAL, K_AFTER = range(LOG_COLUMNS, LOG_COLUMNS + 4)
SPECIMEN_HEAD = 32

# --- what the functions that end a step return ----------------------------------------------------
NOTHING = -1  # nothing before the limit
LOG_FULL = -2  # the log must be emptied before anything else happens
FAR = 1 << 40  # beyond every index: a bound that spares the hot loop its wrap-around checks
RETRY = 1 << 40  # added where the quantum was over and the task has gone to the tail


@compiled("int64(int64)")
def _row(c: int) -> int:
    return HEADER + c * CPU_WORDS


@compiled("int64(int64[::1], int64, int64)")
def _entry(S: State, i: int, c: int) -> int:
    return S[ENTRIES_AT] + (i * S[N_CPUS] + c) * ENTRY_ROW


# --- the calendar ---------------------------------------------------------------------------------


@compiled("void(int64[::1], int64, int64)")
def _file(S: State, c: int, key: int) -> None:
    """File CPU ``c`` at ``key = 2 * time + phase``; timers are phase 0, task steps phase 1."""
    tree = S[TREE_AT]
    k = S[LEAVES] + c
    S[tree + k] = key
    while k > 1:
        k >>= 1
        left = S[tree + 2 * k]
        right = S[tree + 2 * k + 1]
        least = left if left <= right else right
        if S[tree + k] == least:
            return
        S[tree + k] = least


@compiled("int64(int64[::1])")
def _lowest(S: State) -> int:
    """Return the lowest CPU among those whose instant is the earliest."""
    tree = S[TREE_AT]
    leaves = S[LEAVES]
    key = S[tree + 1]
    k = 1
    while k < leaves:
        k *= 2
        if S[tree + k] != key:
            k += 1
    return k - leaves


@compiled("void(int64[::1], int64, int64)")
def _file_with_timers(S: State, c: int, key: int) -> None:
    """File CPU ``c``, at its next timer where that comes before ``key``."""
    sleeper = S[_row(c) + SLEEP_HEAD]
    if sleeper >= 0:
        timer = 2 * S[S[TASKS_AT] + sleeper * TASK_ROW + T_WAKE]
        if timer < key:
            key = timer
    _file(S, c, key)


@compiled("void(int64[::1], int64, int64)")
def _due(S: State, c: int, time: int) -> None:
    """File the next step of CPU ``c``, not before its next timer."""
    _file_with_timers(S, c, 2 * time + 1 if time < HORIZON else INF)


# --- a CPU's handlers: history, and the plan on top of it -----------------------------------------


@compiled("int64(int64[::1], int64)")
def _exit_latency(S: State, idle_for: int) -> int:
    """Return the exit latency of the deepest state whose residency has passed."""
    at = S[IDLE_AT]
    for k in range(S[N_IDLE] - 1, -1, -1):
        if S[at + 2 * k] <= idle_for:
            return S[at + 2 * k + 1]
    return 0


@compiled("int64(int64[::1], int64)")
def _history_end(S: State, r: int) -> int:
    return S[r + PLAN_END] if S[r + HEAD] < 0 else S[r + BASE_END]


@compiled("int64(int64[::1], int64)")
def _history_stolen(S: State, r: int) -> int:
    return S[r + PLAN_STOLEN] if S[r + HEAD] < 0 else S[r + BASE_STOLEN]


@compiled("void(int64[::1], int64, int64)")
def _flush_tlb(S: State, r: int, reached: int) -> None:
    """A full flush, the CPU's own clock standing at ``reached``: the debt is the whole again."""
    S[r + FLUSHES] += 1
    if S[r + MODE] != M_COMPUTE:
        return
    task = S[TASKS_AT] + S[r + CURRENT] * TASK_ROW
    whole = S[task + T_REFILL]
    if whole == 0:
        return
    served = reached - (S[r + SINCE] - S[r + SINCE_STOLEN])
    if served >= S[r + NEED]:
        return  # the compute is over: the next one pays
    left = max(0, S[r + DEBT] - (served - S[r + DEBT_AT]))
    S[r + REFILL] += S[r + DEBT] - left
    S[r + NEED] += whole - left
    S[r + DEBT] = whole
    S[r + DEBT_AT] = served
    S[task + T_EPOCH] = S[r + FLUSHES]


@compiled("void(int64[::1], int64, int64)")
def _retire_groups(S: State, c: int, now: int) -> None:
    """Move the groups whose take has passed from the plan into history, one by one."""
    r = _row(c)
    head = S[r + HEAD]
    while head >= 0:
        e = _entry(S, head, c)
        start = S[e + E_START]
        if start + S[ENTRY] > now:
            break
        stolen_from = start
        if S[e + E_META] >> 32 == R_IDLE_EXIT:
            stolen_from = S[e + E_ARRIVES]
        full = 0
        ack = 0
        while head >= 0:
            e = _entry(S, head, c)
            if S[e + E_START] != start:
                break
            ack = S[e + E_ACK]
            full |= S[e + E_COST] & 1
            head = S[e + E_NEXT]
        if full:
            _flush_tlb(S, r, max(start - S[r + BASE_STOLEN], S[r + REACHED]))
        end = ack + S[EXIT]
        S[r + BASE_END] = end
        S[r + BASE_STOLEN] += end - stolen_from
        S[r + BASE_HANDLERS] += 1
        S[r + PIN] = NONE
    S[r + HEAD] = head
    if S[r + PLAN_FULL]:  # whether what is left holds a full flush is not known
        S[r + PLAN_FULL] = 0 if head < 0 else 2


@compiled("void(int64[::1], int64, int64)")
def _retire(S: State, c: int, now: int) -> None:
    """Make history of every handler of ``c`` whose take has passed (``<=``: q is after now)."""
    r = _row(c)
    if S[r + HEAD] < 0:
        return
    if S[r + LAST_TAKE] > now:
        _retire_groups(S, c, now)
        return
    if S[r + PLAN_FULL]:
        if S[r + PLAN_FULL] > 1 or S[r + PLAN_HANDLERS] - S[r + BASE_HANDLERS] > 1:
            _retire_groups(S, c, now)
            return
        start = S[r + LAST_TAKE] - S[ENTRY]
        _flush_tlb(S, r, max(start - S[r + BASE_STOLEN], S[r + REACHED]))
        S[r + PLAN_FULL] = 0
    S[r + HEAD] = NONE
    S[r + PIN] = NONE


@compiled("void(int64[::1], int64, int64, int64)")
def _acknowledge(S: State, owner: int, c: int, ack: int) -> None:
    """Set the time of one acknowledgement and with it, where it matters, the call's maximum."""
    e = _entry(S, owner, c)
    before = S[e + E_ACK]
    if ack == before:
        return
    S[e + E_ACK] = ack
    o = _row(owner)
    value = ack - S[e + E_PREFIX]
    if value > S[o + C_MAX]:
        S[o + C_MAX] = value
        S[o + C_SLOWEST] = c
    elif S[o + C_SLOWEST] == c and ack < before:
        if S[o + C_DIRTY] == 0:
            S[o + C_DIRTY] = 1
            S[S[DIRTY_AT] + S[DIRTY_COUNT]] = owner
            S[DIRTY_COUNT] += 1
    elif value == S[o + C_MAX] and c < S[o + C_SLOWEST]:
        S[o + C_SLOWEST] = c


@compiled("void(int64[::1])")
def _settle_maxima(S: State) -> None:
    """Look for the maximum again in the calls whose slowest target has become faster."""
    for k in range(S[DIRTY_COUNT]):
        owner = S[S[DIRTY_AT] + k]
        o = _row(owner)
        best = -INF
        slowest = NONE
        c = S[o + C_FIRST]
        while c >= 0:
            e = _entry(S, owner, c)
            value = S[e + E_ACK] - S[e + E_PREFIX]
            if value > best:
                best = value
                slowest = c
            c = (S[e + E_META] & 0xFFFF) - 1
        S[o + C_MAX] = best
        S[o + C_SLOWEST] = slowest
        S[o + C_DIRTY] = 0
        if S[o + MODE] == M_CALL:
            _due(S, owner, S[o + C_LINE] + max(S[o + C_LOCAL_END], best))
    S[DIRTY_COUNT] = 0


@compiled("int64(int64[::1], int64, int64, int64)")
def _start(S: State, r: int, arrives: int, end: int) -> int:
    """Return when the handler starts whose interrupt arrives then, times 8, plus the reason.

    The first instant at which the bit is set, no handler runs, and interrupts are on; on an idle
    CPU after the exit latency of the state it has reached.
    """
    if S[r + IDLE_SINCE] >= 0:
        if arrives <= end:
            return end * 8 + (R_BUSY_HANDLER if arrives < end else R_DISTANCE)
        latency = _exit_latency(S, arrives - max(S[r + IDLE_SINCE], end))
        return (arrives + latency) * 8 + (R_IDLE_EXIT if latency > 0 else R_DISTANCE)
    start = max(arrives, end)
    if S[r + FLOOR] > start:
        return S[r + FLOOR] * 8 + S[r + FLOOR_REASON]
    return start * 8 + (R_BUSY_HANDLER if start > arrives else R_DISTANCE)


@compiled("void(int64[::1], int64)")
def _plan(S: State, c: int) -> None:
    """Plan all open groups of ``c`` anew: opener, riders, acknowledgements in queue order.

    start_g = start rule over (arrival of the opener, end_{g-1}); take_g = start_g + entry; every
    entry with q <= take_g rides; end_g = last acknowledgement + exit.
    """
    r = _row(c)
    end = S[r + BASE_END]
    stolen = S[r + BASE_STOLEN]
    handlers = S[r + BASE_HANDLERS]
    full = 0
    k = S[r + HEAD]
    take = S[r + LAST_TAKE]
    while k >= 0:
        e = _entry(S, k, c)
        if handlers == S[r + BASE_HANDLERS] and S[r + PIN] >= 0:
            start = S[r + PIN] >> 3
            reason = S[r + PIN] & 7
        else:
            packed = _start(S, r, S[e + E_ARRIVES], end)
            start = packed >> 3
            reason = packed & 7
        stolen_from = S[e + E_ARRIVES] if reason == R_IDLE_EXIT else start
        take = start + S[ENTRY]
        ack = take
        while k >= 0:
            e = _entry(S, k, c)
            if S[e + E_QUEUED] > take:
                break
            ack += S[e + E_COST] >> 1
            full |= S[e + E_COST] & 1
            S[e + E_START] = start
            S[e + E_META] = (S[e + E_META] & 0xFFFFFFFF) | (reason << 32)
            reason = R_RIDE
            _acknowledge(S, k, c, ack)
            k = S[e + E_NEXT]
        end = ack + S[EXIT]
        stolen += end - stolen_from
        handlers += 1
    S[r + LAST_TAKE] = take
    S[r + PLAN_END] = end
    S[r + PLAN_STOLEN] = stolen
    S[r + PLAN_HANDLERS] = handlers
    S[r + PLAN_FULL] = full


@compiled("void(int64[::1], int64)")
def _revise(S: State, c: int) -> None:
    """Plan ``c`` again after its own state has changed, if anything is open there."""
    if S[_row(c) + HEAD] >= 0:
        _plan(S, c)
        _settle_maxima(S)


@compiled("int64(int64[::1], int64, int64)")
def _busy_until(S: State, c: int, now: int) -> int:
    """Return when the handler ends that runs, or starts, on ``c`` now; ``now`` if there is none.

    History must be up to date. The end may still move: whoever waits for it looks again then.
    """
    r = _row(c)
    end = _history_end(S, r)
    if end > now:
        return end
    head = S[r + HEAD]
    if head >= 0:
        start = S[_entry(S, head, c) + E_START]
        if start <= now:
            return start + S[ENTRY] + S[EXIT]
    return now


# --- run queue and timers -------------------------------------------------------------------------


@compiled("void(int64[::1], int64, int64)")
def _enqueue(S: State, r: int, task: int) -> None:
    t = S[TASKS_AT] + task * TASK_ROW
    S[t + T_NEXT] = NONE
    if S[r + READY_HEAD] < 0:
        S[r + READY_HEAD] = task
    else:
        S[S[TASKS_AT] + S[r + READY_TAIL] * TASK_ROW + T_NEXT] = task
    S[r + READY_TAIL] = task


@compiled("void(int64[::1], int64, int64)")
def _sleep_until(S: State, task: int, time: int) -> None:
    """Put a task among the sleepers of its CPU, in the order of (time, number)."""
    tasks = S[TASKS_AT]
    t = tasks + task * TASK_ROW
    r = _row(S[t + T_CPU])
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


@compiled("void(int64[::1], int64, int64, int64)")
def _occupy(S: State, c: int, mode: int, need: int) -> None:
    """Begin an occupation of the CPU that takes ``need`` of its time."""
    r = _row(c)
    S[r + MODE] = mode
    S[r + SINCE] = S[NOW]
    S[r + SINCE_STOLEN] = _history_stolen(S, r)
    S[r + NEED] = need


@compiled("int64(int64[::1], int64)")
def _own_time(S: State, r: int) -> int:
    """Return the time of the present occupation so far, less what was stolen from it."""
    return S[NOW] - S[r + SINCE] - (_history_stolen(S, r) - S[r + SINCE_STOLEN])


@compiled("int64(int64[::1], int64, int64)")
def _begin_compute(S: State, c: int, work: int) -> int:
    """Start or continue the current task's compute, debt first; return 0 if it takes no time."""
    r = _row(c)
    t = S[TASKS_AT] + S[r + CURRENT] * TASK_ROW
    if S[t + T_EPOCH] < S[r + FLUSHES]:
        S[t + T_EPOCH] = S[r + FLUSHES]
        S[t + T_DEBT] = S[t + T_REFILL]
    debt = S[t + T_DEBT]
    S[t + T_COMPUTING] = 0
    if debt + work == 0:
        return 0
    _occupy(S, c, M_COMPUTE, debt + work)
    S[r + DEBT] = debt
    S[r + DEBT_AT] = 0
    S[t + T_DEBT] = 0
    due = S[NOW] + S[r + NEED]
    if S[r + READY_HEAD] >= 0 and S[r + SPINS] == 0:
        due = min(due, S[NOW] + max(0, S[QUANTUM] - S[r + USED]))
    _due(S, c, due)
    return 1


@compiled("void(int64[::1], int64)")
def _switched_in(S: State, c: int) -> None:
    """The chosen task has the CPU: it goes on computing, or takes its next step."""
    r = _row(c)
    t = S[TASKS_AT] + S[r + CURRENT] * TASK_ROW
    if S[t + T_COMPUTING] and _begin_compute(S, c, S[t + T_WORK]):
        return
    S[r + MODE] = M_STEP
    _due(S, c, S[NOW])


@compiled("void(int64[::1], int64)")
def _choose(S: State, c: int) -> None:
    """Take the head of the run queue; switching to another task than the last costs time."""
    r = _row(c)
    task = S[r + READY_HEAD]
    S[r + READY_HEAD] = S[S[TASKS_AT] + task * TASK_ROW + T_NEXT]
    S[r + CURRENT] = task
    S[r + USED] = 0
    last = S[r + LAST_TASK]
    S[r + LAST_TASK] = task
    if last >= 0 and last != task and S[SWITCH_COST] > 0:
        _occupy(S, c, M_SWITCH, S[SWITCH_COST])
        _due(S, c, S[NOW] + S[SWITCH_COST])
    else:
        _switched_in(S, c)


@compiled("void(int64[::1], int64)")
def _leave_cpu(S: State, c: int) -> None:
    """The current task has given the CPU up: the next one takes it, or it goes idle."""
    r = _row(c)
    S[r + CURRENT] = NONE
    if S[r + READY_HEAD] >= 0:
        _choose(S, c)
        return
    _occupy(S, c, M_IDLE, 0)
    S[r + IDLE_SINCE] = S[NOW]
    _revise(S, c)
    _due(S, c, INF)


@compiled("void(int64[::1], int64)")
def _wake_cpu(S: State, c: int) -> None:
    """A task has become runnable on a CPU without one."""
    r = _row(c)
    now = S[NOW]
    _retire(S, c, now)
    end = _history_end(S, r)
    idle_since = S[r + IDLE_SINCE]
    S[r + IDLE_SINCE] = NONE
    S[r + MODE] = M_READY
    due = now
    head = S[r + HEAD]
    if end > now:
        due = end
    elif head >= 0 and S[_entry(S, head, c) + E_ARRIVES] <= now:
        # a wake-up or handler that is under way stays as it is
        e = _entry(S, head, c)
        S[r + PIN] = S[e + E_START] * 8 + (S[e + E_META] >> 32)
        due = max(now, S[e + E_START])
        S[r + FLOOR] = due
        S[r + FLOOR_REASON] = R_WAKING
    elif end < now or end <= idle_since:
        latency = _exit_latency(S, now - max(idle_since, end))
        if latency > 0:
            S[r + MODE] = M_WAKE
            S[r + FLOOR] = now + latency
            S[r + FLOOR_REASON] = R_WAKING
            due = now + latency
    _revise(S, c)
    _due(S, c, due)


# --- invalidations broadcast by the interconnect --------------------------------------------------


@compiled("int64(int64[::1], int64, int64)")
def _stolen_by(S: State, c: int, time: int) -> int:
    """Return what handlers have taken of ``c`` before ``time``, up to which history is known."""
    r = _row(c)
    stolen = _history_stolen(S, r) - max(0, _history_end(S, r) - time)
    head = S[r + HEAD]
    if head >= 0:
        e = _entry(S, head, c)
        begin = S[e + E_START]
        if S[e + E_META] >> 32 == R_IDLE_EXIT:
            begin = S[e + E_ARRIVES]
        stolen += max(0, time - begin)
    return stolen


@compiled("void(int64[::1], int64, int64, int64)")
def _stand_still(S: State, r: int, clock: int, service: int) -> None:
    """A compute that is not over stands still for its share of the service.

    ``clock``, the time less what was stolen, is set back by the loss; the compute goes on when the
    clock is at ``REACHED`` again.
    """
    reached = max(clock, S[r + REACHED])
    served = reached - (S[r + SINCE] - S[r + SINCE_STOLEN])
    if served >= S[r + NEED]:
        return
    exposed = min(service, served)
    # floor(exposed * share / 10^6), without a product that may not fit
    loss = exposed // PPM * S[SHARE] + exposed % PPM * S[SHARE] // PPM
    S[r + REACHED] = reached
    S[r + BASE_STOLEN] += loss
    S[r + PLAN_STOLEN] += loss


@compiled("void(int64[::1], int64)")
def _serve(S: State, i: int) -> None:
    """The service of CPU ``i``'s invalidation ends now: all CPUs are charged for it."""
    o = _row(i)
    now = S[NOW]
    S[o + C_PHASE] = 1
    for c in range(S[N_CPUS]):
        r = _row(c)
        if S[o + I_EMPTIES] == 0 and S[r + MODE] != M_COMPUTE:
            continue
        _retire(S, c, now)
        clock = now - _stolen_by(S, c, now)
        if S[o + I_EMPTIES]:
            _flush_tlb(S, r, max(clock, S[r + REACHED]))
        if S[r + MODE] == M_COMPUTE:
            _stand_still(S, r, clock, S[o + I_SERVICE])


@compiled("void(int64[::1], int64)")
def _await_fence(S: State, c: int) -> None:
    """File an invalidation: the end of its service is interrupt work, its own end a step."""
    r = _row(c)
    if S[r + C_PHASE] == 0:
        _file_with_timers(S, c, 2 * S[r + I_SERVED] if S[r + I_SERVED] < HORIZON else INF)
    else:
        _due(S, c, S[r + NEED])


@compiled("void(int64[::1], int64)")
def _timers(S: State, c: int) -> None:
    """Queue the sleepers of ``c`` whose time has come; then look at who has the CPU."""
    r = _row(c)
    tasks = S[TASKS_AT]
    while S[r + SLEEP_HEAD] >= 0 and S[tasks + S[r + SLEEP_HEAD] * TASK_ROW + T_WAKE] <= S[NOW]:
        task = S[r + SLEEP_HEAD]
        S[r + SLEEP_HEAD] = S[tasks + task * TASK_ROW + T_NEXT]
        _enqueue(S, r, task)
    if S[r + MODE] == M_FENCE and S[r + C_PHASE] == 0 and S[r + I_SERVED] <= S[NOW]:
        _serve(S, c)
    if S[r + MODE] == M_IDLE:
        _wake_cpu(S, c)
    else:
        _due(S, c, S[NOW])  # whatever it does: look again, its instant is found anew


# --- looking at a CPU whose instant has come ------------------------------------------------------


@compiled("void(int64[::1], int64, int64)")
def _preempt_compute(S: State, c: int, served: int) -> None:
    """The quantum is over in the middle of a compute: to the tail, with what is left to do."""
    r = _row(c)
    task = S[r + CURRENT]
    t = S[TASKS_AT] + task * TASK_ROW
    debt = max(0, S[r + DEBT] - (served - S[r + DEBT_AT]))
    S[r + REFILL] += S[r + DEBT] - debt
    S[r + BUSY] += served
    S[t + T_DEBT] = debt
    S[t + T_WORK] = S[r + NEED] - served - debt
    S[t + T_COMPUTING] = 1
    _enqueue(S, r, task)
    _choose(S, c)


@compiled("int64(int64[::1], int64)")
def _look_compute(S: State, c: int) -> int:
    """The compute, or the quantum, may be over."""
    r = _row(c)
    stands_still = S[r + REACHED] - (S[NOW] - _history_stolen(S, r))
    if stands_still > 0:
        _due(S, c, S[NOW] + stands_still)
        return 0
    served = _own_time(S, r)
    left = S[r + NEED] - served
    if left <= 0:
        S[r + REFILL] += S[r + DEBT]
        S[r + USED] += S[r + NEED]
        S[r + BUSY] += S[r + NEED]
        S[r + MODE] = M_STEP
        return 1
    if S[r + READY_HEAD] >= 0 and S[r + SPINS] == 0:
        slice_left = S[QUANTUM] - S[r + USED] - served
        if slice_left <= 0:
            _preempt_compute(S, c, served)
            return 0
        left = min(left, slice_left)
    _due(S, c, S[NOW] + left)
    return 0


@compiled("void(int64[::1], int64, int64, int64)")
def _window(S: State, c: int, mode: int, length: int) -> None:
    """Interrupts off for ``length`` from now on; a task's own do not hold the firmware off."""
    r = _row(c)
    _occupy(S, c, mode, length)
    if mode == M_CALL or S[HELD_OFF]:
        S[r + FLOOR] = S[NOW] + length
        S[r + FLOOR_REASON] = R_IRQS_OFF
        _revise(S, c)
    _due(S, c, S[NOW] + length)


@compiled("int64(int64[::1], int64)")
def _log_row(S: State, i: int) -> int:
    """Begin the row of what CPU ``i`` had in flight: all that does not depend on the protocol."""
    r = _row(i)
    at = S[LOG_AT] + S[LOG_ROWS] * LOG_COLUMNS
    S[LOG_ROWS] += 1
    for k in range(LOG_COLUMNS):
        S[at + k] = 0
    S[at + 0] = i
    S[at + 1] = S[S[TASKS_AT] + S[r + CURRENT] * TASK_ROW + T_NUMBER]
    S[at + 2] = S[r + C_START]
    S[at + 3] = S[NOW]
    S[at + 4] = S[r + C_KIND]
    S[at + 5] = S[r + C_CAUSE]
    S[at + 6] = S[r + C_OPERATION]
    S[at + 7] = S[r + C_TARGETS]
    S[at + 8] = S[r + C_PAGES]
    return at


@compiled("void(int64[::1], int64, int64)")
def _log_local(S: State, r: int, at: int) -> None:
    """Every acknowledgement was in when the initiator began to look."""
    S[at + 9] = NONE
    S[at + 10] = R_LOCAL
    if S[r + C_TARGETS] > 0:
        S[at + 11] = S[TRAP] + S[r + C_TARGETS] * S[QUEUE]
    if S[SERIAL] == 0 or S[r + C_TARGETS] == 0:
        S[at + 20] = S[r + C_LOCAL]
    S[at + 12] = S[r + C_LOCAL_END] - S[r + C_START] - S[at + 11] - S[at + 20]
    S[at + 21] = S[r + C_LINE]


@compiled("void(int64[::1], int64, int64)")
def _log_slowest(S: State, i: int, at: int) -> None:
    """Follow the target whose acknowledgement ended the waiting from queue to visit."""
    r = _row(i)
    c = S[r + C_SLOWEST]
    e = _entry(S, i, c)
    begin = S[e + E_START]
    reason = S[e + E_META] >> 32
    take = begin + S[ENTRY]
    S[at + 9] = c
    S[at + 10] = R_IDLE_EXIT if reason == R_WAKING else reason
    if reason == R_RIDE:
        S[at + 11] = S[e + E_QUEUED] - S[r + C_START]
        S[at + 17] = take - S[e + E_QUEUED]
    else:
        S[at + 11] = S[TRAP] + S[r + C_TARGETS] * S[QUEUE]
        S[at + 12] = ((S[e + E_META] >> 16) & 0xFFFF) * S[SEND]
        S[at + 13] = S[e + E_ARRIVES] - S[r + C_START] - S[at + 11] - S[at + 12]
        waited = begin - S[e + E_ARRIVES]
        if reason == R_IRQS_OFF:
            S[at + 14] = waited
        elif reason == R_IDLE_EXIT or reason == R_WAKING:
            S[at + 15] = waited
        else:
            S[at + 16] = waited
        S[at + 18] = S[ENTRY]
    S[at + 19] = S[e + E_ACK] - take
    S[at + 21] = S[r + C_VISITED] - S[e + E_ACK]


def buckets(sub_bits: int) -> int:
    """Return how many buckets latencies fall into; see `_bucket`."""
    return (INF.bit_length() - sub_bits + 1) << sub_bits


@compiled("int64(int64[::1], int64)")
def _bucket(S: State, latency: int) -> int:
    """Return a latency's bucket: its highest bit and the ``SUB_BITS`` that follow.

    Below ``2 ** SUB_BITS`` every value has its own; above, a bucket is as wide as that power of two
    is a part of its values.
    """
    sub = S[SUB_BITS]
    high = latency >> sub
    shift = 0
    if high >= 1 << 32:
        high >>= 32
        shift = 32
    if high >= 1 << 16:
        high >>= 16
        shift += 16
    if high >= 1 << 8:
        high >>= 8
        shift += 8
    if high >= 1 << 4:
        high >>= 4
        shift += 4
    while high > 1:
        high >>= 1
        shift += 1
    return (shift << sub) + (latency >> shift)


@compiled("void(int64[::1], int64, int64, int64, int64)")
def _copy_call(S: State, i: int, at: int, head: int, to: int) -> None:
    """Copy the call that CPU ``i`` has just finished, whose row is at ``at``, entries apart.

    The initiator leaves c at max(l, max of ack - prefix up to c) + the prefix after c.
    """
    r = _row(i)
    for k in range(LOG_COLUMNS):
        S[head + k] = S[at + k]
    S[head + K_LOCAL_END] = S[r + C_LOCAL_END]
    S[head + K_VISITED] = S[r + C_VISITED]
    S[head + K_LOCAL] = S[r + C_LOCAL]
    S[head + K_AFTER] = S[r + C_PHASE]
    latest = S[r + C_LOCAL_END]
    c = S[r + C_FIRST]
    while c >= 0:
        e = _entry(S, i, c)
        for k in range(ENTRY_ROW):
            S[to + k] = S[e + k]
        S[to + E_NEXT] = c
        c = (S[e + E_META] & 0xFFFF) - 1
        latest = max(latest, S[e + E_ACK] - S[e + E_PREFIX])
        following = S[_entry(S, i, c) + E_PREFIX] if c >= 0 else S[r + C_LINE]
        S[to + E_PREFIX] = latest + following
        to += ENTRY_ROW


@compiled("void(int64[::1], int64, int64, int64)")
def _keep_specimen(S: State, i: int, at: int, number: int) -> None:
    head = S[SPECIMENS_AT] + number * S[SPECIMEN_ROW]
    _copy_call(S, i, at, head, head + SPECIMEN_HEAD)


@compiled("void(int64[::1], int64, int64)")
def _keep_detail(S: State, i: int, at: int) -> None:
    """Keep a call of the part of the run that is kept whole; none any more after one too many."""
    targets = S[at + 7]
    if targets > S[DETAIL_LEFT]:
        S[DETAIL_FROM] = INF
        S[DETAIL_CUT] = S[NOW]
        return
    head = S[DETAIL_HEADS_AT] + S[DETAIL_CALLS] * SPECIMEN_HEAD
    _copy_call(S, i, at, head, S[DETAIL_ENTRIES_AT] + S[DETAIL_ENTRIES] * ENTRY_ROW)
    S[DETAIL_LEFT] -= targets
    S[DETAIL_CALLS] += 1
    S[DETAIL_ENTRIES] += targets
    if S[DETAIL_ENTRIES] + S[N_CPUS] > S[DETAIL_CAP]:
        S[LOG_CAP] = 0  # there may be no room for another: have the log emptied, and this with it


@compiled("void(int64[::1], int64, int64)")
def _keep_call(S: State, i: int, at: int) -> None:
    """Count a finished call; keep it if it is the first of its latency, or the slowest so far."""
    latency = S[at + 3] - S[at + 2]
    bucket = S[BUCKETS_AT] + 2 * _bucket(S, latency)
    S[bucket] += 1
    if S[bucket] == 1:
        S[bucket + 1] = S[SPECIMENS]
        _keep_specimen(S, i, at, S[SPECIMENS])
        S[SPECIMENS] += 1
    if latency > S[SLOWEST]:
        S[SLOWEST] = latency
        _keep_specimen(S, i, at, 0)
    if S[at + 2] >= S[DETAIL_FROM] and S[at + 2] < S[DETAIL_TO]:
        _keep_detail(S, i, at)


@compiled("void(int64[::1], int64)")
def _log_call(S: State, i: int) -> None:
    """Write the row of a call that has ended: the parts of its latency add up exactly."""
    r = _row(i)
    at = _log_row(S, i)
    S[at + 23] = S[PROTOCOL]
    local_after = S[r + C_LOCAL] if S[r + C_PHASE] == 1 else 0
    if S[r + C_MAX] <= S[r + C_LOCAL_END]:
        _log_local(S, r, at)
    else:
        _log_slowest(S, i, at)
    S[at + 20] += local_after
    S[at + 22] = S[NOW] - S[r + C_VISITED] - local_after  # until the handler's end
    if S[r + C_TARGETS] > 0:
        _keep_call(S, i, at)


@compiled("void(int64[::1], int64)")
def _log_fence(S: State, i: int) -> None:
    """Write the row of an invalidation that has ended."""
    r = _row(i)
    at = _log_row(S, i)
    S[at + 9] = NONE
    begins = S[r + I_SERVED] - S[r + I_SERVICE]
    S[at + 10] = R_DISTANCE if S[r + C_TARGETS] > 0 else R_LOCAL
    if begins > S[r + C_START]:
        S[at + 10] = R_SERVER
    S[at + 11] = begins - S[r + C_START]
    S[at + 13] = S[r + NEED] - S[r + I_SERVED]
    S[at + 19] = S[r + I_SERVICE]
    S[at + 22] = S[NOW] - S[r + NEED]
    S[at + 23] = BY_TLBI
    S[at + 24] = S[r + C_INVALIDATIONS]


@compiled("int64(int64[::1], int64)")
def _look_call(S: State, c: int) -> int:
    """Every target may have been visited; in the serial order the function itself follows."""
    r = _row(c)
    now = S[NOW]
    if S[r + C_PHASE] == 0:
        visited = S[r + C_LINE] + max(S[r + C_LOCAL_END], S[r + C_MAX])
        if visited > now:
            _due(S, c, visited)
            return 0
        irqs_off = S[r + C_LOCAL_END] - S[r + C_START]
        S[r + IRQS_OFF] += irqs_off
        S[r + SPIN] += _own_time(S, r) - irqs_off
        S[r + C_VISITED] = visited
        if S[SERIAL] and S[r + C_TARGETS] > 0 and S[r + C_LOCAL] > 0:
            S[r + C_PHASE] = 1
            _window(S, c, M_CALL, S[r + C_LOCAL])
            return 0
    else:
        left = S[r + NEED] - _own_time(S, r)
        if left > 0:
            _due(S, c, now + left)
            return 0
        S[r + IRQS_OFF] += S[r + NEED]
    S[r + MODE] = M_STEP
    _log_call(S, c)
    return 1


@compiled("int64(int64[::1], int64)")
def _look(S: State, c: int) -> int:
    """CPU ``c`` is due: return 1 if its task takes a step now, 0 if it has been filed again."""
    r = _row(c)
    now = S[NOW]
    mode = S[r + MODE]
    if mode == M_IDLE or (mode == M_SPINLOCK and S[r + NEED] > now):
        _due(S, c, S[r + NEED] if mode == M_SPINLOCK else INF)
        return 0
    if mode == M_FENCE and S[r + NEED] > now:
        _await_fence(S, c)
        return 0
    _retire(S, c, now)
    busy = _busy_until(S, c, now)
    if busy > now:
        _due(S, c, busy)
        return 0
    if mode == M_STEP:
        return 1
    if mode == M_COMPUTE:
        return _look_compute(S, c)
    if mode == M_CALL:
        return _look_call(S, c)
    if mode == M_SWITCH or mode == M_WINDOW:
        left = S[r + NEED] - _own_time(S, r)
        if left > 0:
            _due(S, c, now + left)
            return 0
        if mode == M_SWITCH:
            S[r + BUSY] += S[r + NEED]
            _switched_in(S, c)
            return 0
        S[r + IRQS_OFF] += S[r + NEED]
        S[r + MODE] = M_STEP
        return 1
    if mode == M_SPINLOCK or mode == M_FENCE:
        S[r + SPIN] += _own_time(S, r)
        S[r + MODE] = M_STEP
        if mode == M_FENCE:
            _log_fence(S, c)
        return 1
    if S[r + FLOOR] > now:  # still waking
        _due(S, c, S[r + FLOOR])
        return 0
    S[r + IDLE] += _own_time(S, r)
    _choose(S, c)
    return 0


@compiled("int64(int64[::1])")
def advance(S: State) -> int:
    """Go on to the next task step before the limit and return its task, `NOTHING` or `LOG_FULL`."""
    if S[LOG_ROWS] >= S[LOG_CAP]:
        return LOG_FULL
    while True:
        key = S[S[TREE_AT] + 1]
        if key >= S[LIMIT]:
            return NOTHING
        S[NOW] = key >> 1
        c = _lowest(S)
        if key & 1 == 0:
            _timers(S, c)
        elif _look(S, c):
            _file(S, c, INF)
            return S[_row(c) + CURRENT]


# --- what a task's step asks for ------------------------------------------------------------------


@compiled("int64(int64[::1], int64)")
def boundary(S: State, c: int) -> int:
    """Between two steps: a task whose quantum is over goes to the tail while others can run.

    Returns the task itself where it may go on, else `RETRY` plus the task that steps next.
    """
    r = _row(c)
    task = S[r + CURRENT]
    if S[r + READY_HEAD] < 0 or S[r + USED] < S[QUANTUM] or S[r + SPINS] > 0:
        return task
    S[S[TASKS_AT] + task * TASK_ROW + T_COMPUTING] = 0
    _retire(S, c, S[NOW])
    _enqueue(S, r, task)
    _choose(S, c)
    return RETRY + advance(S)


@compiled("int64(int64[::1], int64, int64)")
def compute(S: State, c: int, work: int) -> int:
    """The current task of ``c`` computes; return the task that steps next."""
    _retire(S, c, S[NOW])
    if _begin_compute(S, c, work) == 0:
        return S[_row(c) + CURRENT]
    return advance(S)


@compiled("int64(int64[::1], int64, int64)")
def irqs_off(S: State, c: int, length: int) -> int:
    """The current task of ``c`` keeps interrupts off; return the task that steps next."""
    if length == 0:
        return S[_row(c) + CURRENT]
    _retire(S, c, S[NOW])
    _window(S, c, M_WINDOW, length)
    return advance(S)


@compiled("int64(int64[::1], int64, int64)")
def sleep(S: State, c: int, length: int) -> int:
    """The current task of ``c`` sleeps; return the task that steps next."""
    _retire(S, c, S[NOW])
    _sleep_until(S, S[_row(c) + CURRENT], S[NOW] + length)
    _leave_cpu(S, c)
    return advance(S)


@compiled("void(int64[::1], int64)")
def leave(S: State, c: int) -> None:
    """The current task of ``c`` ends, or sleeps until `wake`."""
    _retire(S, c, S[NOW])
    _leave_cpu(S, c)


@compiled("int64(int64[::1], int64)")
def block(S: State, c: int) -> int:
    """The same; return the task that steps next."""
    leave(S, c)
    return advance(S)


@compiled("void(int64[::1], int64, int64)")
def wake(S: State, task: int, time: int) -> None:
    """Make a sleeping task runnable at ``time``, as a timer would."""
    _sleep_until(S, task, time)
    c = S[S[TASKS_AT] + task * TASK_ROW + T_CPU]
    key = 2 * time
    if key < S[S[TREE_AT] + S[LEAVES] + c]:
        _file(S, c, key)


@compiled("int64(int64[::1], int64)")
def spin(S: State, c: int) -> int:
    """The current task of ``c`` spins until `grant`; return the task that steps next."""
    _retire(S, c, S[NOW])
    _occupy(S, c, M_SPINLOCK, HORIZON)
    _due(S, c, INF)
    return advance(S)


@compiled("void(int64[::1], int64, int64)")
def grant(S: State, c: int, time: int) -> None:
    """A spinlock has been handed to the task that spins on ``c``: it goes on at ``time``."""
    S[_row(c) + NEED] = time
    _due(S, c, time)


# --- cross-calls ----------------------------------------------------------------------------------


@compiled("void(int64[::1], int64, int64)")
def _insert_sorted(S: State, c: int, i: int) -> None:
    """Put the entry of call ``i`` into the open list of ``c``, sorted by (q, initiator)."""
    r = _row(c)
    e = _entry(S, i, c)
    q = S[e + E_QUEUED]
    before = NONE
    k = S[r + HEAD]
    while k >= 0:
        other = S[_entry(S, k, c) + E_QUEUED]
        if other > q or (other == q and k > i):
            break
        before = k
        k = S[_entry(S, k, c) + E_NEXT]
    S[e + E_NEXT] = k
    if before < 0:
        S[r + HEAD] = i
    else:
        S[_entry(S, before, c) + E_NEXT] = i
    if k < 0:
        S[r + TAIL] = i


@compiled("void(int64[::1], int64, int64)")
def _append(S: State, c: int, i: int) -> None:
    """Plan call ``i`` behind the last open entry of ``c``: it rides along or opens a group."""
    r = _row(c)
    e = _entry(S, i, c)
    cost = S[e + E_COST] >> 1
    last = _entry(S, S[r + TAIL], c)
    if S[e + E_QUEUED] <= S[r + LAST_TAKE]:
        start = S[last + E_START]
        reason = R_RIDE
        ack = S[r + PLAN_END] - S[EXIT] + cost
        S[r + PLAN_STOLEN] += cost
    else:
        packed = _start(S, r, S[e + E_ARRIVES], S[r + PLAN_END])
        start = packed >> 3
        reason = packed & 7
        S[r + LAST_TAKE] = start + S[ENTRY]
        ack = S[r + LAST_TAKE] + cost
        stolen_from = S[e + E_ARRIVES] if reason == R_IDLE_EXIT else start
        S[r + PLAN_STOLEN] += ack + S[EXIT] - stolen_from
        S[r + PLAN_HANDLERS] += 1
    S[r + PLAN_END] = ack + S[EXIT]
    S[r + PLAN_FULL] |= S[e + E_COST] & 1
    S[e + E_START] = start
    S[e + E_META] |= reason << 32
    S[e + E_ACK] = ack
    S[last + E_NEXT] = i
    S[r + TAIL] = i


@compiled("void(int64[::1], int64, int64)")
def _queue_behind(S: State, c: int, i: int) -> None:
    """Queue call ``i`` on a target with open entries: behind the last, or between others."""
    tail = S[_row(c) + TAIL]
    q = S[_entry(S, i, c) + E_QUEUED]
    last = S[_entry(S, tail, c) + E_QUEUED]
    if q > last or (q == last and i > tail):
        _append(S, c, i)
    else:
        _insert_sorted(S, c, i)
        _plan(S, c)


@compiled("void(int64[::1], uint8[:, ::1], int64[::1], int64[::1], int64, int64, int64, int64)")
def _send(
    S: State, D: Codes, targets: State, jitter: State, i: int, n: int, cost: int, full: int
) -> None:
    """Queue and send call ``i`` to its targets, ascending (machine-model page, section 4).

    q_k = t + trap + (k+1) queue; a = t + trap + n queue + (g+1) send + delivery + jitter; the visit
    leaves c at w_c = max(w_previous, ack_c) + line, so that the prefix of lines turns it into a
    maximum. (Only the firmware has a trap.)
    """
    o = _row(i)
    t = S[NOW]
    trap = S[TRAP]
    queue = S[QUEUE]
    fanout = S[FANOUT]
    entry = S[ENTRY]
    exit_ = S[EXIT]
    entries_at = S[ENTRIES_AT] + i * S[N_CPUS] * ENTRY_ROW
    delivery_at = S[DELIVERY_AT]
    line_at = S[LINE_AT]
    everyone = targets.size == 0
    count = S[N_CPUS] if everyone else targets.size
    q = t + trap
    sent = q + n * queue
    groups = 0
    group_end = 0
    prefix = 0
    best = -INF
    slowest = NONE
    k = 0
    if everyone:
        S[o + C_FIRST] = 1 if i == 0 else 0
    else:
        S[o + C_FIRST] = targets[0]
    for j in range(count):
        c = j if everyone else targets[j]
        if c == i:
            continue
        if c >= group_end:
            group_end = (c // fanout + 1) * fanout
            groups += 1
            sent += S[SEND]
        following = j + 1
        if everyone:
            following += following == i
        after = 0
        if following < count:
            after = (following if everyone else targets[following]) + 1
        q += queue
        code = D[i, c]
        arrives = sent + S[delivery_at + code]
        if jitter.size:
            arrives += jitter[k]
        k += 1
        r = _row(c)
        e = entries_at + c * ENTRY_ROW
        if r < 0 or r > FAR or e < 0 or e > FAR:
            break  # never: but now the compiler knows
        if S[r + HEAD] >= 0:
            # before the entry of this initiator's previous call is written over
            if S[r + LAST_TAKE] > t or S[r + PLAN_FULL] != 0:
                _retire(S, c, t)
            else:
                S[r + HEAD] = NONE
                S[r + PIN] = NONE
        S[e + E_QUEUED] = q
        S[e + E_ARRIVES] = arrives
        S[e + E_COST] = 2 * cost + full
        S[e + E_PREFIX] = prefix
        S[e + E_NEXT] = NONE
        if S[r + HEAD] < 0:
            end = S[r + PLAN_END]
            start = max(arrives, end)
            reason = R_DISTANCE
            if S[r + IDLE_SINCE] >= 0 or S[r + FLOOR] > start or end > arrives:
                packed = _start(S, r, arrives, end)
                start = packed >> 3
                reason = packed & 7
            ack = start + entry + cost
            S[r + BASE_END] = end
            end = ack + exit_
            stolen = S[r + PLAN_STOLEN]
            handlers = S[r + PLAN_HANDLERS]
            S[r + BASE_STOLEN] = stolen
            S[r + BASE_HANDLERS] = handlers
            S[r + HEAD] = i
            S[r + TAIL] = i
            S[r + LAST_TAKE] = start + entry
            S[r + PLAN_END] = end
            S[r + PLAN_STOLEN] = stolen + end - (arrives if reason == R_IDLE_EXIT else start)
            S[r + PLAN_HANDLERS] = handlers + 1
            S[r + PLAN_FULL] = full
            S[e + E_START] = start
            S[e + E_META] = reason << 32 | groups << 16 | after
            S[e + E_ACK] = ack
        else:
            S[e + E_META] = groups << 16 | after
            S[e + E_ACK] = NONE
            _queue_behind(S, c, i)
            ack = S[e + E_ACK]
        if ack - prefix > best:
            best = ack - prefix
            slowest = c
        prefix += S[line_at + code]
    S[o + C_MAX] = best
    S[o + C_SLOWEST] = slowest
    S[o + C_LINE] = prefix
    S[o + C_LOCAL_END] = sent


@compiled(
    "int64(int64[::1], uint8[:, ::1], int64[::1], int64[::1],"
    " int64, int64, int64, int64, int64, int64, int64, int64)"
)
def call(
    S: State,
    D: Codes,
    targets: State,
    jitter: State,
    i: int,
    n: int,
    cost: int,
    full: int,
    kind: int,
    cause: int,
    operation: int,
    pages: int,
) -> int:
    """The current task of ``i`` calls a function on ``n`` others; return the task that steps next.

    ``targets`` is empty for every other CPU, ``jitter`` where the platform has none.
    """
    o = _row(i)
    _retire(S, i, S[NOW])
    S[o + C_START] = S[NOW]
    S[o + C_LOCAL_END] = S[NOW]
    S[o + C_TARGETS] = n
    S[o + C_LINE] = 0
    S[o + C_MAX] = -INF
    S[o + C_SLOWEST] = NONE
    S[o + C_FIRST] = NONE
    S[o + C_LOCAL] = cost
    S[o + C_PHASE] = 0
    S[o + C_KIND] = kind
    S[o + C_CAUSE] = cause
    S[o + C_OPERATION] = operation
    S[o + C_PAGES] = pages
    S[o + SENT] += 1
    S[o + FLUSHES] += full
    if n > 0:
        _send(S, D, targets, jitter, i, n, cost, full)
    if n == 0 or S[SERIAL] == 0:
        S[o + C_LOCAL_END] += cost
    _window(S, i, M_CALL, S[o + C_LOCAL_END] - S[NOW])
    _settle_maxima(S)
    if n == 0 and cost == 0:
        _look_call(S, i)
        return S[o + CURRENT]
    _due(S, i, S[o + C_LINE] + max(S[o + C_LOCAL_END], S[o + C_MAX]))
    return advance(S)


@compiled(
    "int64(int64[::1], uint8[:, ::1], int64, int64, int64, int64, int64, int64, int64, int64)"
)
def invalidate(
    S: State,
    D: Codes,
    i: int,
    service: int,
    empties: int,
    kind: int,
    cause: int,
    operation: int,
    pages: int,
    operations: int,
) -> int:
    """The current task of ``i`` has the TLBs of all CPUs invalidated; return who steps next.

    begin = max(now, server free); served = begin + service; done = served + longest round trip.
    """
    o = _row(i)
    _retire(S, i, S[NOW])
    longest = 0
    for c in range(S[N_CPUS]):
        if c != i:
            longest = max(longest, S[S[ROUND_TRIP_AT] + D[i, c]])
    longest = min(longest, HORIZON)
    served = min(max(S[NOW], S[SERVER_FREE]) + service, HORIZON)
    S[SERVER_FREE] = served
    S[o + C_START] = S[NOW]
    S[o + I_SERVED] = served
    S[o + I_SERVICE] = service
    S[o + I_EMPTIES] = empties
    S[o + C_TARGETS] = S[N_CPUS] - 1
    S[o + C_PHASE] = 0
    S[o + C_KIND] = kind
    S[o + C_CAUSE] = cause
    S[o + C_OPERATION] = operation
    S[o + C_PAGES] = pages
    S[o + C_INVALIDATIONS] = operations
    S[o + SENT] += 1
    _occupy(S, i, M_FENCE, served + longest)
    _await_fence(S, i)
    return advance(S)


# --- accounts -------------------------------------------------------------------------------------


@compiled("void(int64[::1], int64, int64, int64[:, ::1])")
def _stolen_before(S: State, c: int, time: int, out: State) -> None:
    """Write stolen time and handlers of ``c`` before ``time``; a handler counts when it starts."""
    r = _row(c)
    _retire(S, c, time)
    stolen = _stolen_by(S, c, time)
    handlers = S[r + PLAN_HANDLERS] if S[r + HEAD] < 0 else S[r + BASE_HANDLERS]
    head = S[r + HEAD]
    if head >= 0 and S[_entry(S, head, c) + E_START] < time:
        handlers += 1
    still_to_come = max(0, S[r + REACHED] - (time - stolen))  # of a loss that was charged in full
    out[c, 3] = stolen - still_to_come
    out[c, 6] = handlers


@compiled("int64(int64[::1], int64[:, ::1])")
def accounts(S: State, out: State) -> int:
    """Write every CPU's account up to now, and the sums of all: shape ``(n_cpus + 1, 8)``.

    Columns: busy, spin, irqs_off, stolen, idle, refill (ps), handlers, cross-calls sent. Returns
    a CPU whose first five do not add up to the present instant, `NONE` where all do.
    """
    now = S[NOW]
    n = S[N_CPUS]
    wrong = NONE
    out[n, :] = 0
    for c in range(n):
        r = _row(c)
        _stolen_before(S, c, now, out)
        out[c, 0] = S[r + BUSY]
        out[c, 1] = S[r + SPIN]
        out[c, 2] = S[r + IRQS_OFF]
        out[c, 4] = S[r + IDLE]
        out[c, 5] = S[r + REFILL]
        out[c, 7] = S[r + SENT]
        mode = S[r + MODE]
        own = now - S[r + SINCE] - (out[c, 3] - S[r + SINCE_STOLEN])
        if mode == M_COMPUTE or mode == M_SWITCH:
            out[c, 0] += own
            if mode == M_COMPUTE:
                out[c, 5] += min(S[r + DEBT], own - S[r + DEBT_AT])
        elif mode == M_CALL and S[r + C_PHASE] == 0:
            window = min(S[r + C_LOCAL_END], now) - S[r + C_START]
            out[c, 2] += window
            out[c, 1] += own - window
        elif mode == M_WINDOW or mode == M_CALL:
            out[c, 2] += own
        elif mode == M_SPINLOCK or mode == M_FENCE:
            out[c, 1] += own
        elif mode == M_IDLE or mode == M_WAKE or mode == M_READY:
            out[c, 4] += own
        if out[c, 0] + out[c, 1] + out[c, 2] + out[c, 3] + out[c, 4] != now:
            wrong = c
        for k in range(8):
            out[n, k] += out[c, k]
    return wrong


@compiled("int64(int64[::1])")
def last_handler_end(S: State) -> int:
    """Return when the last handler that is known of ends."""
    last = S[NOW]
    for c in range(S[N_CPUS]):
        last = max(last, S[_row(c) + PLAN_END])
    return last


@compiled("void(int64[::1])")
def begin(S: State) -> None:
    """Time 0: every CPU with a task takes the first one, the others are idle."""
    for c in range(S[N_CPUS]):
        r = _row(c)
        if S[r + READY_HEAD] >= 0:
            _choose(S, c)
        else:
            _occupy(S, c, M_IDLE, 0)
            S[r + IDLE_SINCE] = 0
            _due(S, c, INF)


@compiled("void(int64[::1], int64)")
def make_ready(S: State, task: int) -> None:
    """Queue a task on its CPU before the run has begun."""
    _enqueue(S, _row(S[S[TASKS_AT] + task * TASK_ROW + T_CPU]), task)
