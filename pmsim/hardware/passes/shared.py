"""What ticks that are quiet do on a CPU, and the handlers that they share with calls.

Nothing but a call of one other CPU can be in the queue of a CPU that such a tick comes to: it is
taken by the call's handler, or takes the call along, or each has a handler of its own. Where one is
shared, an entry and an exit are saved. How often that was so on each CPU is counted for intervals
of CPUs at a time, in a tree of sums (Fenwick, *A new data structure for cumulative frequency
tables*, 1994): so it can be asked of one CPU, whatever had happened to it, in a few steps.
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import entry_of, row_of, still_runs


@compiled
def length_of_tick(S: State) -> int:
    """Return how long the handler of a tick takes that drops nothing, and has it to itself."""
    return S[ENTRY] + S[N_CPUS] * S[SCAN] + S[EXIT]


@compiled
def tally(S: State, at: int, c: int) -> int:
    """Return how often CPU ``c`` has been counted in the tree that begins at a place."""
    if S[TALLIED] == 0:
        return 0
    count = 0
    k = c + 1
    while k > 0:
        count += S[at + k]
        k &= k - 1
    return count


@compiled
def forget_tallies(S: State) -> None:
    """Let no CPU have been counted."""
    if S[TALLIED]:
        S[TALLIED] = 0
        for k in range(S[TALLY_AT], S[TALLY_AT] + S[N_CPUS] + 1):
            S[k] = 0


@compiled
def count_between(S: State, at: int, first: int, end: int) -> None:
    """Count every CPU from ``first`` on that is below ``end`` once more."""
    if first >= end:
        return
    S[TALLIED] = 1
    k = first + 1
    while k <= S[N_CPUS]:
        S[at + k] += 1
        k += k & -k
    k = end + 1
    while k <= S[N_CPUS]:
        S[at + k] -= 1
        k += k & -k


@compiled
def tick_is_first(S: State, c: int, i: int, queued: int, now: int) -> bool:
    """Return whether a tick now stands before the call of ``i`` in the queue of ``c``."""
    return queued > now or (queued == now and i > c)


@compiled
def _queued_and_arrives(S: State, c: int, i: int) -> tuple[int, int]:
    """Return how long after a quiet call of ``i`` begins it is queued at ``c``, and arrives."""
    e = entry_of(S, i, c)
    queued = S[TRAP] + (c - (c > i) + 1) * S[QUEUE]
    return queued, queued + S[e + E_ARRIVES] - S[e + E_QUEUED]


@compiled
def is_shared(S: State, c: int, since: int) -> int:
    """Return 1 if a tick shares a handler on ``c`` with the last initiator's quiet call.

    The tick came ``since`` after the call began; `NONE` where none met it.
    """
    if since < 0:
        return 0
    queued, arrives = _queued_and_arrives(S, c, S[QUIET_FROM])
    if tick_is_first(S, c, S[QUIET_FROM], queued, since):
        return 1 if queued <= since + S[ENTRY] else 0
    return 1 if since <= arrives + S[ENTRY] else 0


@compiled
def pushed_back(S: State, c: int, since: int) -> int:
    """Return by how much the clock of ``c`` shows more as such a call's handler starts.

    More than as its interrupt arrives; a CPU's clock is the time less what was stolen (`losses`).
    """
    if since < 0:
        return 0
    queued, arrives = _queued_and_arrives(S, c, S[QUIET_FROM])
    if not tick_is_first(S, c, S[QUIET_FROM], queued, since):
        return 0
    if queued <= since + S[ENTRY]:
        return since - arrives
    stolen = length_of_tick(S)
    return max(0, since + stolen - arrives) - stolen


@compiled
def write_tick(
    S: State, c: int, now: int, start: int, reason: int, done: int, length: int, sees: int
) -> int:
    """Write the entry of a tick, and return where it is."""
    e = entry_of(S, S[N_CPUS], c)
    if e < 0 or e > FAR:
        return e  # never happens, as in `calls.send`
    S[e + E_QUEUED] = now
    S[e + E_ARRIVES] = now
    S[e + E_COST] = 8 * length
    S[e + E_META] = reason << 32
    S[e + E_START] = start
    S[e + E_ACK] = done
    S[e + E_SEES] = sees
    S[e + E_NEXT] = NONE
    return e


@compiled
def _write_start(S: State, e: int, start: int, reason: int, ack: int) -> None:
    """Write when the handler of a call starts, why then, and when it is acknowledged."""
    S[e + E_START] = start
    S[e + E_META] = reason << 32 | S[e + E_META] & 0xFFFFFFFF
    S[e + E_ACK] = ack


@compiled
def place_tick(S: State, c: int, tick: int, length: int, sees: int) -> None:
    """Plan a tick on a CPU with one open call at most, and no window or handler of another.

    The handlers that had begun by then are history. The same as `handlers.plan` does, but that the
    initiator is not told. The tick's function takes ``length``, and it drops what ``sees`` says
    (`layout.E_SEES`).
    """
    r = row_of(c)
    if S[r + HEAD] < 0:
        place_behind(S, c, tick, length, sees)
        return
    if sees >= 0:
        S[r + PLAN_FULL] |= SWEEPS
    i = S[r + HEAD]
    e = entry_of(S, i, c)
    cost = S[e + E_COST] >> 3
    until_ack = cost - still_runs(S[e + E_COST])
    if not tick_is_first(S, c, i, S[e + E_QUEUED], tick):
        done = S[r + PLAN_END] - S[EXIT] + length
        write_tick(S, c, tick, S[e + E_START], R_RIDE, done, length, sees)
        S[e + E_NEXT] = S[N_CPUS]
        S[r + TAIL] = S[N_CPUS]
        S[r + PLAN_END] += length
        S[r + PLAN_STOLEN] += length
        return
    take = tick + S[ENTRY]
    swept = take + length
    if S[e + E_QUEUED] <= take:
        S[write_tick(S, c, tick, tick, R_DISTANCE, swept, length, sees) + E_NEXT] = i
        S[r + HEAD] = S[N_CPUS]
        S[r + PLAN_STOLEN] += length
        _write_start(S, e, tick, R_RIDE, swept + until_ack)
        S[r + LAST_TAKE] = take
        S[r + PLAN_END] = swept + cost + S[EXIT]
        return
    start = max(S[e + E_ARRIVES], swept + S[EXIT])
    reason = R_BUSY_HANDLER if start > S[e + E_ARRIVES] else R_DISTANCE
    S[r + LAST_TAKE] = start + S[ENTRY]
    _write_start(S, e, start, reason, S[r + LAST_TAKE] + until_ack)
    S[r + PLAN_END] = S[r + LAST_TAKE] + cost + S[EXIT]
    place_first(S, c, tick, length, sees)


@compiled
def place_first(S: State, c: int, tick: int, length: int, sees: int) -> None:
    """Plan a tick before all open calls, in a handler of its own that starts at once."""
    r = row_of(c)
    done = tick + S[ENTRY] + length
    e = write_tick(S, c, tick, tick, R_DISTANCE, done, length, sees)
    S[e + E_NEXT] = S[r + HEAD]
    S[r + HEAD] = S[N_CPUS]
    S[r + PLAN_STOLEN] += S[ENTRY] + length + S[EXIT]
    S[r + PLAN_HANDLERS] += 1
    if sees >= 0:
        S[r + PLAN_FULL] |= SWEEPS


@compiled
def place_ticks(S: State, c: int, count: int) -> None:
    """Take so many ticks into account that met nothing: all but the last one are over."""
    r = row_of(c)
    each = length_of_tick(S)
    over = count if S[QUIET_TICK] + S[ENTRY] < S[NOW] else count - 1
    S[r + PLAN_STOLEN] += over * each
    S[r + PLAN_HANDLERS] += over
    if over == count:
        S[r + PLAN_END] = S[QUIET_TICK] + each
    else:
        place_behind(S, c, S[QUIET_TICK], S[N_CPUS] * S[SCAN], NONE)


@compiled
def place_behind(S: State, c: int, tick: int, length: int, sees: int) -> None:
    """Plan a tick on a CPU without open calls, in a handler of its own.

    Its function takes ``length``, and it drops what ``sees`` says (`layout.E_SEES`).
    """
    r = row_of(c)
    start = max(tick, S[r + PLAN_END])
    take = start + S[ENTRY]
    reason = R_BUSY_HANDLER if start > tick else R_DISTANCE
    write_tick(S, c, tick, start, reason, take + length, length, sees)
    S[r + BASE_END] = S[r + PLAN_END]
    S[r + BASE_STOLEN] = S[r + PLAN_STOLEN]
    S[r + BASE_HANDLERS] = S[r + PLAN_HANDLERS]
    S[r + LAST_TAKE] = take
    S[r + PLAN_END] = take + length + S[EXIT]
    S[r + PLAN_STOLEN] += S[ENTRY] + length + S[EXIT]
    S[r + PLAN_HANDLERS] += 1
    S[r + PLAN_FULL] = SWEEPS if sees >= 0 else 0
    S[r + HEAD] = S[N_CPUS]
    S[r + TAIL] = S[N_CPUS]
