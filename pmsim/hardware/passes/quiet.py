"""What happens to everybody while nothing else goes on: known whole, without a look at any CPU.

A call is quiet if it is about all other CPUs, none holds interrupts off or has a handler that is
not over, and no other call is in flight. Then those in user mode are left out where calls leave
CPUs out, and each target's handler starts as its interrupt arrives: the call is the same as any
other quiet call of this initiator, but for the time. Its end is known from the first one, as long
as the same CPUs are in user mode. So is the service of an invalidation while no handler is planned.

CPUs that are idle may have to wake up first. These are looked at one by one. None answers before it
would if it were busy: so what is known of all as if none were idle is no later than the end, which
is the later one of that and of what these few answer.

CPUs catch up when something else happens to them, or when somebody asks (`catching_up`). All that
one of them may not know of is of one kind, but for ticks (`quiet_ticks`), which go with calls.
Where it leaves debts that depend on when each was, there is a record of each.

No quiet call has jitter, which differs from target to target.
"""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import (
    note_seen,
    open_call,
    queued_at,
    record_of,
    retire,
)
from pmsim.hardware.passes.catching_up_all import catch_up_all
from pmsim.hardware.passes.handlers import start_of
from pmsim.hardware.passes.history import close_plan, is_plain, retire_known
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.losses import share_of
from pmsim.hardware.passes.rows import (
    cost_word,
    entry_of,
    fanout_to,
    from_user,
    row_of,
    still_runs,
)
from pmsim.hardware.passes.sets import first_of
from pmsim.hardware.passes.shared import forget_tallies
from pmsim.hardware.passes.turns import goes_on, in_turns


@compiled
def is_quiet(S: State, targets: State, jitter: State) -> bool:
    """Return whether a call that begins now would meet nothing else."""
    return (
        targets.size == 0
        and not in_turns(S)
        and jitter.size == 0
        and S[IN_FLIGHT] == 0
        and (S[IDLE_CPUS] == 0 or not goes_on(S))
        and S[LATEST_FLOOR] <= S[NOW]
        and S[LATEST_END] <= S[NOW]
    )


@compiled
def join(S: State, kind: int) -> None:
    """Something quiet of a kind comes: all that CPUs do not know of yet is to be of the same."""
    full = kind >= QUIET_SERVED and (S[QUIET_CALLS] - S[QUIET_BEGAN]) % TICKS >= RECORDS
    if full or kind != S[QUIET_KIND]:
        catch_up_all(S)
    if S[BEHIND] == 0:
        S[BEHIND] = 1
        S[QUIET_KIND] = kind
        S[QUIET_BEGAN] = S[QUIET_CALLS]
        S[QUIET_STOLEN] = 0
        forget_tallies(S)
        S[LEAST_GAP] = INF
        S[MOST_SERVICE] = 0


@compiled
def _record(S: State, stolen: int) -> None:
    """Write down an event, before which so much had been stolen.

    And how long it is since the last one, less what that one stole: so long a target may have paid
    what it owed.
    """
    at = record_of(S, S[QUIET_CALLS])
    S[at + RECORD_TIME] = S[NOW]
    S[at + RECORD_STOLEN] = stolen
    S[LEAST_GAP] = min(S[LEAST_GAP], gap_before(S, S[QUIET_CALLS]))


@compiled
def gap_before(S: State, number: int) -> int:
    """Return how long a target had between an event of this number and the one before it."""
    if number % TICKS == S[QUIET_BEGAN] % TICKS:
        return INF
    at = record_of(S, number)
    before = record_of(S, number - 1)
    stolen = S[at + RECORD_STOLEN] - S[before + RECORD_STOLEN]
    return S[at + RECORD_TIME] - S[before + RECORD_TIME] - stolen


@compiled
def _put_off(S: State) -> None:
    """What happens now is left to all in user mode, by the next number."""
    if S[QUIET_CALLS] == S[QUIET_BEGAN] or S[QUIET_AT] != S[NOW]:
        S[QUIET_AT_FIRST] = S[DEFERRALS]
    S[QUIET_NUMBER] = S[DEFERRALS]
    S[DEFERRALS] += 1


@compiled
def put_off_quietly(S: State, i: int) -> None:
    """A call of ``i`` is left to all others, who are in user mode."""
    join(S, LEAVES_OUT)
    _put_off(S)
    S[QUIET_CALLS] += 1
    S[QUIET_FROM] = NONE
    S[QUIET_AT] = S[NOW]
    note_seen(S, i)


