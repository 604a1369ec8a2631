"""Where a CPU's row begins, the entry of a call at one of its targets, and a word of that."""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.sets import has
from pmsim.hardware.passes.turns import compiled_apart, in_turns, run_from


@compiled
def row_of(c: int) -> int:
    """Return where the row of CPU ``c`` begins."""
    return HEADER + c * CPU_WORDS


@compiled
def cpu_of(r: int) -> int:
    """Return the CPU whose row begins there."""
    return (r - HEADER) // CPU_WORDS


@compiled
def entry_of(S: State, i: int, c: int) -> int:
    """Return where the entry of the call of ``i`` at ``c`` begins."""
    return S[ENTRIES_AT] + (i * S[N_CPUS] + c) * ENTRY_ROW


@compiled
def caller(S: State, i: int, c: int) -> int:
    """Return which CPU made the call of an entry of ``c``: a tick is one of its own (`ticks`)."""
    return c if i == S[N_CPUS] else i


@compiled
def reason_of(S: State, e: int) -> int:
    """Return why the handler of an entry started when it did."""
    return S[e + E_META] >> 32 & 7


@compiled
def group_of(S: State, e: int) -> int:
    """Return which group of targets an entry was sent to."""
    return S[e + E_META] >> 16 & 0x7FFF


@compiled
def is_unwaited(S: State, e: int) -> int:
    """Return 1 if nobody waits for the call of an entry."""
    return S[e + E_META] >> 31 & 1 if compiled_apart(S) else 0


@compiled
def from_user(S: State, r: int) -> int:
    """Return 1 if the handlers planned on a CPU come from user mode, and drop everything first."""
    return has(S, S[USERS_AT], cpu_of(r)) if S[USERS] > 0 else 0


@compiled
def take_of(S: State, r: int, e: int) -> int:
    """Return when the handler of an entry takes its queue, ``r`` being the row of its CPU."""
    takes = S[ENTRY] + S[ENTRY_FLUSH] if S[e + E_META] >> 35 else S[ENTRY]
    if in_turns(S) and S[r + PIN] >= 0 and S[r + PIN] >> 3 == S[e + E_START]:
        takes += S[r + PIN_PUSHED]
    return run_from(S, r, S[e + E_START], takes)


@compiled
def told(S: State, r: int) -> int:
    """Return whom the call of a CPU is about: its targets, and those that it left out."""
    return S[r + C_TARGETS] + S[r + C_LEFT_OUT]


@compiled
def fanout_to(S: State, n: int) -> int:
    """Return how many consecutive CPUs one write reaches, of a call of ``n`` others."""
    return S[N_CPUS] if S[SHORTHAND] and n == S[N_CPUS] - 1 else S[FANOUT]


@compiled
def cost_word(S: State, cost: int, flags: int) -> int:
    """Return the `E_COST` of a call: the function's cost, when it is acknowledged, what it does.

    It is acknowledged at its start where the machine is told so, but for one after which page
    tables are freed.
    """
    at_start = S[ACK] if flags & FREES_TABLES == 0 else 0
    return 8 * cost + 2 * at_start + (flags & FULL)


@compiled
def still_runs(cost: int) -> int:
    """Return how long the function of an entry of this `E_COST` runs after its acknowledgement."""
    return (cost >> 3) * (cost >> 1 & 1)


@compiled
def ack_of(cost: int, begun: int, done: int) -> int:
    """Return when an entry of this `E_COST` is acknowledged; when its function runs is given."""
    return begun if cost >> 1 & 1 else done
