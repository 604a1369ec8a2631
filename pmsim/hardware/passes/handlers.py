"""A CPU's handlers: the plan on top of what is history.

Handlers are planned, not simulated. A step at one instant changes only later ones, because
``queue`` and ``entry`` are at least 1 ps; so a CPU's handlers are a function of its history, of the
end of its window or the start of its idleness, and of its open calls in order of (q, initiator):
a recurrence over the few calls in flight (`plan`). What is open is planned again when the CPU's own
state changes (`revise`).
"""

from __future__ import annotations

from pmsim.hardware.passes.calendar import file_step
from pmsim.hardware.passes.catching_up import catch_up
from pmsim.hardware.passes.history import history_end, history_stolen
from pmsim.hardware.passes.jit import absent_elsewhere, compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import (
    ack_of,
    caller,
    entry_of,
    from_user,
    is_unwaited,
    row_of,
    take_of,
)
from pmsim.hardware.passes.turns import (
    compiled_apart,
    idle_from,
    in_turns,
    next_run,
    reached,
    run_by,
    run_from,
)


@compiled
def exit_latency(S: State, idle_for: int) -> int:
    """Return the exit latency of the deepest state whose residency has passed."""
    at = S[IDLE_AT]
    for k in range(S[N_IDLE] - 1, -1, -1):
        if S[at + 2 * k] <= idle_for:
            return S[at + 2 * k + 1]
    return 0


@compiled
def insert_sorted(S: State, c: int, i: int) -> None:
    """Put the entry of call ``i`` into the open list of ``c``, sorted by (q, initiator)."""
    r = row_of(c)
    e = entry_of(S, i, c)
    q = S[e + E_QUEUED]
    before = NONE
    k = S[r + HEAD]
    while k >= 0:
        other = S[entry_of(S, k, c) + E_QUEUED]
        if other > q or (other == q and caller(S, k, c) > caller(S, i, c)):
            break
        before = k
        k = S[entry_of(S, k, c) + E_NEXT]
    S[e + E_NEXT] = k
    if before < 0:
        S[r + HEAD] = i
    else:
        S[entry_of(S, before, c) + E_NEXT] = i
    if k < 0:
        S[r + TAIL] = i


@compiled
def acknowledge(S: State, owner: int, c: int, ack: int) -> None:
    """Set the time of one acknowledgement and with it, where it matters, the call's maximum."""
    e = entry_of(S, owner, c)
    before = S[e + E_ACK]
    if ack == before:
        return
    S[e + E_ACK] = ack
    if compiled_apart(S) and S[e + E_PREFIX] < 0:  # nobody waits for it now
        return
    o = row_of(owner)
    if ack > S[o + C_LAST_ACK]:
        S[o + C_LAST_ACK] = ack
    elif before == S[o + C_LAST_ACK]:
        S[o + C_LAST_ACK] = INF
    value = run_by(S, o, ack) - S[e + E_PREFIX]
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


@compiled
def settle_maxima(S: State) -> None:
    """Look for the maximum again in the calls whose slowest target has become faster."""
    for k in range(S[DIRTY_COUNT]):
        owner = S[S[DIRTY_AT] + k]
        o = row_of(owner)
        best = -INF
        slowest = NONE
        c = S[o + C_FIRST]
        while c >= 0:
            catch_up(S, c)
            e = entry_of(S, owner, c)
            value = run_by(S, o, S[e + E_ACK]) - S[e + E_PREFIX]
            if value > best:
                best = value
                slowest = c
            c = (S[e + E_META] & 0xFFFF) - 1
        S[o + C_MAX] = best
        S[o + C_SLOWEST] = slowest
        S[o + C_DIRTY] = 0
        if S[o + MODE] == M_CALL:
            file_step(S, owner, visited_at(S, o))
    S[DIRTY_COUNT] = 0


@compiled
def visited(S: State, o: int) -> int:
    """Return what the clock of an initiator shows when it has visited all, as far as is known."""
    return S[o + C_LINE] + max(run_by(S, o, S[o + C_LOCAL_END]), S[o + C_MAX])


