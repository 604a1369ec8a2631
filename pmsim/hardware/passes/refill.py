"""Empty TLBs, and what their CPUs owe for it: the debt that a compute pays first."""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.turns import run_by


@compiled
def empty_tlb(S: State, r: int, full: int) -> None:
    """A full flush on a CPU that does not compute: what comes next pays the whole debt."""
    owed = 1 if full & EMPTIES_KERNEL else 0
    S[r + FLUSHES] = S[r + FLUSHES] + 2 * (full & EMPTIES) | owed


@compiled
def kernel_debt(S: State, r: int) -> int:
    """Return what a CPU, which does no work of the kernel, owes for the kernel's entries."""
    return S[KERNEL_REFILL] if S[r + FLUSHES] & 1 else S[r + KERNEL_DEBT]


@compiled
def flush_tlb(S: State, r: int, clock: int, full: int) -> None:
    """A full flush, as the clock of the CPU stands there: the debt is the whole again."""
    empty_tlb(S, r, full)
    whole = refill_of(S, r, full)
    if whole == 0:
        return
    reached = max(clock, S[r + REACHED])
    served = reached - (run_by(S, r, S[r + SINCE]) - S[r + SINCE_STOLEN])
    if served >= S[r + NEED]:
        return  # the compute is over: the next one pays
    left = max(0, S[r + DEBT] - (served - S[r + DEBT_AT]))
    S[r + REFILL] += S[r + DEBT] - left
    S[r + NEED] += whole - left
    S[r + DEBT] = whole
    S[r + DEBT_AT] = served
    if S[r + COMPUTES] == DO_KERNEL:
        S[r + FLUSHES] &= ~1
    else:
        S[S[TASKS_AT] + S[r + CURRENT] * TASK_ROW + T_EPOCH] = S[r + FLUSHES] | 1


@compiled
def refill_of(S: State, r: int, full: int) -> int:
    """Return what the compute of a CPU owes after a full flush; 0 if it does not compute."""
    owed = S[r + OWED]
    if S[r + MODE] != M_COMPUTE or (owed & 1 and full & EMPTIES_KERNEL == 0):
        return 0
    return owed >> 1


@compiled
def flush_again(S: State, r: int, times: int, clock: int, full: int) -> None:
    """Flush so often again, each time when all debt has been paid, at last as a clock stands."""
    whole = times * refill_of(S, r, full)
    if whole == 0:
        return
    S[r + REFILL] += whole
    S[r + NEED] += whole
    S[r + DEBT_AT] = clock - (run_by(S, r, S[r + SINCE]) - S[r + SINCE_STOLEN])