@compiled
def serve_quietly(S: State, service: int, after: int, empties: int) -> None:
    """A service ends now, while no handler is planned or running: CPUs are charged for it later."""
    join(S, QUIET_SERVED + empties)
    _record(S, S[QUIET_LOSSES])
    S[MOST_SERVICE] = max(S[MOST_SERVICE], service)
    at = record_of(S, S[QUIET_CALLS])
    S[at + RECORD_SERVICE] = service
    S[at + RECORD_AFTER] = after
    S[QUIET_LOSSES] += share_of(S, service + after)
    S[QUIET_CALLS] += 1
    S[QUIET_FROM] = NONE
    S[QUIET_AT] = S[NOW]


@compiled
def send_quietly(S: State, D: Codes, i: int, left_out: int, cost: int, flags: int) -> None:
    """Tell all others of a quiet call of ``i``; the same as `calls.send` does for it.

    Those in user mode are left out, if any are.
    """
    o = row_of(i)
    known = 2 * (1 + S[USER_CHANGES]) + (left_out > 0)
    if S[o + Q_KNOWN] != known:
        _get_to_know(S, D, i, left_out)
        S[o + Q_KNOWN] = known
    drops = flags & FULL
    kind = LEAVES_OUT if left_out else 0
    if drops or (S[USERS] > 0 and left_out == 0):
        kind += QUIET_DROPPING + 8 * i + drops
    join(S, kind)
    if kind >= QUIET_DROPPING:
        _record(S, S[QUIET_STOLEN])
        at = record_of(S, S[QUIET_CALLS])
        S[at + RECORD_MET] = NONE
        S[at + RECORD_NUMBER] = S[QUIET_CALLS] + 1
    if left_out:
        _put_off(S)
    stolen = S[ENTRY] + cost + S[EXIT]
    word = cost_word(S, cost, flags)
    S[LATEST_END] = S[NOW] + S[o + Q_LATE] + stolen
    S[QUIET_STARTS] = S[NOW] + S[o + Q_LAST]
    S[IDLE_SLOWEST] = NONE
    if S[IDLE_CPUS] > 0:
        _call_idle_cpus(S, i, word, kind & LEAVES_OUT)
    S[QUIET_CALLS] += 1
    S[QUIET_STOLEN] += stolen
    S[QUIET_FROM] = i
    S[QUIET_AT] = S[NOW]
    S[QUIET_COST] = word
    S[QUIET_CALLED] = S[QUIET_CALLS]
    S[CALLED_STOLEN] = S[QUIET_STOLEN]
    S[QUIET_MET] = NONE
    S[UNDISTURBED] = 1
    note_seen(S, i)
    S[o + C_FIRST] = S[o + Q_FIRST]
    S[o + C_LOCAL_END] = S[NOW] + S[o + Q_SENT]
    S[o + C_LINE] = S[o + Q_LINE]
    runs_on = still_runs(word)
    S[o + C_MAX] = S[NOW] + S[o + Q_MAX] + S[ENTRY] + cost - runs_on
    S[o + C_LAST_ACK] = S[NOW] + S[o + Q_LATE] + S[ENTRY] + cost - runs_on
    S[o + C_RUNS_ON] = runs_on
    S[o + C_SLOWEST] = S[o + Q_SLOWEST]
    idle_cpus_acknowledge(S, o)


