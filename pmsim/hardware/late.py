"""Finished shootdowns that are gone later than they end: they wait until that is known.

A call that is acknowledged at the start of its function is gone when the function ends. One that
has left CPUs out (section 13 of the machine-model page) is gone when the last of them has next
entered the kernel; how many are still to do so is counted by the numbers that calls to all others
have in order, so that an entry takes a whole range of them at once. One that nobody waits
for (section 15) is gone when its last function has ended.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import layout

Rows = npt.NDArray[np.int64]


class Late:
    """The rows that wait, in the order of their ends."""

    def __init__(self) -> None:
        self._chunks: list[Rows] = []
        self._missing = np.zeros(1024, dtype=np.int64)  # CPUs that have not dropped it yet
        self._latest = np.zeros(1024, dtype=np.int64)
        self._some: dict[int, list[int]] = defaultdict(lambda: [0, 0])  # the same of calls to some
        self._open: dict[int, list[tuple[int, int]]] = defaultdict(list)

    def add(self, log: Rows, drops: Rows) -> None:
        """Add finished shootdowns, and what CPUs have put off and dropped since the last time."""
        if len(log):
            self._chunks.append(log)
        for number, left_out in log[log[:, layout.L_LEFT_OUT] > 0][
            :, [layout.L_DEFERRAL, layout.L_LEFT_OUT]
        ].tolist():
            self._count(number, left_out)
        for cpu, first, last, at, order in drops.tolist():
            if cpu < 0:
                self._open[-1 - cpu].append((first, order))
            else:
                self._dropped(cpu, first, last, at, order)

    def awaits(self, number: int, functions: int) -> None:
        """Have the row of a shootdown wait for functions that nobody else waits for."""
        self._count(number, functions)

    def has_ended(self, number: int, at: int) -> None:
        """Note that one of them has ended."""
        self._count(number, -1)
        self._some[number][1] = max(self._some[number][1], at)

    def _dropped(self, cpu: int, first: int, last: int, at: int, order: int) -> None:
        """Note that a CPU has dropped all that it owed and that is before this in order."""
        if last >= first:
            self._make_room(last)
            self._missing[first : last + 1] -= 1
            latest = self._latest[first : last + 1]
            np.maximum(latest, at, out=latest)
        owed = self._open.pop(cpu, [])
        for number, since in owed:
            if since >= order:
                self._open[cpu].append((number, since))
                continue
            self._count(number, -1)
            if number < 0:
                self._some[number][1] = max(self._some[number][1], at)
            else:
                self._latest[number] = max(int(self._latest[number]), at)

    def _count(self, number: int, more: int) -> None:
        if number < 0:
            self._some[number][0] += more
        else:
            self._make_room(number)
            self._missing[number] += more

    def _make_room(self, number: int) -> None:
        if number >= len(self._missing):
            more = max(len(self._missing), number + 1 - len(self._missing))
            self._missing = np.append(self._missing, np.zeros(more, dtype=np.int64))
            self._latest = np.append(self._latest, np.zeros(more, dtype=np.int64))

    def settled(self, now: int, end: int | None) -> list[Rows]:
        """Return the chunks at the front of which all is known, and forget them.

        Parameters
        ----------
        now
            The present instant.
        end
            Where the run ends, if it does: what is gone then or later is never gone in it.
        """
        known = now if end is None else end - 1
        found = []
        while self._chunks and self._is_settled(self._chunks[0], known, final=end is not None):
            found.append(self._chunks.pop(0))
        return found

    def _is_settled(self, chunk: Rows, known: int, *, final: bool) -> bool:
        """Write when each row of a chunk is gone; return False if that is not known of one yet."""
        gone = chunk[:, layout.L_GONE].copy()
        for row in np.flatnonzero(chunk[:, layout.L_DEFERRAL] != layout.NONE).tolist():
            number = int(chunk[row, layout.L_DEFERRAL])
            missing, latest = (
                self._some[number]
                if number < 0
                else (int(self._missing[number]), int(self._latest[number]))
            )
            gone[row] = layout.INF if missing else max(int(gone[row]), latest)
        if not final and gone.max() > known:
            return False
        gone[gone > known] = layout.NONE
        chunk[:, layout.L_GONE] = gone
        return True
