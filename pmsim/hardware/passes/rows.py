"""Where a CPU's row begins, and the entry of a call at one of its targets."""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *


@compiled
def row_of(c: int) -> int:
    """Return where the row of CPU ``c`` begins."""
    return HEADER + c * CPU_WORDS


@compiled
def entry_of(S: State, i: int, c: int) -> int:
    """Return where the entry of the call of ``i`` at ``c`` begins."""
    return S[ENTRIES_AT] + (i * S[N_CPUS] + c) * ENTRY_ROW
