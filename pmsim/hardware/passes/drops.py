"""Virtual CPUs that flushes of user space leave out while they do not run, as KVM's do.

Such a CPU drops everything when it next runs, before anything else. When that begins and how long
it takes is known as soon as it has been left out. All that it is in then is pushed back by as much:
the handler that it is in, what it sends, a window; and what follows begins after it, as after a
handler. So each of these is planned anew when the CPU is left out, and nothing has to be done when
it runs.
"""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import retire
from pmsim.hardware.passes.handlers import (
    acknowledge,
    insert_sorted,
    plan,
    revise,
    settle_maxima,
    stolen_by,
)
from pmsim.hardware.passes.history import drop_all, history_end
from pmsim.hardware.passes.jit import absent_elsewhere, compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.refill import flush_tlb
from pmsim.hardware.passes.rows import entry_of, group_of, reason_of, row_of
from pmsim.hardware.passes.turns import goes_on, next_run, reached, run_by, run_from


@compiled
def is_frozen(S: State, c: int) -> bool:
    """Return whether a CPU does not run now."""
    return next_run(S, row_of(c), S[NOW]) > S[NOW]


@compiled
def pushed(S: State, r: int, time: int, by: int) -> int:
    """Return an instant at which a CPU is done with something, if that takes longer."""
    return reached(S, r, run_by(S, r, time) + by)


@compiled
def owe_drop(S: State, c: int) -> None:
    """CPU ``c``, which is frozen, drops everything when it next runs.

    If it was dropping everything when it froze, it begins with that anew.
    """
    r = row_of(c)
    now = S[NOW]
    retire(S, c, now)
    if S[r + DROP_END] >= 0 and now < S[r + DROP_FROM]:
        return
    if S[r + MODE] == M_ENTRY and S[r + FLOOR] <= now:
        drop_all(S, c, S[r + FLOOR])  # an entry was over as it froze, and what comes now is later
    start = next_run(S, r, now)
    ran = run_by(S, r, start)
    more = S[ENTRY_FLUSH]
    anew = S[r + DROP_END] >= 0
    if anew:
        more -= run_by(S, r, S[r + DROP_END]) - ran
    clock = ran - stolen_by(S, c, now)
    S[r + DROP_FROM] = start
    S[r + DROP_END] = run_from(S, r, start, S[ENTRY_FLUSH])
    _push(S, c, ran, more, anew)
    flush_tlb(S, r, clock, FULL)


@compiled
def _push(S: State, c: int, ran: int, more: int, anew: bool) -> None:
    """Push back what ``c`` has in hand as it freezes, its clock showing ``ran``, by ``more``."""
    r = row_of(c)
    now = S[NOW]
    end = history_end(S, r)
    head = S[r + HEAD]
    begun = head >= 0 and _has_begun(S, r, entry_of(S, head, c))
    if not anew:
        S[r + DROP_ALONE] = 0 if begun or end > now else 1
    if begun:
        _push_take(S, r, entry_of(S, head, c), more)
    else:
        if S[r + DROP_ALONE]:
            if not anew and end != S[r + DROP_LAST]:
                S[r + DROP_AFTER] = end
            end = S[r + DROP_LAST] = S[r + DROP_END]
        else:
            _push_functions(S, c, more)
            end = pushed(S, r, end, more)
        S[r + BASE_STOLEN] += more
        if head < 0:
            S[r + PLAN_END] = end
            S[r + PLAN_STOLEN] += more
            S[LATEST_END] = max(S[LATEST_END], end)
        else:
            S[r + BASE_END] = end
    sends = S[r + MODE] == M_CALL and S[r + C_PHASE] == 0
    sends = sends and run_by(S, r, S[r + C_LOCAL_END]) > ran
    if run_by(S, r, S[r + FLOOR]) > ran:
        S[r + FLOOR] = pushed(S, r, S[r + FLOOR], more)
    if S[r + MODE] == M_READY or S[r + MODE] == M_WAKE:
        S[r + FLOOR] = max(S[r + FLOOR], S[r + DROP_END])
    revise(S, c)
    settle_maxima(S)
    if sends:
        _push_sending(S, c, ran, more)
    elif goes_on(S) and S[r + MODE] == M_CALL and S[r + C_PHASE] == QUEUES_ONLY:
        _push_queueing(S, c, more)


