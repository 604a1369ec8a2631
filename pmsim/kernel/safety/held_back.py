"""Memory of processes that is held back until CPUs have swept what was noted for them (`latr`).

It is used again at a fixed time, whoever holds its translation then. When each CPU dropped it the
machine tells later. A CPU without a task runs nothing and sweeps before the next one: what it holds
is taken for harmless from the instant at which it went idle.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pmsim.hardware.passes import layout
from pmsim.kernel.safety.violations import Hazard, Violation
from pmsim.units import CpuId, Pages, Picoseconds


class _Note(NamedTuple):
    """What one CPU may still hold: the number of the note, and when its pages are used again."""

    number: int
    pages: Pages
    operation: int
    reused_ps: Picoseconds


class HeldBack:
    """What has been noted for each CPU, and not been dropped there yet.

    Parameters
    ----------
    keep
        Takes what is found.

    Attributes
    ----------
    pages, page_ps
        How many pages were held back, and for how long, all together.
    """

    def __init__(self, keep: Callable[[Violation], None]) -> None:
        self._keep = keep
        self.pages: Pages = 0
        self.page_ps = 0
        self._notes: defaultdict[CpuId, deque[_Note]] = defaultdict(deque)

    def noted(
        self,
        cpus: Iterable[CpuId],
        number: int,
        pages: Pages,
        operation: int,
        now: Picoseconds,
        held_ps: Picoseconds,
    ) -> None:
        """Note that CPUs may hold pages that are used again so long from now."""
        note = _Note(number, pages, operation, now + held_ps)
        self.pages += pages
        self.page_ps += pages * held_ps
        for cpu in cpus:
            self._notes[cpu].append(note)

    def swept(self, cpu: CpuId, idle_since: int, at: Picoseconds, order: int) -> None:
        """Note that a CPU has dropped what was noted before a number; it may have been idle."""
        notes = self._notes[cpu]
        until = idle_since if idle_since > 0 else at
        while notes and notes[0].number < order:
            self._look(cpu, notes.popleft(), until)

    def finish(self, words: memoryview, now: Picoseconds) -> None:
        """Note that the run is over: what has not been dropped by now is not in it."""
        for cpu, notes in self._notes.items():
            row = layout.HEADER + cpu * layout.CPU_WORDS
            idle = words[row + layout.MODE] == layout.M_IDLE
            for note in notes:
                self._look(cpu, note, words[row + layout.SINCE] if idle else now, known=idle)
        self._notes.clear()

    def _look(self, cpu: CpuId, note: _Note, until: Picoseconds, *, known: bool = True) -> None:
        if note.reused_ps < until:
            self._keep(
                Violation(
                    Hazard.USE_AFTER_FREE,
                    note.operation,
                    -1,
                    note.pages,
                    cpu,
                    note.reused_ps,
                    until if known else None,
                )
            )
