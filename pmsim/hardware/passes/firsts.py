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

R_PAGE, R_END, R_GENERATION, R_BEGUN, R_TOLD, R_FIRST, R_GONE, R_CLOSED = range(8)
R_MISSING, REVOKED_ROW = 8, 9
"""Columns of a change: its first page, the end of its pages, its generation, how many shootdowns
had begun when it was gone; and what is found: how many of them were about it, where the first drop
of each CPU stands, when the last CPU has dropped it, from when on all were closed, and how many do
not drop it as far as is known."""


@compiled
def _drops(S: State, i: int, began: int, is_over: int, drops: State, row: int) -> int:
    """Read when CPUs have run the function of a call, as `drops_by_call` does."""
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
    return _drops(S, i, began, is_over, drops, row)


@entry_point("int64(int64[::1], int64[:, ::1], int64, int64[:, :, ::1], int64)")
def drops_under_way(S: State, calls: State, n: int, drops: State, row: int) -> int:
    """Read the same of shootdowns that are under way; nobody has before the machine has begun it.

    Parameters
    ----------
    S, drops
        As in `drops_by_call`.
    calls
        Whose they are, and when their tasks began with them; rows of two.
    n
        How many of them.
    row
        The first row that is filled, one for each.

    Returns
    -------
    int
        How many have begun.
    """
    begun = 0
    for k in range(n):
        i, began = calls[k, 0], calls[k, 1]
        mode = S[row_of(i) + MODE]
        if S[row_of(i) + C_START] >= began and (mode == M_CALL or mode == M_STEP):
            _drops(S, i, began, 0, drops, row + k)
            begun += 1
            continue
        for c in range(S[N_CPUS]):
            drops[row + k, 0, c] = drops[row + k, 1, c] = INF
    return begun


@compiled
def _sort(told: State, n: int, order: State) -> None:
    """Fill in the first rows of shootdowns in the order in which they began.

    They stand nearly in it.
    """
    for k in range(n):
        at = k
        while at > 0 and told[order[at - 1], T_NUMBER] > told[k, T_NUMBER]:
            order[at] = order[at - 1]
            at -= 1
        order[at] = k


@compiled
def _about(told: State, order: State, n: int, revoked: State, one: int, rows: State) -> int:
    """Fill in which shootdowns were about a change; return how many they are.

    The later one has begun, the later are the changes that it drops: those that began before the
    change need not be looked at.
    """
    at, end = 0, n
    while at < end:
        middle = (at + end) // 2
        if told[order[middle], T_UP_TO] < revoked[one, R_GENERATION]:
            at = middle + 1
        else:
            end = middle
    found = 0
    for k in order[at:n]:
        if told[k, T_NUMBER] >= revoked[one, R_BEGUN]:
            break
        if told[k, T_FIRST] <= revoked[one, R_PAGE] and revoked[one, R_END] <= told[k, T_END]:
            rows[found] = k
            found += 1
    return found


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
    "int64(int64[:, ::1], int64, int64[:, :, ::1], int64[:, ::1], int64, int64[:, ::1],"
    " int64[:, :, ::1])"
)
def first_drops(
    told: State, n: int, drops: State, revoked: State, changes: int, room: State, first: State
) -> int:
    """Find when each change is gone.

    Parameters
    ----------
    told
        Shootdowns, shape ``(any, TOLD_ROW)``.
    n
        How many of them are looked at.
    drops
        When each CPU drops what a shootdown is about, and from when on it is closed, in picoseconds
        and `INF` where it does not; shape ``(any, 2, n_cpus)``.
    revoked
        The changes, shape ``(any, REVOKED_ROW)``; what is found is written there.
    changes
        How many of them.
    room
        Room for three times as many rows as there are shootdowns, shape ``(3, any)``.
    first
        Filled with the first drop of each CPU, once for changes in a row that share it; in its last
        row with the last one. Shape ``(any, 2, n_cpus)``. Of two at once that of the shootdown
        counts that began earlier.

    Returns
    -------
    int
        How many different ones there are.
    """
    order = room[2]
    _sort(told, n, order)
    here = before = different = 0
    for one in range(changes):
        rows, others = room[one & 1], room[one & 1 ^ 1]
        here = _about(told, order, n, revoked, one, rows)
        same = one > 0 and here == before
        k = 0
        while same and k < here:
            same = rows[k] == others[k]
            k += 1
        before = here
        revoked[one, R_TOLD] = here
        if same:
            revoked[one, R_FIRST] = revoked[one - 1, R_FIRST]
            revoked[one, R_MISSING] = revoked[one - 1, R_MISSING]
            revoked[one, R_GONE] = revoked[one - 1, R_GONE]
            revoked[one, R_CLOSED] = revoked[one - 1, R_CLOSED]
            continue
        at = min(different, first.shape[0] - 1)
        different += 1
        _take_first(drops, rows, here, first[at])
        last = shut = missing = 0
        for c in range(first.shape[2]):
            if first[at, 0, c] < INF:
                last, shut = max(last, first[at, 0, c]), max(shut, first[at, 1, c])
            else:
                missing += 1
        revoked[one, R_FIRST], revoked[one, R_MISSING] = at, missing
        revoked[one, R_GONE], revoked[one, R_CLOSED] = last, shut
    return different
