"""Sets of CPUs: a bit for each, so that a pass over all looks at a few lines of the cache."""

from __future__ import annotations

from pmsim.hardware.passes.jit import compiled
from pmsim.hardware.passes.layout import *


@compiled
def has(words: State, at: int, c: int) -> int:
    """Return 1 if CPU ``c`` is in the set that begins at a place, 0 if it is not."""
    return words[at + (c >> SET_SHIFT)] >> (c & SET_BITS - 1) & 1


@compiled
def put_in(words: State, at: int, c: int) -> None:
    """Put CPU ``c`` into the set that begins at a place."""
    words[at + (c >> SET_SHIFT)] |= 1 << (c & SET_BITS - 1)


@compiled
def take_out(words: State, at: int, c: int) -> None:
    """Take CPU ``c`` out of the set that begins at a place."""
    words[at + (c >> SET_SHIFT)] &= ~(1 << (c & SET_BITS - 1))


@compiled
def first_of(words: State, at: int, c: int, n: int) -> int:
    """Return the first CPU from ``c`` on that is in a set of CPUs below ``n``; ``n`` if none is."""
    while c < n:
        left = words[at + (c >> SET_SHIFT)] >> (c & SET_BITS - 1)
        if left == 0:
            c = ((c >> SET_SHIFT) + 1) * SET_BITS
        elif left & 1:
            return c
        else:
            c += 1
    return n
