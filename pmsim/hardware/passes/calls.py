"""Cross-calls: queued and sent in one pass over the targets, and visited by a maximum.

The initiator leaves target c at max(w before, ack_c) + line. Unrolled over all targets, with P_c
the ``line`` costs of the targets before c and L those of all:
w = L + max(l, max over c of (ack_c - P_c)). So a later acknowledgement changes the end in constant
time, and only one that was the maximum and becomes earlier needs a look at all targets.
"""

from __future__ import annotations

from pmsim.hardware.passes.calendar import file_step
from pmsim.hardware.passes.catching_up import catch_up, retire
from pmsim.hardware.passes.catching_up_all import (
    catch_up_all,
    catch_up_with_ticks_alone,
    only_ticks,
)
from pmsim.hardware.passes.deferral import leave_out
from pmsim.hardware.passes.handlers import (
    insert_sorted,
    plan,
    settle_maxima,
    start_of,
    visited,
    visited_at,
)
from pmsim.hardware.passes.history import close_plan, is_plain, is_to_come
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.log import latest, log_call
from pmsim.hardware.passes.occupation import begin_window, irqs_off_of, own_time
from pmsim.hardware.passes.quiet import is_quiet, send_quietly
from pmsim.hardware.passes.refill import empty_tlb
from pmsim.hardware.passes.rows import (
    caller,
    entry_of,
    fanout_to,
    row_of,
    still_runs,
    told,
)
from pmsim.hardware.passes.sets import first_of, has, put_in, take_out
from pmsim.hardware.passes.turns import compiled_apart, goes_on, in_turns, run_by, run_from
from pmsim.hardware.passes.unwaited import (
    know_ends_again,
    look_part,
    next_is_ready,
    next_is_unwaited,
    open_plan,
    send_to_queued,
    word_of,
)


@compiled
def _append(S: State, c: int, i: int) -> None:
    """Plan call ``i`` behind the last open entry of ``c``: it is coalesced, or opens a group."""
    r = row_of(c)
    e = entry_of(S, i, c)
    cost = S[e + E_COST] >> 3
    last = entry_of(S, S[r + TAIL], c)
    user = S[last + E_META] >> 35  # all that is planned comes from there, or nothing does
    if S[e + E_QUEUED] <= S[r + LAST_TAKE]:
        start = S[last + E_START]
        reason = R_RIDE
        done = S[r + PLAN_END] - S[EXIT] + cost
        S[r + PLAN_STOLEN] += cost
    else:
        packed = start_of(S, r, S[e + E_ARRIVES], S[r + PLAN_END])
        start = packed >> 3
        reason = packed & 7
        S[r + LAST_TAKE] = start + (S[ENTRY] + S[ENTRY_FLUSH] if user else S[ENTRY])
        done = S[r + LAST_TAKE] + cost
        stolen_from = S[e + E_ARRIVES] if reason == R_IDLE_EXIT else start
        S[r + PLAN_STOLEN] += done + S[EXIT] - stolen_from
        S[r + PLAN_HANDLERS] += 1
    S[r + PLAN_END] = done + S[EXIT]
    S[LATEST_END] = max(S[LATEST_END], S[r + PLAN_END])
    S[r + PLAN_FULL] |= FULL | FROM_USER if user else S[e + E_COST] & FULL
    S[e + E_START] = start
    S[e + E_META] |= user << 35 | reason << 32
    S[e + E_ACK] = done - still_runs(S[e + E_COST])
    S[last + E_NEXT] = i
    S[r + TAIL] = i


@compiled
def _queue_behind(S: State, c: int, i: int) -> None:
    """Queue call ``i`` on a target with open entries: behind the last, or between others.

    Where CPUs take turns, or calls need not be waited for, also on one without.
    """
    if in_turns(S) or goes_on(S):
        insert_sorted(S, c, i)
        plan(S, c)
        return
    tail = S[row_of(c) + TAIL]
    q = S[entry_of(S, i, c) + E_QUEUED]
    last = S[entry_of(S, tail, c) + E_QUEUED]
    if q > last or (q == last and i > caller(S, tail, c)):
        _append(S, c, i)
    else:
        insert_sorted(S, c, i)
        plan(S, c)


