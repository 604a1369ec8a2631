"""What CPUs have still to drop, and violations on them, all CPUs in one pass (`kernel.safety`).

It is no part of the machine: it only keeps what is known of shootdowns.
"""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled, entry_point
from pmsim.hardware.passes.layout import *

V_HAZARD, V_OPERATION, V_PAGE, V_PAGES, V_CPU, V_FROM, V_TO, FOUND_ROW = range(8)
"""Columns of a violation: what, of which operation, its first page, how many pages, on which CPU,
from when on, and until when (`NONE`: not known to have ended)."""

T_KEPT, T_INSTANT, T_TURN, T_COUNTS = range(4)
"""Words of a tally: violations that are kept as rows; the number of the present instant and
operation; how often a CPU has begun to wait or been looked at; and from there on, how many
violations there are of each hazard."""

W_SINCE, W_END, W_GENERATION, W_HAZARD, W_OPERATION, W_PAGE, W_PAGES, W_FROM = range(8)
W_OPEN, W_LATE, WAIT_ROW = range(8, 11)
"""Columns of what some CPUs have still to drop: an entry into the kernel after which instant drops
it; the end of its pages, and which change it was; the violation that it is, as above; how many CPUs
have not dropped it, and when the last of the others did."""

NOT_OPEN, OPEN, TO_KEEP, KEPT = range(4)
"""Of one of them on a CPU: dropped, or of no concern; still to be dropped; the same, and it is a
violation if that comes later than `W_FROM`; and from there on, one that is kept as that row."""

C_FIRST, C_OPEN, C_TURN, WAITS_ROW = range(4)
"""Columns of a CPU: the first row that it may have still to drop, how many it has, and when it was
looked at last, as a number of `T_TURN`."""


@compiled
def _keep(
    found: State,
    tally: State,
    hazard: int,
    operation: int,
    page: int,
    pages: int,
    c: int,
    since: int,
    until: int,
) -> int:
    """Count a violation; return the row in which it is kept, `NONE` where there is no room."""
    tally[T_COUNTS + hazard] += 1
    row = tally[T_KEPT]
    if row >= found.shape[0]:
        return NONE
    tally[T_KEPT] += 1
    found[row, V_HAZARD] = hazard
    found[row, V_OPERATION] = operation
    found[row, V_PAGE] = page
    found[row, V_PAGES] = pages
    found[row, V_CPU] = c
    found[row, V_FROM] = since
    found[row, V_TO] = until
    return row


@compiled
def _keep_wait(found: State, tally: State, waits: State, w: int, c: int, until: int) -> int:
    """Do the same of what CPU ``c`` has still to drop."""
    return _keep(
        found,
        tally,
        waits[w, W_HAZARD],
        waits[w, W_OPERATION],
        waits[w, W_PAGE],
        waits[w, W_PAGES],
        c,
        waits[w, W_FROM],
        until,
    )


@entry_point(
    "int64(int64[:, ::1], int64[::1], int64[::1], int64[::1], int64[::1],"
    " int64, int64, int64, int64, int64)"
)
def note_violations(
    found: State,
    tally: State,
    noted: State,
    cpus: State,
    until: State,
    hazard: int,
    operation: int,
    page: int,
    pages: int,
    since: int,
) -> int:
    """Note a violation on each of some CPUs on which none was noted at this instant.

    Parameters
    ----------
    found
        The violations, shape ``(any, FOUND_ROW)``.
    tally
        How many there are.
    noted
        On which CPUs one has been noted: the number of the instant, ``T_INSTANT``.
    cpus
        The CPUs.
    until
        When it ends on each of them; empty: that is not known.
    hazard, operation, page, pages, since
        What it is.

    Returns
    -------
    int
        The last row that was kept; `NONE` if none was.
    """
    row = NONE
    for k in range(cpus.size):
        c = cpus[k]
        if noted[c] != tally[T_INSTANT]:
            noted[c] = tally[T_INSTANT]
            end = until[k] if until.size else NONE
            row = _keep(found, tally, hazard, operation, page, pages, c, since, end)
    return row