@compiled
def visited_at(S: State, o: int) -> int:
    """Return when an initiator has visited all, as far as is known."""
    return reached(S, o, visited(S, o))


@compiled
def _start_in_turns(S: State, r: int, arrives: int, end: int) -> int:
    """Return the same as `start_of` for a CPU that does not always run."""
    awaited = next_run(S, r, arrives)
    if S[r + IDLE_SINCE] >= 0:
        idle = idle_from(S, r, end)
        if awaited <= idle and (end > S[r + IDLE_SINCE] or idle > S[r + IDLE_SINCE]):
            return min(idle, HORIZON) * 8 + (R_BUSY_HANDLER if arrives < end else R_DISTANCE)
        latency = exit_latency(S, awaited - idle)
        start = next_run(S, r, run_from(S, r, awaited, latency))
        return min(start, HORIZON) * 8 + (R_IDLE_EXIT if latency > 0 else R_DISTANCE)
    start = max(arrives, end)
    if S[r + FLOOR] > start:
        return min(next_run(S, r, S[r + FLOOR]), HORIZON) * 8 + S[r + FLOOR_REASON]
    reason = R_BUSY_HANDLER if start > arrives else R_DISTANCE
    return min(next_run(S, r, start), HORIZON) * 8 + reason


@compiled
def start_of(S: State, r: int, arrives: int, end: int) -> int:
    """Return when the handler starts whose interrupt arrives then, times 8, plus the reason.

    The first instant at which the bit is set, no handler runs, and interrupts are on; on an idle
    CPU after the exit latency of the state it has reached.
    """
    if in_turns(S):
        return _start_in_turns(S, r, arrives, end)
    if S[r + IDLE_SINCE] >= 0:
        if arrives <= end:
            return min(end, HORIZON) * 8 + (R_BUSY_HANDLER if arrives < end else R_DISTANCE)
        latency = exit_latency(S, arrives - max(S[r + IDLE_SINCE], end))
        return min(arrives + latency, HORIZON) * 8 + (R_IDLE_EXIT if latency > 0 else R_DISTANCE)
    start = max(arrives, end)
    if S[r + FLOOR] > start:
        return min(S[r + FLOOR], HORIZON) * 8 + S[r + FLOOR_REASON]
    return min(start, HORIZON) * 8 + (R_BUSY_HANDLER if start > arrives else R_DISTANCE)


@absent_elsewhere
def _run_unwaited(S: State, c: int, k: int, count: int, done: int) -> int:
    """Run the functions of a group that nobody waits for, from ``k`` on; return when they end.

    Each call's data is unlocked, which is its acknowledgement, as its function begins.
    """
    while count > 0:
        e = entry_of(S, k, c)
        if is_unwaited(S, e):
            acknowledge(S, k, c, done)
            done = run_from(S, row_of(c), done, S[e + E_COST] >> 3)
            count -= 1
        k = S[e + E_NEXT]
    return done


