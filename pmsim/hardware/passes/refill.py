"""Empty TLBs, and what their CPUs owe for it: the debt that a compute pays first."""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.turns import run_by


@compiled
def empty_tlb(S: State, r: int, full: int) -> None:
    """A full flush on a CPU that does not compute: what comes next pays the whole debt."""
    S[r + FLUSHES] += full & EMPTIES
    if full & EMPTIES_KERNEL:
        S[r + KERNEL_DEBT] = S[KERNEL_REFILL]


@compiled
def flush_tlb(S: State, r: int, reached: int, full: int) -> None:
    """A full flush, the CPU's own clock standing at ``reached``: the debt is the whole again."""
    empty_tlb(S, r, full)
    if S[r + MODE] != M_COMPUTE:
        return
    task = S[TASKS_AT] + S[r + CURRENT] * TASK_ROW
    of_kernel = S[r + COMPUTES] == DO_KERNEL
    whole = S[r + KERNEL_DEBT] if of_kernel else S[task + T_REFILL]
    if whole == 0:
        return
    served = reached - (run_by(S, r, S[r + SINCE]) - S[r + SINCE_STOLEN])
    if served >= S[r + NEED]:
        return  # the compute is over: the next one pays
    left = max(0, S[r + DEBT] - (served - S[r + DEBT_AT]))
    S[r + REFILL] += S[r + DEBT] - left
    S[r + NEED] += whole - left
    S[r + DEBT] = whole
    S[r + DEBT_AT] = served
    if of_kernel:
        S[r + KERNEL_DEBT] = 0
    else:
        S[task + T_EPOCH] = S[r + FLUSHES]


@compiled
def refill_of(S: State, r: int, full: int) -> int:
    """Return what the compute of a CPU owes behind each of several full flushes but the first."""
    if S[r + MODE] != M_COMPUTE:
        return 0
    if S[r + COMPUTES] == DO_KERNEL:
        return S[KERNEL_REFILL] if full & EMPTIES_KERNEL else 0
    return S[S[TASKS_AT] + S[r + CURRENT] * TASK_ROW + T_REFILL]


@compiled
def flush_again(S: State, r: int, times: int, reached: int, full: int) -> None:
    """Flush so often again, each time when all debt has been paid, at last as a clock stands."""
    S[r + FLUSHES] += times * (full & EMPTIES)
    whole = refill_of(S, r, full)
    if whole == 0:
        return
    S[r + REFILL] += times * whole
    S[r + NEED] += times * whole
    S[r + DEBT_AT] = reached - (run_by(S, r, S[r + SINCE]) - S[r + SINCE_STOLEN])
    if S[r + COMPUTES] != DO_KERNEL:
        S[S[TASKS_AT] + S[r + CURRENT] * TASK_ROW + T_EPOCH] = S[r + FLUSHES]