@entry_point(
    "int64(int64[:, ::1], int64[::1], int64[::1], int64[:, ::1], int16[:, ::1], int64[:, ::1],"
    " int64[::1], int64, int64, int64)"
)
def begin_waits(
    found: State,
    tally: State,
    noted: State,
    waits: State,
    on: State,
    states: State,
    cpus: State,
    w: int,
    rows: int,
    is_kept: int,
) -> int:
    """Note that some CPUs have still to drop what stands in some rows; return how many they are.

    Parameters
    ----------
    found, tally, noted
        As in `note_violations`.
    waits
        What there is to be dropped, shape ``(any, WAIT_ROW)``.
    on
        What it is to each CPU (`OPEN`), shape ``(any, n_cpus)``.
    states
        The CPUs, shape ``(n_cpus, WAITS_ROW)``.
    cpus
        Which of them.
    w, rows
        The first row, and how many they are. A violation on a CPU is one of the first alone.
    is_kept
        1 if it is a violation now, whenever it is dropped; otherwise if that is late enough.
    """
    for one in range(w, w + rows):
        waits[one, W_OPEN] = cpus.size
        waits[one, W_LATE] = 0
        for c in cpus:
            on[one, c] = OPEN
    for c in cpus:
        if noted[c] != tally[T_INSTANT]:
            noted[c] = tally[T_INSTANT]
            on[w, c] = TO_KEEP
            if is_kept:
                row = _keep_wait(found, tally, waits, w, c, NONE)
                on[w, c] = OPEN if row < 0 else KEPT + row
        if states[c, C_OPEN] == 0:
            states[c, C_FIRST] = w
            states[c, C_TURN] = tally[T_TURN]
            tally[T_TURN] += 1
        states[c, C_OPEN] += rows
    return cpus.size


@compiled
def _is_over(
    found: State, tally: State, waits: State, on: State, states: State, w: int, c: int, at: int
) -> None:
    """Note that CPU ``c`` has dropped what stands in a row, at an instant."""
    what = on[w, c]
    on[w, c] = NOT_OPEN
    states[c, C_OPEN] -= 1
    waits[w, W_OPEN] -= 1
    waits[w, W_LATE] = max(waits[w, W_LATE], at)
    if what == OPEN or at <= waits[w, W_FROM]:
        return
    if what == TO_KEEP:
        _keep_wait(found, tally, waits, w, c, at)
    else:
        found[what - KEPT, V_TO] = at


@compiled
def _has_looked(tally: State, on: State, states: State, n: int, c: int) -> None:
    """Note that CPU ``c``, which has had something to drop, has been looked at."""
    if states[c, C_OPEN] == 0:
        return
    states[c, C_TURN] = tally[T_TURN]
    tally[T_TURN] += 1
    w = states[c, C_FIRST]
    while w < n and on[w, c] == NOT_OPEN:
        w += 1
    states[c, C_FIRST] = w


@entry_point(
    "int64(int64[:, ::1], int64[::1], int64[:, ::1], int16[:, ::1], int64[:, ::1], int64,"
    " int64[:, ::1], uint8[::1], int64, int64[::1])"
)
def end_on_entry(
    found: State,
    tally: State,
    waits: State,
    on: State,
    states: State,
    n: int,
    entries: State,
    of: State,
    after: int,
    over: State,
) -> int:
    """Note that CPUs have entered the kernel, one after another, and have dropped everything.

    Parameters
    ----------
    found, tally, waits, on, states
        As in `begin_waits`.
    n
        How many rows of ``waits`` there are.
    entries
        Which CPU has entered when: rows of `layout.D_CPU`.
    of
        1 for each CPU whose first entry counts; empty: all entries count. It is 0 afterwards.
    after
        Entries after that instant count.
    over
        Filled with the rows that all CPUs have dropped now.

    Returns
    -------
    int
        How many rows these are.
    """
    ended = 0
    for k in range(entries.shape[0]):
        c, at = entries[k, D_CPU], entries[k, D_AT]
        if states[c, C_OPEN] == 0 or at <= after:
            continue
        if of.size:
            if of[c] == 0:
                continue
            of[c] = 0
        for w in range(states[c, C_FIRST], n):
            if on[w, c] != NOT_OPEN and waits[w, W_SINCE] < at:
                _is_over(found, tally, waits, on, states, w, c, at)
                if waits[w, W_OPEN] == 0:
                    over[ended] = w
                    ended += 1
        _has_looked(tally, on, states, n, c)
    return ended


