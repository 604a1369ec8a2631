"""Ticks that meet nothing, or one quiet call: known whole, without a look at any CPU.

A tick comes at one instant to all CPUs but those that are idle, or isolated while one program has
them. It is quiet if all of these have interrupts on, nobody has been left a note, and all handlers
are over or belong to one quiet call. CPUs catch up with it as with quiet calls
(`catching_up.catch_up`, `shared`), and those to which none comes leave it out. Those that have a
call in flight themselves, and interrupts off, perhaps, are planned one by one.

The call that it meets is queued at one CPU after the other, ``queue`` apart. Where it was queued by
then it is acknowledged as ever. On the others the tick comes first: those on which it takes the
call along acknowledge at the same instant, the rest when the tick's handler is over, or the
interrupt has arrived after that. So the end of the call is known from the first CPU of either part
and from the largest of a - prefix of the second, whatever the number of CPUs; of those to which no
tick comes, only the few are looked at that stand where the others' takes the call along.
"""

from __future__ import annotations

from pmsim.hardware.passes.calendar import file_step
from pmsim.hardware.passes.catching_up import note_seen, record_of, retire
from pmsim.hardware.passes.handlers import visited_at
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.quiet import (
    acknowledge_together,
    gap_before,
    idle_cpus_acknowledge,
    join,
)
from pmsim.hardware.passes.rows import entry_of, row_of, still_runs
from pmsim.hardware.passes.sets import first_of, has
from pmsim.hardware.passes.shared import count_between, length_of_tick, tick_is_first
from pmsim.hardware.passes.ticks import notes_before, sweep_length, tick_on, tick_one_by_one
from pmsim.hardware.passes.turns import goes_on, in_turns


@compiled
def tick(S: State) -> None:
    """The next tick comes now, before all else."""
    S[NEXT_TICK] += 2 * S[TICK]
    if not in_turns(S) and not goes_on(S) and _is_quiet(S):
        _tick_quietly(S)
    else:
        tick_one_by_one(S)


@compiled
def _is_quiet(S: State) -> bool:
    """Return whether a tick now meets nothing, or nothing but the last quiet call."""
    if S[LATEST_FLOOR] > S[NOW] or S[NOTES_WAITING] > 0 or S[SWITCHES_SEE] > 0:
        return False
    if S[BEHIND] and QUIET_PLAIN < S[QUIET_KIND] < QUIET_DROPPING:
        return False
    return S[LATEST_END] < S[NOW] or _meets_one_call(S)


@compiled
def _meets_one_call(S: State) -> bool:
    """Return whether all handlers that are not over belong to a quiet call that is in flight."""
    if not S[BEHIND] or not S[UNDISTURBED] or S[IN_FLIGHT] != 1:
        return False
    if S[QUIET_CALLED] != S[QUIET_CALLS]:
        return False
    o = row_of(S[QUIET_FROM])
    return S[o + MODE] == M_CALL and S[o + C_START] == S[QUIET_AT]


@compiled
def _tick_quietly(S: State) -> None:
    """Tell all CPUs of the tick: those that have a call in flight now, the others later."""
    stolen = length_of_tick(S)
    if S[BEHIND] == 0:  # else it goes with calls of any kind
        join(S, QUIET_PLAIN)
    if S[LATEST_END] < S[NOW]:
        S[LATEST_END] = S[NOW] + stolen
    else:
        _meet(S, S[QUIET_FROM])
    c = NONE
    for _ in range(S[IN_FLIGHT]):
        c = first_of(S, S[CALLING_AT], c + 1, S[N_CPUS])
        retire(S, c, S[NOW] - 1)
        tick_on(S, c)
    S[QUIET_CALLS] += TICKS
    S[QUIET_STOLEN] += stolen
    S[QUIET_TICKED] = S[QUIET_CALLS]
    c = NONE
    for _ in range(S[IN_FLIGHT]):
        c = first_of(S, S[CALLING_AT], c + 1, S[N_CPUS])
        note_seen(S, c)
    S[QUIET_TICK] = S[NOW]
    S[QUIET_LOOKED] = notes_before(S)