@compiled
def plan(S: State, c: int) -> None:
    """Plan all open groups of ``c`` anew: opener, coalesced calls, acknowledgements in queue order.

    start_g = start rule over (arrival of the opener, end_{g-1}); take_g = start_g + entry; every
    entry with q <= take_g is coalesced; one function runs after the other, each acknowledged at its
    end, or at its start, those that nobody waits for last; end_g = end of the last function + exit.
    """
    r = row_of(c)
    end = S[r + BASE_END]
    stolen = S[r + BASE_STOLEN]
    handlers = S[r + BASE_HANDLERS]
    user = from_user(S, r)
    full = FULL | FROM_USER if user and S[r + HEAD] >= 0 else 0
    entry = S[ENTRY] + S[ENTRY_FLUSH] if user else S[ENTRY]
    k = S[r + HEAD]
    take = S[r + LAST_TAKE]
    while k >= 0:
        e = entry_of(S, k, c)
        pushed = 0
        if handlers == S[r + BASE_HANDLERS] and S[r + PIN] >= 0:
            start = S[r + PIN] >> 3
            reason = S[r + PIN] & 7
            pushed = S[r + PIN_PUSHED]
        else:
            packed = start_of(S, r, S[e + E_ARRIVES], end)
            start = packed >> 3
            reason = packed & 7
        stolen_from = S[e + E_ARRIVES] if reason == R_IDLE_EXIT else start
        take = run_from(S, r, start, entry + pushed)
        done = take
        first = k
        unwaited = 0
        while k >= 0:
            e = entry_of(S, k, c)
            if S[e + E_QUEUED] > take:
                break
            begun = done
            last = is_unwaited(S, e)
            unwaited += last
            if last == 0:
                done = run_from(S, r, begun, S[e + E_COST] >> 3)
            full |= S[e + E_COST] & FULL
            S[e + E_START] = start
            S[e + E_META] = (S[e + E_META] & 0xFFFFFFFF) | (user << 35 | reason << 32)
            reason = R_RIDE
            if k == S[N_CPUS]:  # a tick of its own
                if S[e + E_SEES] >= 0:
                    full |= SWEEPS
                S[e + E_ACK] = done
            elif last == 0:
                acknowledge(S, k, c, ack_of(S[e + E_COST], begun, done))
            k = S[e + E_NEXT]
        if compiled_apart(S) and unwaited > 0:
            done = _run_unwaited(S, c, first, unwaited, done)
        end = run_from(S, r, done, S[EXIT])
        stolen += run_by(S, r, end) - run_by(S, r, stolen_from)
        handlers += 1
    S[r + LAST_TAKE] = take
    S[r + PLAN_END] = end
    S[r + PLAN_STOLEN] = stolen
    S[r + PLAN_HANDLERS] = handlers
    S[r + PLAN_FULL] = full
    S[LATEST_END] = max(S[LATEST_END], end)
    S[UNDISTURBED] = 0


@compiled
def revise(S: State, c: int) -> None:
    """Plan ``c`` again after its own state has changed, if anything is open there."""
    if S[row_of(c) + HEAD] >= 0:
        plan(S, c)
        settle_maxima(S)


@compiled
def busy_until(S: State, c: int, now: int) -> int:
    """Return when the handler ends that runs, or starts, on ``c`` now; ``now`` if there is none.

    History must be up to date. The end may still move: whoever waits for it looks again then.
    """
    r = row_of(c)
    end = history_end(S, r)
    if end > now:
        return end
    head = S[r + HEAD]
    if head >= 0:
        e = entry_of(S, head, c)
        if S[e + E_START] <= now:
            return run_from(S, r, take_of(S, r, e), S[EXIT])
    return now


@compiled
def _next_begins(S: State, c: int) -> int:
    """Return when the first handler that is no history begins, or the waking up for it."""
    head = S[row_of(c) + HEAD]
    if head < 0:
        return INF
    e = entry_of(S, head, c)
    return S[e + (E_ARRIVES if S[e + E_META] >> 32 == R_IDLE_EXIT else E_START)]


@compiled
def stolen_by(S: State, c: int, time: int) -> int:
    """Return what handlers have taken of ``c`` before ``time``, up to which history is known."""
    r = row_of(c)
    ran = run_by(S, r, time)
    stolen = history_stolen(S, r) - max(0, run_by(S, r, history_end(S, r)) - ran)
    return stolen + max(0, ran - run_by(S, r, _next_begins(S, c)))


@compiled
def begun_by(S: State, c: int, time: int) -> int:
    """Return how many handlers of ``c`` had begun, or the waking up for them, before ``time``."""
    r = row_of(c)
    handlers = S[r + PLAN_HANDLERS] if S[r + HEAD] < 0 else S[r + BASE_HANDLERS]
    return handlers + (next_run(S, r, _next_begins(S, c)) < time)
