"""Invalidations that the interconnect broadcasts: one server, a way back, and what others lose.

Where no handler is planned or running when a service ends, CPUs are charged for it later (`quiet`).
"""

from __future__ import annotations

from pmsim.hardware.passes.calendar import file_step, file_step_or_timer
from pmsim.hardware.passes.catching_up import retire
from pmsim.hardware.passes.handlers import stolen_by
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.losses import charge
from pmsim.hardware.passes.occupation import occupy
from pmsim.hardware.passes.quiet import serve_quietly
from pmsim.hardware.passes.rows import row_of
from pmsim.hardware.passes.turns import goes_on, in_turns, run_by


@compiled
def serve(S: State, i: int) -> None:
    """The service of CPU ``i``'s invalidation ends now: all CPUs are charged for it.

    And for the recovery after it, as far as that goes beyond the recovery from the last one; what
    comes next is charged for what goes beyond this one's.
    """
    o = row_of(i)
    now = S[NOW]
    after = min(S[RECOVERY], now - S[LAST_SERVED] - S[o + I_SERVICE])
    S[LAST_SERVED] = now
    S[ASKED] -= 1
    S[o + C_PHASE] = 1
    if S[LATEST_END] <= now and not in_turns(S):
        serve_quietly(S, S[o + I_SERVICE], after, S[o + I_EMPTIES])
        return
    for c in range(S[N_CPUS]):
        r = row_of(c)
        if S[o + I_EMPTIES] == 0 and S[r + MODE] != M_COMPUTE:
            continue
        retire(S, c, now)
        clock = run_by(S, r, now) - stolen_by(S, c, now)
        charge(S, r, clock, S[o + I_SERVICE], after, S[o + I_EMPTIES])


@compiled
def serve_due(S: State, i: int) -> None:
    """Serve CPU ``i``, whose service ends now, after all whose turn was before and ends now too."""
    while S[ASKED] > 1:
        first = i
        for c in range(S[N_CPUS]):
            r = row_of(c)
            due = S[r + MODE] == M_FENCE and S[r + C_PHASE] == 0 and S[r + I_SERVED] <= S[NOW]
            if due and S[r + I_TURN] < S[row_of(first) + I_TURN]:
                first = c
        if first == i:
            break
        serve(S, first)
    serve(S, i)


@compiled
def await_fence(S: State, c: int) -> None:
    """File an invalidation: the end of its service is interrupt work, its own end a step."""
    r = row_of(c)
    if S[r + C_PHASE] == 0:
        file_step_or_timer(S, c, 2 * S[r + I_SERVED] if S[r + I_SERVED] < HORIZON else INF)
    else:
        file_step(S, c, S[r + NEED])


@compiled
def _ask(S: State, i: int, service: int, trips: int, empties: int) -> None:
    """CPU ``i`` asks the server for something, and for so many answers of all others.

    begin = max(now, server free); served = begin + service + contention for each that is asked for
    and not served yet; done = served + trips, each with a barrier that does not keep the server.
    """
    o = row_of(i)
    service += S[ASKED] * S[CONTENTION]
    served = min(max(S[NOW], S[SERVER_FREE]) + service, HORIZON)
    S[SERVER_FREE] = served
    S[ASKED] += 1
    S[TURNS] += 1
    S[o + I_TURN] = S[TURNS]
    S[o + I_SERVED] = served
    S[o + I_SERVICE] = service
    S[o + I_EMPTIES] = empties
    S[o + C_PHASE] = 0
    occupy(S, i, M_FENCE, served + trips * min(S[o + I_TRIP], HORIZON // trips))
    await_fence(S, i)


@compiled
def _begin_invalidation(
    S: State, D: Codes, i: int, operations: int, service: int, more: State
) -> None:
    """CPU ``i`` begins an invalidation, and spins until all have answered."""
    o = row_of(i)
    if S[o + I_FARTHEST] == 0:
        S[o + I_FARTHEST] = 1
        for c in range(S[N_CPUS]):
            if c != i:
                S[o + I_FARTHEST] = max(S[o + I_FARTHEST], S[S[ROUND_TRIP_AT] + D[i, c]] + 1)
    S[o + C_TARGETS] = S[N_CPUS] - 1
    S[o + C_INVALIDATIONS] = operations
    S[o + I_TRIP] = S[o + I_FARTHEST] - 1 + more[0]
    S[o + I_REPEAT] = more[2]
    _ask(S, i, service, more[1], more[3])
    S[o + C_LAST_ACK] = S[o + I_SERVED]


@compiled
def _begin_wait(S: State, i: int, holders: int, held: int, trip: int) -> None:
    """CPU ``i`` spins until the hardware has told all holders and their answers are there."""
    o = row_of(i)
    S[o + C_TARGETS] = holders
    S[o + C_INVALIDATIONS] = 0
    S[o + I_SERVED] = S[NOW] + held
    S[o + I_SERVICE] = held
    S[o + I_REPEAT] = NONE
    S[o + C_PHASE] = 1
    S[o + C_LAST_ACK] = S[NOW] + held + trip
    occupy(S, i, M_FENCE, S[NOW] + held + trip)
    await_fence(S, i)


@compiled
def tell_by_hardware(
    S: State, D: Codes, i: int, protocol: int, n: int, cost: int, more: State
) -> int:
    """Hardware tells others for CPU ``i``, as `steps.call` is asked; return 1 if that is over."""
    o = row_of(i)
    retire(S, i, S[NOW])
    S[o + SENT] += 1
    S[o + C_START] = S[NOW]
    S[o + C_WAITED] = 0
    if goes_on(S):
        S[o + C_READY] = 0
    S[o + C_PROTOCOL] = protocol
    S[o + I_BEFORE] = 0
    if protocol == BY_TLBI:
        _begin_invalidation(S, D, i, n, cost, more)
        return 0
    _begin_wait(S, i, n, cost, more[0])
    if cost + more[0] > 0:
        return 0
    S[o + MODE] = M_STEP
    return 1


@compiled
def repeat_sync(S: State, i: int) -> int:
    """The answers are there: return 1 if CPU ``i`` asks for one more operation and barrier."""
    o = row_of(i)
    repeat = S[o + I_REPEAT]
    if repeat < 0:
        return 0
    S[o + I_REPEAT] = REPEATED
    S[o + I_BEFORE] = S[o + I_SERVICE]
    _ask(S, i, repeat, 1, 0)
    return 1
