"""When each CPU has dropped something, and with which of several shootdowns (`kernel.safety`).

No machine needs it: it only looks at what is known of shootdowns.
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled, entry_point
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import entry_of, row_of
from pmsim.hardware.passes.turns import run_from

T_FIRST, T_END, T_UP_TO, T_NUMBER, TOLD_ROW = range(5)
"""Columns of a shootdown: the first page that it is about, the end of its pages, the generation up
to which it drops what has changed, and how many had begun before it."""

R_PAGE, R_END, R_GENERATION, R_BEGUN, R_TOLD, R_GONE, R_CLOSED, R_MISSING, REVOKED_ROW = range(9)
"""Columns of a change: its first page, the end of its pages, its generation, how many shootdowns
had begun when it was gone; and what is found: how many of them were about it, when the last CPU has
dropped it, from when on all were closed, and how many do not drop it as far as is known."""


@entry_point("int64(int64[::1], int64, int64, int64, int64[:, :, ::1], int64)")
def drops_by_call(S: State, i: int, began: int, is_over: int, drops: State, row: int) -> int:
    """Read when CPUs have run the function of a call, as far as known; all have caught up.

    Parameters
    ----------
    S
        The machine.
    i
        The CPU whose last call it is.
    began
        When its task began with it.
    is_over
        1 if it is over just now; in the serial order its own function comes last.
    drops
        In its row is filled when each CPU has run the function, and when its handler began; `INF`
        for every CPU that is no target; shape ``(any, 2, n_cpus)``.
    row
        Which row.

    Returns
    -------
    int
        How many targets there are.
    """
    r = row_of(i)
    more = S[r + C_RUNS_ON]
    targets = 0
    for c in range(S[N_CPUS]):
        e = entry_of(S, i, c)
        gone = started = INF
        # An entry of an earlier call: it is not among the targets.
        if c != i and S[e + E_QUEUED] > S[r + C_START]:
            started = S[e + E_START]
            gone = S[e + E_ACK] + more
            if gone < INF:  # it may be frozen meanwhile
                gone = run_from(S, row_of(c), S[e + E_ACK], more)
            targets += 1
        drops[row, 0, c], drops[row, 1, c] = gone, started
    if S[SERIAL] == 0 or (is_over and targets == 0):
        drops[row, 0, i] = S[r + C_LOCAL_END]
    elif S[r + C_PHASE] == 1:
        drops[row, 0, i] = S[r + FLOOR] if targets else S[r + C_LOCAL_END]
    elif is_over:
        drops[row, 0, i] = S[NOW]
    drops[row, 1, i] = began
    return targets


@compiled
def _about(told: State, order: State, revoked: State, one: int, rows: State) -> int:
    """Fill in which shootdowns were about a change; return how many they are.

    The later one has begun, the later are the changes that it drops: those that began before the
    change need not be looked at.
    """
    at, end = 0, order.size
    while at < end:
        middle = (at + end) // 2
        if told[order[middle], T_UP_TO] < revoked[one, R_GENERATION]:
            at = middle + 1
        else:
            end = middle
    n = 0
    for k in order[at:]:
        if told[k, T_NUMBER] >= revoked[one, R_BEGUN]:
            break
        if told[k, T_FIRST] <= revoked[one, R_PAGE] and revoked[one, R_END] <= told[k, T_END]:
            rows[n] = k
            n += 1
    return n


@compiled
def _take_first(drops: State, rows: State, n: int, first: State) -> None:
    """Fill in the first drop of each CPU of those with some shootdowns."""
    cpus = first.shape[1]
    first[:] = INF
    for k in rows[:n]:
        for c in range(cpus):
            # Both are written in any case: so many CPUs are taken at once.
            earlier = drops[k, 0, c] < first[0, c]
            first[1, c] = drops[k, 1, c] if earlier else first[1, c]
            first[0, c] = min(drops[k, 0, c], first[0, c])


@entry_point(
    "int64(int64[:, ::1], int64[:, :, ::1], int64[::1], int64[:, ::1],"
    " int64[:, ::1], int64[:, :, ::1])"
)
def first_drops(
    told: State, drops: State, order: State, revoked: State, about: State, first: State
) -> int:
    """Find when each change is gone.

    Parameters
    ----------
    told
        Shootdowns, shape ``(any, TOLD_ROW)``.
    drops
        When each CPU drops what a shootdown is about, and from when on it is closed, in picoseconds
        and `INF` where it does not; shape ``(any, 2, n_cpus)``.
    order
        Their rows in the order in which they began, of those that are looked at.
    revoked
        The changes, shape ``(any, REVOKED_ROW)``; what is found is written there.
    about
        Room for the rows of two changes' shootdowns, shape ``(2, len(order))``.
    first
        Filled with the first drop of each CPU, of each of the first changes, and in its last row of
        the last one; shape ``(any, 2, n_cpus)``. Of two at once that of the shootdown counts that
        began earlier.

    Returns
    -------
    int
        0.
    """
    at = n = 0
    for one in range(revoked.shape[0]):
        before, n_before, at_before = about[one & 1 ^ 1], n, at
        rows = about[one & 1]
        n = _about(told, order, revoked, one, rows)
        at = min(one, first.shape[0] - 1)
        same = one > 0 and n == n_before
        k = 0
        while same and k < n:
            same = rows[k] == before[k]
            k += 1
        if not same:
            _take_first(drops, rows, n, first[at])
        elif at != at_before:
            for c in range(first.shape[2]):
                first[at, 0, c], first[at, 1, c] = first[at_before, 0, c], first[at_before, 1, c]
        last = shut = missing = 0
        for c in range(first.shape[2]):
            if first[at, 0, c] < INF:
                last, shut = max(last, first[at, 0, c]), max(shut, first[at, 1, c])
            else:
                missing += 1
        revoked[one, R_TOLD], revoked[one, R_MISSING] = n, missing
        revoked[one, R_GONE], revoked[one, R_CLOSED] = last, shut
    return 0
