"""CPUs that have still to drop something: those that a shootdown left out, or did not tell.

The former do so when they next enter the kernel; all of them at the next shootdown that tells them
of the same pages. Until then it is not known how long they could have used them. All CPUs that have
still to drop one change are a row of arrays. No time passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes.waits import (
    C_FIRST,
    W_LATE,
    W_OPEN,
    WAIT_ROW,
    WAITS_ROW,
    begin_waits,
    end_by_telling,
    end_on_entry,
    end_with_the_run,
    who_waits,
)
from pmsim.kernel.safety.tellings import NO_FLAGS
from pmsim.kernel.safety.violations import Hazard, Revocation

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.safety.found import Found
    from pmsim.kernel.safety.tellings import Telling
    from pmsim.units import Picoseconds

Ints = npt.NDArray[np.int64]

_WRITTEN: Final = Struct(f"={W_OPEN}q")
"""The columns up to `W_OPEN`, written at once."""

_ROW_BYTES: Final = 8 * WAIT_ROW

_ROWS: Final = 64
"""Changes for which there is room at first; more where half of them are not dropped yet."""


class Waits:
    """All that CPUs have still to drop, as far as anybody is to know when.

    Parameters
    ----------
    machine
        Whose CPUs they are.
    found
        Takes the violations.

    Attributes
    ----------
    open
        How many changes they are.
    states
        What each CPU has to drop, as in `pmsim.hardware.passes.waits.begin_waits`.
    """

    def __init__(self, machine: Machine, found: Found) -> None:
        self.open = 0
        self._machine = machine
        self._found = found
        self._rows = 0
        self._revocations: list[Revocation] = []  # which are not gone before, row by row
        self._waits: Ints = np.empty((0, WAIT_ROW), np.int64)
        self._on = np.empty((0, machine.n_cpus), np.int16)
        self._over: Ints = np.empty(0, np.int64)
        self._cpus: Ints = np.empty(machine.n_cpus, np.int64)
        self.states: Ints = np.zeros((machine.n_cpus, WAITS_ROW), np.int64)

    def not_told(self, task: Task, hazard: Hazard, one: Revocation, cpus: Ints) -> None:
        """Note who was not told, until somebody else tells them, or they enter the kernel."""
        if len(cpus):
            self._begin(task, hazard, [one], cpus, task.now, is_kept=True)
            one.closed_ps = None

    def left_out(
        self,
        task: Task,
        hazard: Hazard,
        some: Sequence[Revocation],
        telling: Telling,
        cpus: Ints,
    ) -> None:
        """Note who was left out of a shootdown, until it is known when they entered the kernel."""
        self._begin(task, hazard, some, cpus, telling.began_ps, is_kept=False)
        if telling.entered:
            entries = np.concatenate(telling.entered)
            self._entered(entries, telling.out.copy(), telling.began_ps)

    def entered(self, entries: Ints) -> None:
        """Note that CPUs have dropped everything as they entered the kernel: which, and when."""
        self._entered(entries, NO_FLAGS, -1)

    def told(self, telling: Telling, drops: Callable[[Telling], Ints]) -> None:
        """Note that a shootdown is over: who was told has dropped what it is about.

        When each CPU has, ``drops`` returns.
        """
        told = NO_FLAGS if telling.told is None else telling.told
        number = who_waits(self.states, told, telling.out, self._cpus)
        if not number:
            return
        cpus, gone, what = self._cpus[:number], drops(telling)[0], telling.what
        self._machine.flush_log()  # who has entered the kernel before
        over = end_by_telling(
            *self._all(), cpus, gone, what.first, what.end, telling.up_to, self._over
        )
        self._are_over(over)

    def finish(self) -> None:
        """Note that the run is over: who has not dropped it by now does not in it."""
        if self.open:
            number = who_waits(self.states, NO_FLAGS, NO_FLAGS, self._cpus)
            end_with_the_run(*self._all(), self._cpus[:number])
            self.open = 0

    def _begin(
        self,
        task: Task,
        hazard: Hazard,
        some: Sequence[Revocation],
        cpus: Ints,
        since: Picoseconds,
        *,
        is_kept: bool,
    ) -> None:
        """Wait for some CPUs; when the others have dropped what was revoked is known by now."""
        found, n, now = self._found, len(some), task.now
        number = found.operation(task)
        found.begin(hazard, number, now)
        if not len(cpus):
            return
        if self._rows + n > len(self._waits):
            self._make_room(n)
        row, kind = self._rows, int(hazard)
        write, into, at = _WRITTEN.pack_into, self._waits.data, row * _ROW_BYTES
        for one in some:
            page, pages = one.page, one.pages
            end = page + pages
            write(into, at, since, end, one.generation, kind, number, page, pages, now)
            at += _ROW_BYTES
            one.waits += 1
            if one.gone_ps is not None:
                one.late_ps, one.gone_ps = max(one.late_ps, one.gone_ps), None
        begin_waits(
            found.rows, found.tally, found.noted, self._waits, self._on, self.states, cpus, row, n,
            int(is_kept),
        )  # fmt: skip
        self._rows = row + n
        self.open += n
        self._revocations += some

    def _entered(self, entries: Ints, of: npt.NDArray[np.uint8], after: Picoseconds) -> None:
        """Note entries: the first ones of some CPUs after an instant, or all."""
        if self.open:
            self._are_over(end_on_entry(*self._all(), entries, of, after, self._over))

    def _all(self) -> tuple[Ints, Ints, Ints, npt.NDArray[np.int16], Ints, int]:
        """Return what all passes begin with."""
        found = self._found
        return found.rows, found.tally, self._waits, self._on, self.states, self._rows

    def _are_over(self, number: int) -> None:
        """Note of the first rows of those that all CPUs have dropped that they are gone."""
        if not number:
            return
        self.open -= number
        rows = self._over[:number]
        for row, late in zip(rows.tolist(), self._waits[rows, W_LATE].tolist(), strict=True):
            revocation = self._revocations[row]
            revocation.waits -= 1
            revocation.late_ps = max(revocation.late_ps, late)
            if not revocation.waits:
                revocation.gone_ps = revocation.late_ps

    def _make_room(self, more: int) -> None:
        """Take out what all CPUs have dropped; if that is less than half, have twice the room.

        At least for so many more.
        """
        open_ = self._waits[: self._rows, W_OPEN] > 0
        kept = np.flatnonzero(open_)
        before = np.concatenate(([0], np.cumsum(open_)))
        self.states[:, C_FIRST] = before[self.states[:, C_FIRST]]
        rows = len(self._waits) if 2 * len(kept) < len(self._waits) else 2 * self._rows
        rows = max(rows, len(kept) + more, _ROWS)
        waits, on = self._waits[kept], self._on[kept]
        self._waits = np.empty((rows, WAIT_ROW), np.int64)
        self._on = np.zeros((rows, self._machine.n_cpus), np.int16)
        self._waits[: len(kept)], self._on[: len(kept)] = waits, on
        self._over = np.empty(rows, np.int64)
        self._revocations = [self._revocations[row] for row in kept.tolist()]
        self._rows = len(kept)
