"""Steps that are known beforehand, taken one after the other without Python in between."""

from __future__ import annotations

from pmsim.hardware.passes.calls import begin_call
from pmsim.hardware.passes.catching_up import retire
from pmsim.hardware.passes.instants import advance
from pmsim.hardware.passes.jit import entry_point
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.occupation import begin_compute
from pmsim.hardware.passes.rows import row_of
from pmsim.hardware.passes.runqueue import enter_kernel, quantum_is_over

FUNCTION, FLAGS, KIND, CAUSE = range(4)
"""Columns of what rows have in common: a call's function, and why it is called; or `COMPUTES`. Of a
compute, its kind says who computes (`layout.DO_COMPUTE`)."""

COMPUTES = -1

_TARGETS_AT_ONCE = 1_000_000
"""Targets told before Python may hear a signal: some 10 ms."""


@entry_point(
    "int64(int64[::1], uint8[:, ::1], int64[::1], int64[:, ::1], int32[::1], int64[::1],"
    " int64[::1], int64[::1], int64)"
)
def replay(
    S: State,
    D: Codes,
    nobody: State,
    kinds: State,
    rows: State,
    args: State,
    at: State,
    ends: State,
    task: int,
) -> int:
    """The current task of a CPU takes its next row, and so do those whose turn comes after it.

    Parameters
    ----------
    S, D, nobody
        The machine, its distance codes, and an empty array: calls go to all, and nothing jitters.
    kinds
        What there are rows of, shape ``(kinds, 4)``.
    rows, args
        The steps of all tasks that are replayed: which kind each is of; and how long it computes,
        or what its call tells as its pages.
    at, ends
        Of each task by index: its next row, and where its rows end. A task that is not replayed has
        none left.
    task
        The task that has the CPU; it has a row left.

    Returns
    -------
    int
        The task that steps next: one without a row left, or any where Python was away for long.
    """
    n = S[N_CPUS] - 1
    left = _TARGETS_AT_ONCE // n
    while task >= 0 and at[task] < ends[task] and left > 0:
        left -= 1
        c = S[S[TASKS_AT] + task * TASK_ROW + T_CPU]
        # Between any two steps the run queue is looked at; who loses the turn comes to it again.
        if quantum_is_over(S, c) == 0:
            row = at[task]
            kind = rows[row]
            if S[row_of(c) + IN_USER] and kinds[kind, KIND] != DO_USER:
                retire(S, c, S[NOW])
                if enter_kernel(S, c) == 0:
                    task = advance(S)
                continue
            at[task] += 1
            if kinds[kind, FUNCTION] == COMPUTES:
                retire(S, c, S[NOW])
                if begin_compute(S, c, args[row], kinds[kind, KIND]) == 0:
                    continue
            else:
                o = row_of(c)
                S[o + C_KIND] = kinds[kind, KIND]
                S[o + C_CAUSE] = kinds[kind, CAUSE]
                S[o + C_OPERATION] = NONE
                S[o + C_PAGES] = args[row]
                begin_call(S, D, nobody, nobody, c, n, kinds[kind, FUNCTION], kinds[kind, FLAGS])
        task = advance(S)
    return task
