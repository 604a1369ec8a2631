"""When each CPU has dropped something, and with which of several shootdowns (`kernel.safety`).

No machine needs it: it only looks at what is known of shootdowns.
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import entry_point
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import entry_of, row_of

T_FIRST, T_END, T_UP_TO, T_NUMBER, TOLD_ROW = range(5)
"""Columns of a shootdown: the first page that it is about, the end of its pages, the generation up
to which it drops what has changed, and how many had begun before it."""

R_PAGE, R_END, R_GENERATION, R_BEGUN, R_TOLD, R_GONE, R_CLOSED, REVOKED_ROW = range(8)
"""Columns of a change: its first page, the end of its pages, its generation, how many shootdowns
had begun when it was gone; and what is found: how many of them were about it, when the last CPU has
dropped it, and from when on all were closed."""


@entry_point("int64(int64[::1], int64, int64[:, ::1])")
def drops_by_call(S: State, i: int, drops: State) -> int:
    """Read when targets of a call have run its function, as far as known; all have caught up.

    Parameters
    ----------
    S
        The machine.
    i
        The CPU whose last call it is.
    drops
        Filled with when each target has run the function, and when its handler began; `INF` for
        every other CPU; shape ``(2, n_cpus)``.

    Returns
    -------
    int
        How many targets there are.
    """
    r = row_of(i)
    targets = 0
    for c in range(S[N_CPUS]):
        e = entry_of(S, i, c)
        # An entry of an earlier call: it is not among the targets.
        if c == i or S[e + E_QUEUED] <= S[r + C_START]:
            drops[0, c] = drops[1, c] = INF
        else:
            drops[0, c], drops[1, c] = S[e + E_ACK] + S[r + C_RUNS_ON], S[e + E_START]
            targets += 1
    return targets


@entry_point("int64(int64[:, ::1], int64[:, :, ::1], int64[::1], int64[:, ::1], int64[:, ::1])")
def first_drops(told: State, drops: State, order: State, revoked: State, first: State) -> int:
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
    first
        Filled with the first drop of each CPU, of the last change; shape ``(2, n_cpus)``. Of two at
        once that of the shootdown counts that began earlier.

    Returns
    -------
    int
        0.
    """
    n = first.shape[1]
    for one in range(revoked.shape[0]):
        first[:] = INF
        about = 0
        for k in order:
            if told[k, T_NUMBER] >= revoked[one, R_BEGUN]:
                break
            if told[k, T_UP_TO] < revoked[one, R_GENERATION]:
                continue
            if told[k, T_FIRST] > revoked[one, R_PAGE] or told[k, T_END] < revoked[one, R_END]:
                continue
            about += 1
            for c in range(n):
                # Both are written in any case: so many CPUs are taken at once.
                earlier = drops[k, 0, c] < first[0, c]
                first[1, c] = drops[k, 1, c] if earlier else first[1, c]
                first[0, c] = min(drops[k, 0, c], first[0, c])
        last = shut = 0
        for c in range(n):
            if first[0, c] < INF:
                last, shut = max(last, first[0, c]), max(shut, first[1, c])
        revoked[one, R_TOLD], revoked[one, R_GONE], revoked[one, R_CLOSED] = about, last, shut
    return 0
