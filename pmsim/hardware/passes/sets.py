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
        if left & 1:
            return c
        if left:
            return c + _lowest(left)
        c = ((c >> SET_SHIFT) + 1) * SET_BITS
    return n


@compiled
def _lowest(word: int) -> int:
    """Return which is the lowest bit of a word of a set that is 1; there is one."""
    at = 0
    if word & 0xFFFF == 0:
        word >>= 16
        at = 16
    if word & 0xFF == 0:
        word >>= 8
        at += 8
    if word & 0xF == 0:
        word >>= 4
        at += 4
    if word & 3 == 0:
        word >>= 2
        at += 2
    return at + (word & 1 ^ 1)