@compiled
def _meet(S: State, i: int) -> None:
    """The tick meets the call of CPU ``i``: find when it is acknowledged now, and where.

    `first` and `taken` are how many targets have it queued by now, and before the tick takes its
    queue: from the first to the second the tick takes it along.
    """
    o = row_of(i)
    n = S[N_CPUS] - 1
    now = S[NOW]
    since = now - S[QUIET_AT] - S[TRAP]
    first = min(n, max(0, since) // S[QUEUE])
    if first > 0 and tick_is_first(S, _target(i, first - 1), i, first * S[QUEUE], since):
        first -= 1
    taken = max(first, min(n, max(0, since + S[ENTRY]) // S[QUEUE]))
    if S[REACH_OF] != i + 1:
        _get_to_know_reach(S, i)
        S[REACH_OF] = i + 1
    cost = S[QUIET_COST] >> 3
    until_ack = cost - still_runs(S[QUIET_COST])
    to_ack = S[ENTRY] + until_ack
    swept = now + S[ENTRY] + sweep_length(S, 0)
    free = swept + S[EXIT]
    S[o + C_MAX] = -INF
    S[o + C_SLOWEST] = NONE
    S[o + C_LAST_ACK] = 0
    if first > 0:
        c = _target(i, first - 1)
        late = S[QUIET_AT] + _reach(S, R_LATE, c)
        largest = S[QUIET_AT] + _reach(S, R_LARGEST, c)
        acknowledge_together(S, o, _reach(S, R_WHERE, c), late + to_ack, largest + to_ack)
    if first < taken:
        _acknowledge_at_first(S, i, first, taken, swept + until_ack)
        for k in range(first, taken if S[UNTICKED] > 0 else first):
            c = _target(i, k)
            if has(S, S[TICKING_AT], c) == 0:
                _acknowledge_at(S, i, c, S[QUIET_AT] + _reach(S, R_ARRIVES, c) + to_ack)
    if taken < n:
        _acknowledge_at_first(S, i, taken, n, free + to_ack)
        c = _target(i, taken)
        late = S[QUIET_AT] + _reach(S, R_LATE_ON, c)
        largest = S[QUIET_AT] + _reach(S, R_LARGEST_ON, c)
        acknowledge_together(S, o, _reach(S, R_WHERE_ON, c), late + to_ack, largest + to_ack)
    idle_cpus_acknowledge(S, o)
    _count_shared(S, i, first, taken)
    S[QUIET_MET] = now
    if S[QUIET_KIND] >= QUIET_DROPPING:
        _note_meeting(S, o)
    latest = max(now, S[QUIET_AT] + S[o + Q_LATE])
    latest += 2 * (S[ENTRY] + S[EXIT]) + sweep_length(S, 0) + cost
    S[LATEST_END] = max(S[LATEST_END], latest)
    if S[o + C_PHASE] == 0:
        file_step(S, i, visited_at(S, o))


@compiled
def _note_meeting(S: State, o: int) -> None:
    """Write down when the tick met the last call; clocks show less for it as that is handled.

    By no more than the interrupt arrives after the tick (`shared.pushed_back`), which comes after
    the call has begun.
    """
    number = S[QUIET_CALLED] - 1
    S[record_of(S, number) + RECORD_MET] = S[NOW]
    S[LEAST_GAP] = min(S[LEAST_GAP], gap_before(S, number) - S[o + Q_LATE])


@compiled
def _target(i: int, k: int) -> int:
    """Return which CPU is target ``k`` of a call of ``i`` to all others."""
    return k + (k >= i)


@compiled
def _reach(S: State, plane: int, c: int) -> int:
    """Return what is known of CPU ``c`` in a plane (`layout.R_ARRIVES`)."""
    return S[S[REACH_AT] + plane * S[N_CPUS] + c]


@compiled
def _acknowledge_at_first(S: State, i: int, k: int, end: int, ack: int) -> None:
    """Targets of ``i`` from number ``k`` on acknowledge at one instant, if the tick comes to them.

    The slowest of them is the first, from which the most lines are left.
    """
    c = first_of(S, S[TICKING_AT], _target(i, k), S[N_CPUS])
    if c == i:
        c = first_of(S, S[TICKING_AT], c + 1, S[N_CPUS])
    if c <= _target(i, end - 1):
        _acknowledge_at(S, i, c, ack)


@compiled
def _acknowledge_at(S: State, i: int, c: int, ack: int) -> None:
    """CPU ``c`` acknowledges the call of ``i`` at an instant."""
    acknowledge_together(S, row_of(i), c, ack, ack - S[entry_of(S, i, c) + E_PREFIX])


@compiled
def _count_shared(S: State, i: int, first: int, taken: int) -> None:
    """Count the CPUs on which a tick that comes now shares a handler with the call of ``i``.

    They are those on which it takes the call along, and those that have not taken the call yet: all
    until the first interrupt has arrived, none once the last one has.
    """
    n = S[N_CPUS]
    begin = _target(i, 0)
    end = _target(i, first - 1) + 1 if first > 0 else begin
    since = S[NOW] - S[QUIET_AT] - S[ENTRY]
    if first < taken:
        count_between(S, S[TALLY_AT], _target(i, first), _target(i, taken - 1) + 1)
    if since > S[row_of(i) + Q_LATE]:
        return
    if since <= S[TRAP] + (n - 1) * S[QUEUE]:  # nothing is sent before all is queued
        count_between(S, S[TALLY_AT], begin, end)
        return
    while begin < end:
        run_end = min(end, _reach(S, R_RUN_END, begin))
        count_between(S, S[TALLY_AT], _first_from(S, since, begin, run_end), run_end)
        begin = run_end


@compiled
def _first_from(S: State, since: int, begin: int, end: int) -> int:
    """Return the first CPU of a stretch at which a quiet call arrives so long after it begins.

    Or later; ``end`` if there is none. On none of the stretch does it arrive before it does on the
    one below.
    """
    while begin < end:
        middle = (begin + end) >> 1
        if S[S[REACH_AT] + middle] < since:
            begin = middle + 1
        else:
            end = middle
    return begin


@compiled
def _get_to_know_reach(S: State, i: int) -> None:
    """Work out what a tick has to know of all quiet calls of ``i``: see `layout.R_ARRIVES`."""
    for on in range(2):
        late = 0
        largest = -INF
        where = NONE
        for k in range(S[N_CPUS]):
            c = S[N_CPUS] - 1 - k if on else k
            at = S[REACH_AT] + c
            if c != i:
                e = entry_of(S, i, c)
                queued = S[TRAP] + (c - (c > i) + 1) * S[QUEUE]
                arrives = queued + S[e + E_ARRIVES] - S[e + E_QUEUED]
                late = max(late, arrives)
                value = arrives - S[e + E_PREFIX]
                if value > largest or (on and value == largest):
                    largest = value
                    where = c
                S[at] = arrives
            elif on == 0:  # it breaks no stretch
                S[at] = S[at - 1] if c > 0 else 0
            at += R_LATE * S[N_CPUS] if on == 0 else R_LATE_ON * S[N_CPUS]
            S[at] = late
            S[at + S[N_CPUS]] = largest
            S[at + 2 * S[N_CPUS]] = where
    end = S[N_CPUS]
    for k in range(S[N_CPUS]):
        at = S[REACH_AT] + S[N_CPUS] - 1 - k
        if k > 0 and S[at + 1] < S[at]:
            end = S[N_CPUS] - k
        S[at + R_RUN_END * S[N_CPUS]] = end
