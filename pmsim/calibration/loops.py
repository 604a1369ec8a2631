"""Compiled loops: one that calls and takes the time, one that computes, one that sleeps.

They run without the interpreter's lock, each in a thread on a CPU of its own. Each reads the clock
in every round, a call that the compiler knows nothing of: a loop that only looked at shared memory
would look once, and hang. Every other thread has a heartbeat, a counter on cache lines of its own,
that the calling loop sees move before each sample.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import njit

from pmsim.calibration.libc import (
    CLOCK_MONOTONIC,
    MADV_DONTNEED,
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    PAGE,
    PRIVATE,
    PRIVATE_EXPEDITED,
    READ,
    READ_WRITE,
    SYS_MEMBARRIER,
    clock_gettime,
    madvise,
    map_memory,
    memset,
    mprotect,
    munmap,
    nanosleep,
    syscall,
)

Ints = npt.NDArray[np.int64]

MEMBARRIER, MPROTECT, MADVISE, MUNMAP, MUNMAP_TABLES = range(5)
"""What is called in a sample. The last one's page is alone in what a page table spans."""
APART: Final = 32
"""Numbers between heartbeats: two cache lines of 128 bytes."""
RING: Final = 1 << 14
"""Gaps that a spinner remembers."""
GAP_NS: Final = 250
"""What its loop loses at once from which on it is a gap: below, it is a cache miss."""
SAMPLE_NS: Final = 50_000_000
"""How long a sample waits for the others' heartbeats before it is given up."""

_FIXED: Final = PRIVATE | MAP_FIXED
_FIXED_NOREPLACE: Final = PRIVATE | MAP_FIXED_NOREPLACE


def _compiled(function: Any) -> Any:
    """Compile a loop when it is first called; it then runs without the interpreter's lock."""
    return njit(nogil=True)(function)


@_compiled
def now(words: Any) -> Any:
    """Return the time in nanoseconds, by the vDSO where the kernel has one."""
    clock_gettime(CLOCK_MONOTONIC, words.ctypes)
    return words[0] * 1_000_000_000 + words[1]


@_compiled
def clock_costs(lengths: Any) -> None:
    """Fill in what reading the clock takes, as a sample sees it."""
    words = np.zeros(2, np.int64)
    for place in range(len(lengths)):
        start = now(words)
        lengths[place] = now(words) - start


@_compiled
def spin(stop: Any, hearts: Any, place: int, ends: Any, gaps: Any, found: Any) -> None:
    """Compute until told to stop; remember when the loop lost time at once, and how much."""
    words = np.zeros(2, np.int64)
    last = now(words)
    while stop[0] == 0:
        time = now(words)
        if time - last >= GAP_NS:
            ends[found[0] % RING] = time
            gaps[found[0] % RING] = time - last
            found[0] += 1
            time = now(words)
        hearts[place] += 1
        last = time


@_compiled
def nap(stop: Any, hearts: Any, place: int, nanoseconds: int) -> None:
    """Sleep over and over until told to stop, and give a heartbeat each time before."""
    words = np.zeros(2, np.int64)
    length = np.zeros(2, np.int64)
    while stop[0] == 0:
        hearts[place] = now(words)
        length[0], length[1] = nanoseconds // 1_000_000_000, nanoseconds % 1_000_000_000
        nanosleep(length.ctypes, 0)


@_compiled
def _all_beat(hearts: Any, others: int, words: Any) -> bool:
    """Wait until every other thread was seen to run; return whether all were."""
    until = now(words) + SAMPLE_NS
    for other in range(others):
        before = hearts[other * APART]
        while hearts[other * APART] == before:
            if now(words) > until:
                return False
    return True


@_compiled
def sample(
    call: int,
    pages: int,
    address: int,
    hearts: Any,
    others: int,
    wait_ns: int,
    times: Any,
) -> int:
    """Take samples of a call; return how many were taken.

    Parameters
    ----------
    call
        What is called.
    pages
        Of how many pages.
    address
        Where they are.
    hearts, others
        The heartbeats of the other threads, and how many are to move before each sample.
    wait_ns
        How long behind a heartbeat the call is to come: of sleepers, how long they have slept.
    times
        A row for each sample: start, end, how long mapping took before, how long touching.
    """
    words = np.zeros(2, np.int64)
    size = pages * PAGE
    done = 0
    there = False
    if call == MPROTECT:
        for page in range(pages):
            memset(address + page * PAGE, 1, 1)
    for number in range(len(times)):
        before = now(words)
        touched = mapped = before
        if call >= MUNMAP:
            flags = _FIXED if call == MUNMAP else _FIXED_NOREPLACE
            if map_memory(address, size, READ_WRITE, flags, -1, 0) != address:
                break
            there = True
            mapped = now(words)
        if call != MPROTECT and call != MEMBARRIER:
            for page in range(pages):
                memset(address + page * PAGE, 1, 1)
            touched = now(words)
        if not _all_beat(hearts, others, words):
            break
        until = now(words) + wait_ns
        while now(words) < until:
            pass
        start = now(words)
        if call == MEMBARRIER:
            syscall(SYS_MEMBARRIER, PRIVATE_EXPEDITED, 0, 0)
        elif call == MPROTECT:
            mprotect(address, size, READ if number % 2 == 0 else READ_WRITE)
        elif call == MADVISE:
            madvise(address, size, MADV_DONTNEED)
        else:
            munmap(address, size)
            there = False
        times[number, 0] = start
        times[number, 1] = now(words)
        times[number, 2] = mapped - before
        times[number, 3] = touched - mapped
        done = number + 1
    if call == MPROTECT:
        mprotect(address, size, READ_WRITE)
    elif call == MUNMAP:
        map_memory(address, size, READ_WRITE, _FIXED, -1, 0)
    elif there:
        munmap(address, size)
    return done
