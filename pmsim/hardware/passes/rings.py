"""Rings: where each CPU writes down for others what they are to drop (`shootdown.latr`).

A ring is an array of its own. An entry holds the number of its note and the set of those whom
that concerns. Entries are used in turn;
one is free for another note when all whom it concerns have begun to sweep since it was written. A
note has its number when it is left, behind what its CPU does for it: it is put into the entry when
the next one is about to be written, the first to ask for it.
"""

from __future__ import annotations

from pmsim.hardware.passes.catching_up import catch_up
from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *
from pmsim.hardware.passes.rows import row_of
from pmsim.hardware.passes.runqueue import runs
from pmsim.hardware.passes.sets import first_of
from pmsim.hardware.passes.ticks import notes_before


@compiled
def _has_looked(S: State, c: int, number: int) -> bool:
    """Return whether CPU ``c`` has looked since a note was left, or does so at this instant.

    It does as it takes up a task: that is interrupt work, which comes before any step and is done
    at the CPU's turn.
    """
    r = row_of(c)
    if S[BEHIND]:
        catch_up(S, c)
    if S[S[LOOKS_AT] + c] > number:
        return True
    if S[r + MODE] != M_READY and S[r + MODE] != M_WAKE:
        return False
    return notes_before(S) > number and runs(S, S[r + READY_HEAD]) == 1


@compiled
def _is_free(S: State, ring: State, i: int, at: int) -> bool:
    """Return whether all whom an entry of the ring of ``i`` concerns have looked since.

    Who has been found to have looked is not asked again.
    """
    o = row_of(i)
    number = ring[at]
    c = first_of(ring, at + 1, S[o + AWAITED], S[N_CPUS])
    while c < S[N_CPUS]:
        if not _has_looked(S, c, number):
            S[o + AWAITED] = c
            return False
        c = first_of(ring, at + 1, c + 1, S[N_CPUS])
    S[o + AWAITED] = 0
    return True


@compiled
def write_down(S: State, ring: State, targets: State, i: int) -> bool:
    """CPU ``i`` begins to write down for some CPUs what it frees; return False if it has no room.

    It is left to them when its work is over (`ticks.leave_notes`).
    """
    o = row_of(i)
    width = S[RING_ROW]
    entries = ring.size // width
    written = S[o + WRITTEN]
    if written > 0:
        ring[(written - 1) % entries * width] = S[o + LATEST_NOTE]
    at = written % entries * width
    if written >= entries and not _is_free(S, ring, i, at):
        return False
    lazy = S[LAZY_AT] + i * (width - 1)
    k = 0
    for place in range(width - 1):
        word = 0
        end = (place + 1) * SET_BITS
        while k < targets.size and targets[k] < end:
            word |= 1 << (targets[k] & SET_BITS - 1)
            k += 1
        ring[at + 1 + place] = word
        S[lazy + place] = word
    S[o + C_LAZY] = targets.size
    S[o + WRITTEN] = written + 1
    return True