@compiled
def _catch_up_with_quiet_calls(S: State, targets: State) -> None:
    """Let the targets of a call know of the quiet calls before it."""
    if 2 * targets.size > S[N_CPUS] or targets.size == 0:
        catch_up_all(S)
    else:
        for c in targets:
            catch_up(S, c)


@compiled
def send(
    S: State,
    D: Codes,
    targets: State,
    jitter: State,
    i: int,
    n: int,
    left_out: int,
    cost: int,
    flags: int,
) -> None:
    """Queue and send call ``i`` to its targets, ascending (machine-model page, section 4).

    q_k = t + trap + (k+1) queue; a = t + trap + n queue + (g+1) send + (k+1) kick + delivery +
    jitter; the visit leaves c at w_c = max(w_previous, ack_c) + line, so that the prefix of lines
    turns it into a maximum. (Only the firmware has a trap, only a guest's host kicks.) A target
    that is left out takes a check in the place of its queue; n are the others. On a CPU that takes
    turns, q and what is before the delivery are running time.
    """
    o = row_of(i)
    t = S[NOW]
    full = flags & FULL
    word = word_of(S, cost, flags)
    unwaited = next_is_unwaited(S)
    ready = next_is_ready(S)
    trap = S[TRAP] if n > 0 else 0
    queue = S[QUEUE]
    fanout = fanout_to(S, n)
    kick = S[KICK]
    entry = S[ENTRY]
    to_ack = cost - still_runs(word)  # from the take of a handler that takes this call alone
    to_end = cost + S[EXIT]
    entries_at = S[ENTRIES_AT] + i * S[N_CPUS] * ENTRY_ROW
    delivery_at = S[DELIVERY_AT]
    line_at = S[LINE_AT]
    everyone = targets.size == 0
    count = S[N_CPUS] if everyone else targets.size
    q = t + trap
    sent = q + (n - ready) * queue + left_out * S[CHECK]
    step_by_step = in_turns(S) or goes_on(S)
    left_out_at = S[LEFT_OUT_AT]
    # the next one, from the present target on, that is in user mode
    user = first_of(S, S[USERS_AT], 0, S[N_CPUS]) if S[USERS] > 0 else S[N_CPUS]
    groups = 0
    group_end = 0
    prefix = 0
    best = -INF
    slowest = NONE
    before = NONE  # the entry of the target before
    last_ack = 0
    latest = S[LATEST_END]
    k = 0
    ticks_alone = S[BEHIND] > 0 and only_ticks(S)
    if S[BEHIND] and not ticks_alone:
        _catch_up_with_quiet_calls(S, targets)
    for j in range(count):
        c = j if everyone else targets[j]
        if c == i:
            continue
        if left_out and has(S, left_out_at, c):
            q += S[CHECK]
            k += 1  # its jitter has been drawn
            continue
        if c >= group_end:
            group_end = c + 1 if fanout == 1 else (c // fanout + 1) * fanout
            groups += 1
            sent += S[SEND]
        if not (compiled_apart(S) and k < ready):
            q += queue
        sent += kick
        code = D[i, c]
        arrives = sent + S[delivery_at + code]
        if jitter.size:
            arrives += jitter[k]
        k += 1
        r = row_of(c)
        e = entries_at + c * ENTRY_ROW
        if r < 0 or r > FAR or e < 0 or e > FAR:
            break  # never happens; the bounds let the compiler drop its wrap-around checks
        if before < 0:
            S[o + C_FIRST] = c
        else:
            S[before + E_META] |= c + 1
        before = e
        if step_by_step:
            retire(S, c, t)
        elif S[r + HEAD] >= 0:
            # before the entry of this initiator's previous call is overwritten
            if is_plain(S, r, t):
                close_plan(S, r)
            elif not is_to_come(S, r, t):
                retire(S, c, t)
        if ticks_alone:
            catch_up_with_ticks_alone(S, c)
        if compiled_apart(S) and k <= ready:
            S[e + E_ARRIVES] = arrives + run_from(S, o, t, sent - t) - sent
            awaited = NONE if unwaited else prefix
            ack = send_to_queued(S, c, i, groups << 16, awaited)
        else:
            S[e + E_QUEUED] = q
            S[e + E_ARRIVES] = arrives
            S[e + E_COST] = word
            S[e + E_PREFIX] = NONE if unwaited else prefix
            S[e + E_NEXT] = NONE
            if step_by_step:
                S[e + E_QUEUED] = run_from(S, o, t, q - t)
                S[e + E_ARRIVES] += run_from(S, o, t, sent - t) - sent
            if step_by_step or S[r + HEAD] >= 0:
                S[e + E_META] = unwaited << 31 | groups << 16
                S[e + E_ACK] = NONE
                if step_by_step:
                    open_plan(S, r)
                _queue_behind(S, c, i)
                ack = S[e + E_ACK]
            else:
                end = S[r + PLAN_END]
                start = max(arrives, end)
                reason = R_DISTANCE
                if S[r + IDLE_SINCE] >= 0 or S[r + FLOOR] > start or end > arrives:
                    packed = start_of(S, r, arrives, end)
                    start = packed >> 3
                    reason = packed & 7
                take = start + entry
                S[r + PLAN_FULL] = full
                S[e + E_META] = reason << 32 | groups << 16
                if c > user:
                    user = first_of(S, S[USERS_AT], c, S[N_CPUS])
                if c == user:
                    take += S[ENTRY_FLUSH]
                    S[r + PLAN_FULL] = FULL | FROM_USER
                    S[e + E_META] |= 1 << 35
                ack = take + to_ack
                S[r + BASE_END] = end
                end = take + to_end
                stolen = S[r + PLAN_STOLEN]
                handlers = S[r + PLAN_HANDLERS]
                S[r + BASE_STOLEN] = stolen
                S[r + BASE_HANDLERS] = handlers
                S[r + HEAD] = i
                S[r + TAIL] = i
                S[r + LAST_TAKE] = take
                S[r + PLAN_END] = end
                latest = max(latest, end)
                S[r + PLAN_STOLEN] = stolen + end - (arrives if reason == R_IDLE_EXIT else start)
                S[r + PLAN_HANDLERS] = handlers + 1
                S[e + E_START] = start
                S[e + E_ACK] = ack
        last_ack = max(last_ack, ack)
        shown = run_by(S, o, ack) - prefix
        if shown > best:
            best = shown
            slowest = c
        prefix += S[line_at + code]
    if everyone:  # who was left out has been looked at for that
        S[BEHIND] = 0
    elif ticks_alone and 2 * count > S[N_CPUS]:
        catch_up_all(S)  # so that the next call need not ask each
    S[LATEST_END] = max(S[LATEST_END], latest)
    S[UNDISTURBED] = 0
    if not everyone or jitter.size or left_out or S[o + Q_KNOWN] & 1:
        S[o + Q_KNOWN] = 0  # the entries are no longer those of a quiet call
    S[o + C_MAX] = best
    S[o + C_SLOWEST] = slowest
    S[o + C_LAST_ACK] = last_ack
    S[o + C_RUNS_ON] = still_runs(word)
    S[o + C_LINE] = prefix
    S[o + C_LOCAL_END] = run_from(S, o, t, sent - t)
    if unwaited:
        S[o + C_MAX] = -INF
        S[o + C_SLOWEST] = NONE
        S[o + C_LAST_ACK] = 0
        S[o + C_LINE] = 0
    if ready > 0:
        know_ends_again(S)


@compiled
def look_call(S: State, c: int) -> int:
    """Every target may have been visited; in the serial order the function itself follows."""
    r = row_of(c)
    now = S[NOW]
    if compiled_apart(S) and S[r + C_PHASE] >= QUEUES_ONLY:
        return look_part(S, c)
    if S[r + C_PHASE] == 0:
        shows = visited(S, r)
        if shows > run_by(S, r, now):
            file_step(S, c, visited_at(S, r))
            return 0
        irqs_off = irqs_off_of(S, r)
        S[r + IRQS_OFF] += irqs_off
        S[r + SPIN] += own_time(S, r) - irqs_off
        S[r + C_VISITED] = shows
        if S[SERIAL] and told(S, r) > 0 and S[r + C_LOCAL] > 0:
            S[r + C_PHASE] = 1
            begin_window(S, c, M_CALL, S[r + C_LOCAL])
            return 0
    else:
        left = S[r + NEED] - own_time(S, r)
        if left > 0:
            file_step(S, c, run_from(S, r, now, left))
            return 0
        S[r + IRQS_OFF] += S[r + NEED]
    S[r + MODE] = M_STEP
    S[IN_FLIGHT] -= 1
    if S[TICK] > 0:
        take_out(S, S[CALLING_AT], c)
    log_call(S, c)
    return 1


@compiled
def last_start(S: State, i: int) -> int:
    """Return when the last target's handler began of a call that has just ended; 0 without any."""
    o = row_of(i)
    quiet = S[QUIET_CALLS] > 0 and S[QUIET_FROM] == i and S[QUIET_AT] == S[o + C_START]
    if quiet and S[QUIET_MET] < 0 and S[UNDISTURBED]:
        return S[QUIET_STARTS]
    return latest(S, i, E_START)


@compiled
def begin_call(
    S: State, D: Codes, targets: State, jitter: State, i: int, n: int, cost: int, flags: int
) -> int:
    """CPU ``i`` begins a call: told, with interrupts off up to l, and filed for the visit's end.

    In the concurrent order l is the end of sending plus the function's cost on ``i`` itself, in the
    serial order it is the end of sending. A call without targets is a window for the function.
    Where the others act without an interrupt, what they do is not the function, but the action; on
    pages of the kernel that drops everything.

    Returns 1 if it is over at once, as it tells nobody and takes no time.
    """
    there = cost + flags // REMOTE
    flags %= REMOTE
    o = row_of(i)
    retire(S, i, S[NOW])
    S[o + C_START] = S[NOW]
    S[o + C_PROTOCOL] = S[PROTOCOL]
    S[o + C_WAITED] = S[WAITED]
    S[WAITED] = 0
    S[o + C_LOCAL_END] = S[NOW]
    if in_turns(S):
        S[o + C_PUSHED] = 0
    if goes_on(S):
        S[o + C_READY] = S[READY]
        S[o + C_UNWAITED] = S[UNWAITED]
    S[o + C_LAST_ACK] = 0
    S[o + C_RUNS_ON] = 0
    quiet = is_quiet(S, targets, jitter)
    left_out = leave_out(S, targets, i, flags, quiet)
    S[o + C_LEFT_OUT] = left_out
    S[o + C_TARGETS] = n - left_out
    S[o + C_LINE] = 0
    S[o + C_MAX] = -INF
    S[o + C_SLOWEST] = NONE
    S[o + C_FIRST] = NONE
    S[o + C_LOCAL] = cost
    S[o + C_PHASE] = 0
    S[o + SENT] += 1
    empty_tlb(S, o, flags)
    if S[ACTION] >= 0:
        there = S[ACTION]
        if flags & OF_KERNEL:
            flags |= FULL
    if n > 0:
        if left_out == n:
            S[o + C_LOCAL_END] = run_from(S, o, S[NOW], left_out * S[CHECK])
        elif quiet:
            send_quietly(S, D, i, left_out, there, flags)
        else:
            send(S, D, targets, jitter, i, n - left_out, left_out, there, flags)
    S[IN_FLIGHT] += 1
    if S[TICK] > 0:
        put_in(S, S[CALLING_AT], i)
    if n == 0 or S[SERIAL] == 0:
        S[o + C_LOCAL_END] = run_from(S, o, S[o + C_LOCAL_END], cost)
    begin_window(S, i, M_CALL, irqs_off_of(S, o))
    settle_maxima(S)
    if S[o + C_TARGETS] == 0 and S[o + C_LOCAL_END] == S[NOW]:
        return look_call(S, i)
    file_step(S, i, visited_at(S, o))
    return 0
