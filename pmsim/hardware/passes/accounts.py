"""Where each CPU's time went: busy + spin + irqs_off + stolen + idle is all of it."""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import retire
from pmsim.hardware.passes.handlers import begun_by, stolen_by
from pmsim.hardware.passes.jit import compiled, entry_point
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.occupation import irqs_off_of
from pmsim.hardware.passes.rows import entry_of, row_of
from pmsim.hardware.passes.turns import goes_on, run_by


@compiled
def _stolen_before(S: State, c: int, time: int, out: State) -> None:
    """Write stolen time and handlers of ``c`` before ``time``; a handler counts when it starts."""
    r = row_of(c)
    retire(S, c, time - 1 if S[NEXT_TICK] == 2 * time else time)  # with that it may be taken yet
    stolen = stolen_by(S, c, time)
    handlers = S[r + PLAN_HANDLERS] if S[r + HEAD] < 0 else S[r + BASE_HANDLERS]
    head = S[r + HEAD]
    if head >= 0 and S[entry_of(S, head, c) + E_START] < time:
        handlers += 1
    # of a loss that was charged in full
    still_to_come = max(0, S[r + REACHED] - (run_by(S, r, time) - stolen))
    out[c, A_STOLEN] = stolen - still_to_come
    out[c, A_HANDLERS] = handlers


@entry_point("int64(int64[::1], int64[:, ::1])")
def accounts(S: State, out: State) -> int:
    """Write every CPU's account up to now, then the sums: shape ``(n_cpus + 1, ACCOUNT_ROW)``.

    Returns a CPU whose times do not add up to the present instant, or of which one is negative;
    `NONE` where there is no such CPU.
    """
    now = S[NOW]
    n = S[N_CPUS]
    wrong = NONE
    out[n, :] = 0
    for c in range(n):
        r = row_of(c)
        _stolen_before(S, c, now, out)
        out[c, A_BUSY] = S[r + BUSY]
        out[c, A_SPIN] = S[r + SPIN]
        out[c, A_IRQS_OFF] = S[r + IRQS_OFF]
        out[c, A_IDLE] = S[r + IDLE]
        out[c, A_REFILL] = S[r + REFILL]
        out[c, A_SENT] = S[r + SENT]
        out[c, A_LOCK_SPIN] = S[r + LOCK_SPIN]
        out[c, A_AWAKE] = S[r + AWAKE]
        out[c, A_WOKEN] = S[r + WOKEN]
        mode = S[r + MODE]
        if mode == M_IDLE:
            out[c, A_AWAKE] += out[c, A_STOLEN] - S[r + SINCE_STOLEN]
            out[c, A_WOKEN] += begun_by(S, c, now)
        ran = run_by(S, r, now)
        out[c, A_FROZEN] = now - (ran - run_by(S, r, 0))
        own = ran - run_by(S, r, S[r + SINCE]) - (out[c, A_STOLEN] - S[r + SINCE_STOLEN])
        if mode == M_COMPUTE or mode == M_SWITCH:
            out[c, A_BUSY] += own
            if mode == M_COMPUTE:
                out[c, A_REFILL] += min(S[r + DEBT], own - S[r + DEBT_AT])
        elif mode == M_CALL and S[r + C_PHASE] == 0:
            window = min(own, irqs_off_of(S, r))
            out[c, A_IRQS_OFF] += window
            out[c, A_SPIN] += own - window
        elif goes_on(S) and mode == M_CALL and S[r + C_PHASE] == AWAITS_DATA:
            out[c, A_SPIN] += own
        elif mode == M_WINDOW or mode == M_CALL or mode == M_ENTRY:
            out[c, A_IRQS_OFF] += own
        elif mode == M_SPINLOCK or mode == M_FENCE or mode == M_ADAPTIVE:
            out[c, A_SPIN] += own
            if mode != M_FENCE:
                out[c, A_LOCK_SPIN] += own
        elif mode == M_IDLE or mode == M_WAKE or mode == M_READY:
            out[c, A_IDLE] += own
        total = 0
        for k in range(TIMES):
            total += out[c, k]
            if out[c, k] < 0:
                wrong = c
        if total != now:
            wrong = c
        for k in range(ACCOUNT_ROW):
            out[n, k] += out[c, k]
    return wrong