@compiled
def _has_begun(S: State, r: int, e: int) -> bool:
    """Return whether the first handler of a plan has begun, or the waking up for it."""
    if reason_of(S, e) == R_IDLE_EXIT:
        return next_run(S, r, S[e + E_ARRIVES]) <= S[NOW]
    return S[e + E_START] <= S[NOW]


@compiled
def _push_take(S: State, r: int, e: int, more: int) -> None:
    """Push back the take of a handler that has begun; or its start, if the CPU wakes up for it."""
    start = S[e + E_START]
    if start > S[NOW]:
        start = next_run(S, r, pushed(S, r, start, more))
    else:
        S[r + PIN_PUSHED] += more
    S[r + PIN] = start * 8 + reason_of(S, e)


@compiled
def _push_functions(S: State, c: int, more: int) -> None:
    """Push back the acknowledgements that are to come of a handler that has taken its queue."""
    r = row_of(c)
    now = S[NOW]
    for k in range(S[N_CPUS]):
        o = row_of(k)
        e = entry_of(S, k, c)
        if k == c or S[e + E_START] > now or S[e + E_ACK] <= now:
            continue
        sent = S[o + MODE] == M_CALL and S[o + C_PHASE] == 0 and S[e + E_QUEUED] > S[o + C_START]
        if not sent and not goes_on(S):  # else it may be of a call that is over, or of a part
            continue
        acknowledge(S, k, c, pushed(S, r, S[e + E_ACK], more))


@compiled
def _push_sending(S: State, i: int, ran: int, more: int) -> None:
    """Push back what CPU ``i``, whose clock shows ``ran``, has still to queue and to send.

    When a target was sent to follows from when all are: (G - g) send + (n - k) kick before.
    """
    o = row_of(i)
    sent = run_by(S, o, S[o + C_LOCAL_END])
    if S[SERIAL] == 0:
        sent -= S[o + C_LOCAL]
    groups = 0
    c = S[o + C_FIRST]
    while c >= 0:
        e = entry_of(S, i, c)
        groups = group_of(S, e)
        c = (S[e + E_META] & 0xFFFF) - 1
    S[o + C_LOCAL_END] = pushed(S, o, S[o + C_LOCAL_END], more)
    S[o + C_PUSHED] += more
    place = 0
    c = S[o + C_FIRST]
    while c >= 0:
        e = entry_of(S, i, c)
        place += 1
        was_sent = sent
        was_sent -= (groups - group_of(S, e)) * S[SEND]
        was_sent -= (S[o + C_TARGETS] - place) * S[KICK]
        if was_sent > ran:
            retire(S, c, S[NOW])
            later = reached(S, o, was_sent + more) - reached(S, o, was_sent)
            S[e + E_ARRIVES] += later
            if S[e + E_QUEUED] > S[NOW]:
                _take_out(S, c, i)
                S[e + E_QUEUED] = pushed(S, o, S[e + E_QUEUED], more)
                insert_sorted(S, c, i)
            if S[row_of(c) + HEAD] >= 0:
                plan(S, c)
        c = (S[e + E_META] & 0xFFFF) - 1
    settle_maxima(S)


@absent_elsewhere
def _push_queueing(S: State, i: int, more: int) -> None:
    """Push back what CPU ``i`` has still to queue in a part of a call that sends nothing."""
    o = row_of(i)
    if S[o + C_LOCAL_END] <= S[NOW]:
        return
    S[o + C_LOCAL_END] = pushed(S, o, S[o + C_LOCAL_END], more)
    for c in range(S[N_CPUS]):
        e = entry_of(S, i, c)
        if c == i or S[e + E_ARRIVES] != HORIZON or S[e + E_QUEUED] <= S[NOW]:
            continue
        retire(S, c, S[NOW])
        _take_out(S, c, i)
        S[e + E_QUEUED] = pushed(S, o, S[e + E_QUEUED], more)
        insert_sorted(S, c, i)
        plan(S, c)
    settle_maxima(S)


@compiled
def _take_out(S: State, c: int, i: int) -> None:
    """Take the entry of call ``i`` out of the open list of ``c``."""
    r = row_of(c)
    following = S[entry_of(S, i, c) + E_NEXT]
    if S[r + HEAD] == i:
        S[r + HEAD] = following
    else:
        k = S[r + HEAD]
        while S[entry_of(S, k, c) + E_NEXT] != i:
            k = S[entry_of(S, k, c) + E_NEXT]
        S[entry_of(S, k, c) + E_NEXT] = following
        if following < 0:
            S[r + TAIL] = k