@compiled
def _call_idle_cpus(S: State, i: int, word: int, leaves_out: int) -> None:
    """Plan a quiet call of ``i`` on the CPUs that are idle; they have seen it then.

    The same as `calls.send` does, but from what is known of the call.
    """
    now = S[NOW]
    stolen = S[ENTRY] + (word >> 3) + S[EXIT]
    seen = S[QUIET_CALLS] + 1
    all_stolen = S[QUIET_STOLEN] + stolen
    seen_at = S[SEEN_AT]
    latest = S[LATEST_END]
    starts = S[QUIET_STARTS]
    largest = -INF
    last_ack = 0
    c = first_of(S, S[IDLING_AT], 0, S[N_CPUS])
    while c < S[N_CPUS]:
        r = row_of(c)
        e = entry_of(S, i, c)
        if r < 0 or r > FAR or e < 0 or e > FAR:
            break  # never happens, as in `calls.send`
        if S[r + HEAD] >= 0:  # it has seen all calls; and ticks do not come to it
            if is_plain(S, r, now):
                close_plan(S, r)
            else:
                retire_known(S, c, now)
        left_out = S[r + LEFT_OUT_BELOW] if leaves_out else 0
        queued = queued_at(S, i, c, left_out, now)
        arrives = queued + S[e + E_ARRIVES] - S[e + E_QUEUED]
        packed = start_of(S, r, arrives, S[r + PLAN_END])
        start = packed >> 3
        reason = packed & 7
        open_call(S, r, e, i, queued, arrives, start, reason, word, 0)
        wakes = start - arrives if reason == R_IDLE_EXIT else 0
        S[r + BASE_STOLEN] = S[r + PLAN_STOLEN]
        S[r + BASE_HANDLERS] = S[r + PLAN_HANDLERS]
        S[r + PLAN_STOLEN] += wakes + stolen
        S[r + PLAN_HANDLERS] += 1
        S[seen_at + c] = seen
        S[r + SEEN_STOLEN] = all_stolen
        latest = max(latest, S[r + PLAN_END])
        starts = max(starts, start)
        ack = S[e + E_ACK]
        last_ack = max(last_ack, ack)
        if ack - S[e + E_PREFIX] > largest:
            largest = ack - S[e + E_PREFIX]
            S[IDLE_SLOWEST] = c
        c = first_of(S, S[IDLING_AT], c + 1, S[N_CPUS])
    S[LATEST_END] = latest
    S[QUIET_STARTS] = starts
    S[IDLE_ACK] = last_ack
    S[IDLE_MAX] = largest


@compiled
def idle_cpus_acknowledge(S: State, o: int) -> None:
    """CPUs that were idle acknowledge the last quiet call, made by the CPU of a row."""
    if S[IDLE_SLOWEST] >= 0:
        acknowledge_together(S, o, S[IDLE_SLOWEST], S[IDLE_ACK], S[IDLE_MAX])


@compiled
def acknowledge_together(S: State, o: int, c: int, last: int, value: int) -> None:
    """Some targets, of which ``c`` is the slowest, acknowledge: the last, and a - prefix."""
    S[o + C_LAST_ACK] = max(S[o + C_LAST_ACK], last)
    if value > S[o + C_MAX] or (value == S[o + C_MAX] and c < S[o + C_SLOWEST]):
        S[o + C_MAX] = value
        S[o + C_SLOWEST] = c


@compiled
def _get_to_know(S: State, D: Codes, i: int, left_out: int) -> None:
    """Work out what all quiet calls of ``i`` have in common, from their beginning.

    When they are sent, when the last interrupt arrives, all lines, the largest of a - prefix and
    where; and on each target the prefix, its group, who comes next, and how long after the queue
    the interrupt comes.
    """
    o = row_of(i)
    n = S[N_CPUS] - 1 - left_out
    fanout = fanout_to(S, n)
    q = S[TRAP]
    sent = q + n * S[QUEUE] + left_out * S[CHECK]
    below = 0
    groups = 0
    group_end = 0
    prefix = 0
    last = NONE
    S[o + Q_MAX] = -INF
    S[o + Q_LAST] = 0
    S[o + Q_LATE] = 0
    for c in range(S[N_CPUS]):
        if c == i:
            continue
        r = row_of(c)
        retire(S, c, S[NOW])  # before the entry of an earlier call is written over
        if left_out:
            S[r + LEFT_OUT_BELOW] = below
            if S[r + IN_USER]:
                below += 1
                q += S[CHECK]
                continue
        if c >= group_end:
            group_end = (c // fanout + 1) * fanout
            groups += 1
            sent += S[SEND]
        sent += S[KICK]
        q += S[QUEUE]
        arrives = sent + S[S[DELIVERY_AT] + D[i, c]]
        e = entry_of(S, i, c)
        S[e + E_QUEUED] = q
        S[e + E_ARRIVES] = arrives
        S[e + E_PREFIX] = prefix
        S[e + E_META] = groups << 16
        if last < 0:
            S[o + Q_FIRST] = c
        else:
            S[entry_of(S, i, last) + E_META] |= c + 1
        last = c
        S[o + Q_LAST] = max(S[o + Q_LAST], arrives)
        if from_user(S, r):
            arrives += S[ENTRY_FLUSH]
        if arrives - prefix > S[o + Q_MAX]:
            S[o + Q_MAX] = arrives - prefix
            S[o + Q_SLOWEST] = c
        S[o + Q_LATE] = max(S[o + Q_LATE], arrives)
        prefix += S[S[LINE_AT] + D[i, c]]
    S[o + Q_LINE] = prefix
    S[o + Q_SENT] = sent
