"""Steps that are known beforehand, taken one after the other without Python in between."""

from __future__ import annotations

from pmsim.hardware.passes.calls import begin_call
from pmsim.hardware.passes.history import retire
from pmsim.hardware.passes.instants import advance
from pmsim.hardware.passes.jit import entry_point
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.occupation import begin_compute
from pmsim.hardware.passes.rows import row_of
from pmsim.hardware.passes.runqueue import enter_kernel, quantum_is_over

WORK, FUNCTION, FLAGS, KIND, CAUSE, PAGES = range(6)
"""Columns of a row: what to compute, or `CALLS`; then the call's function and what it is about. Of
a compute, its kind says who computes (`layout.DO_COMPUTE`)."""

CALLS = -1

_TARGETS_AT_ONCE = 1_000_000
"""Targets told before Python may hear a signal: some 10 ms."""


@entry_point(
    "int64(int64[::1], uint8[:, ::1], int64[::1], int64[:, ::1], int64[::1], int64[::1], int64)"
)
def replay(
    S: State, D: Codes, nobody: State, rows: State, at: State, ends: State, task: int
) -> int:
    """The current task of a CPU takes its next row, and so do those whose turn comes after it.

    Parameters
    ----------
    S, D, nobody
        The machine, its distance codes, and an empty array: calls go to all, and nothing jitters.
    rows
        The steps of all tasks that are replayed, shape ``(rows, 6)``.
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
            if S[row_of(c) + IN_USER] and rows[row, KIND] != DO_USER:
                retire(S, c, S[NOW])
                if enter_kernel(S, c) == 0:
                    task = advance(S)
                continue
            at[task] += 1
            if rows[row, WORK] >= 0:
                retire(S, c, S[NOW])
                if begin_compute(S, c, rows[row, WORK], rows[row, KIND]) == 0:
                    continue
            else:
                o = row_of(c)
                S[o + C_KIND] = rows[row, KIND]
                S[o + C_CAUSE] = rows[row, CAUSE]
                S[o + C_OPERATION] = NONE
                S[o + C_PAGES] = rows[row, PAGES]
                begin_call(S, D, nobody, nobody, c, n, rows[row, FUNCTION], rows[row, FLAGS])
        task = advance(S)
    return task