@entry_point(
    "int64(int64[:, ::1], int64[::1], int64[:, ::1], int16[:, ::1], int64[:, ::1], int64,"
    " int64[::1], int64[::1], int64, int64, int64, int64[::1])"
)
def end_by_telling(
    found: State,
    tally: State,
    waits: State,
    on: State,
    states: State,
    n: int,
    cpus: State,
    gone: State,
    first: int,
    end: int,
    up_to: int,
    over: State,
) -> int:
    """Note that a shootdown is over: CPUs that it told have dropped what it was about.

    Parameters
    ----------
    found, tally, waits, on, states, n, over
        As in `end_on_entry`.
    cpus
        The CPUs that it told, in their order.
    gone
        When each CPU of the machine has dropped it; `INF` where it has not.
    first, end, up_to
        The pages that it is about, and the generation of the last change.

    Returns
    -------
    int
        How many rows all CPUs have dropped now.
    """
    ended = 0
    for c in cpus:
        if states[c, C_OPEN] == 0 or gone[c] >= INF:
            continue
        for w in range(states[c, C_FIRST], n):
            about = first <= waits[w, W_PAGE] and waits[w, W_END] <= end
            if on[w, c] != NOT_OPEN and about and waits[w, W_GENERATION] <= up_to:
                _is_over(found, tally, waits, on, states, w, c, gone[c])
                if waits[w, W_OPEN] == 0:
                    over[ended] = w
                    ended += 1
        _has_looked(tally, on, states, n, c)
    return ended


@entry_point(
    "int64(int64[:, ::1], int64[::1], int64[:, ::1], int16[:, ::1], int64[:, ::1], int64,"
    " int64[::1])"
)
def end_with_the_run(
    found: State, tally: State, waits: State, on: State, states: State, n: int, cpus: State
) -> int:
    """Keep the violations on CPUs, in their order, that have not dropped it by the end of the run.

    The parameters are those of `end_by_telling`. Returns how many violations are kept.
    """
    for c in cpus:
        for w in range(states[c, C_FIRST], n):
            if on[w, c] == TO_KEEP:
                _keep_wait(found, tally, waits, w, c, NONE)
        states[c, C_OPEN] = 0
    return tally[T_KEPT]


@entry_point("int64(int64[:, ::1], uint8[::1], uint8[::1], int64[::1])")
def who_waits(states: State, told: State, out: State, cpus: State) -> int:
    """Find the CPUs that a shootdown told, of those that have something to drop.

    Parameters
    ----------
    states
        As in `begin_waits`.
    told
        1 for each CPU that it told; empty: it told all.
    out
        1 for each of these that it left out; empty: none.
    cpus
        Filled with them: who was looked at longest ago comes first.

    Returns
    -------
    int
        How many they are.
    """
    n = 0
    for c in range(states.shape[0]):
        is_told = told.size == 0 or told[c]
        is_out = out.size > 0 and out[c]
        if states[c, C_OPEN] == 0 or not is_told or is_out:
            continue
        at = n
        while at > 0 and states[cpus[at - 1], C_TURN] > states[c, C_TURN]:
            cpus[at] = cpus[at - 1]
            at -= 1
        cpus[at] = c
        n += 1
    return n


ENTRIES = (
    note_violations,
    begin_waits,
    end_on_entry,
    end_by_telling,
    end_with_the_run,
    who_waits,
)
"""All that Python calls here."""
