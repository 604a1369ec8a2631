"""What was revoked while shootdowns of several tasks were under way: when it was gone.

When a shootdown is over each CPU's drop is kept as long as a revocation of another task may need
it. One that all CPUs have dropped by now, though some of them earlier for another's sake, waits
until there are many: nobody asks before the run is over, and all of them are looked up at once. No
time passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.own_task import OwnTask
from pmsim.hardware.passes.firsts import (
    R_BEGUN,
    R_CLOSED,
    R_GONE,
    R_MISSING,
    R_TOLD,
    REVOKED_ROW,
    T_NUMBER,
    TOLD_ROW,
    first_drops,
)
from pmsim.hardware.passes.jit import compile_entry
from pmsim.kernel.safety.meeting import Drops, write_drops

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.safety.tellings import Telling
    from pmsim.kernel.safety.violations import Revocation

Ints = npt.NDArray[np.int64]

_KEPT: Final = 64
"""Shootdowns of which each CPU's drop is kept at first; more where half of them are needed yet."""

_MORE: Final = 16
"""Room for as many more as are under way when something is looked up, at first."""


class Meetings:
    """Shootdowns that met, in one run.

    Parameters
    ----------
    machine
        Whose CPUs they tell.
    under_way
        Those that have begun and are not over, by their tasks.
    pending
        What tasks have revoked, and rely on when their calls return.

    Attributes
    ----------
    begun
        How many shootdowns have begun.
    """

    def __init__(
        self,
        machine: Machine,
        under_way: dict[Task, Telling],
        pending: Mapping[Task, Sequence[Revocation]],
    ) -> None:
        self.begun = 0
        self._n_cpus = machine.n_cpus
        self._under_way = under_way
        self._pending = pending
        self._kept: list[Telling] = []  # and of each of them, in its row, when CPUs have dropped it
        self._at_most = _KEPT
        self._told: Ints = np.empty((0, TOLD_ROW), np.int64)
        self._drops: Ints = np.empty((0, 2, self._n_cpus), np.int64)
        self._about: Ints = np.empty((2, 0), np.int64)
        self._newest = 0  # the last generation that one that is kept has dropped
        # With how many shootdowns had begun by then: later ones have not been earlier.
        self._waiting: list[tuple[Revocation, int]] = []

    def over(self, telling: Telling) -> None:
        """Note that a shootdown is over, and what its task has revoked is gone."""
        pending = self._pending.get(telling.task)
        about = [one for one in pending or () if not one.is_known and _covers(telling, one)]
        left_out_by = telling if telling.left_out else None
        for one in about:
            one.left_out_by = left_out_by
        if telling.unwaited:
            telling.revoked = (*telling.revoked, *about)
            about = []
        met = bool(about) and self._may_have_met(about[0])
        if met or self._waiting or len(self._pending) > (pending is not None):
            self._keep(telling)
        if not met:
            _is_gone(telling, about)
        elif _all_have_dropped(telling):
            for one in about:
                one.by_ps = telling.gone_ps
                self._waiting.append((one, self.begun))
        else:
            self._look_at_once(telling, about)

    def first_of(self, one: Revocation) -> Drops | None:
        """Return the first drop of each CPU so far, those under way included; None: no shootdown.

        Of a revocation whose task has made no shootdown of its own.
        """
        (found,), first = self._look_up([(one, self.begun)])
        return Drops(*first[0]) if found[R_TOLD] else None

    def settle(self) -> None:
        """Look up when all that waits was gone, and keep what somebody may need yet."""
        if self._waiting:
            found, _ = self._look_up(self._waiting, whole=False)
            gone, closed = found[:, R_GONE].tolist(), found[:, R_CLOSED].tolist()
            for (one, _), gone_ps, closed_ps in zip(self._waiting, gone, closed, strict=True):
                one.gone_ps, one.closed_ps = gone_ps, closed_ps
            self._waiting.clear()
        unknown = (one for some in self._pending.values() for one in some if not one.is_known)
        oldest = min((one.generation for one in unknown), default=self._newest + 1)
        needed = [row for row, telling in enumerate(self._kept) if telling.up_to >= oldest]
        self._kept = [self._kept[row] for row in needed]
        for rows in (self._told, self._drops):
            rows[: len(needed)] = rows[needed]
        self._at_most = max(self._at_most, 2 * len(needed) + 1)

    def _may_have_met(self, oldest: Revocation) -> bool:
        """Return whether others' shootdowns may have been about a revocation, or newer ones."""
        generation = oldest.generation
        if generation <= self._newest:
            return True
        newest = next(reversed(self._under_way.values()), None)  # they stand as they began
        return newest is not None and newest.up_to >= generation

    def _look_at_once(self, telling: Telling, about: Sequence[Revocation]) -> None:
        """Note when revocations are gone that some CPUs have not dropped yet, or were not told."""
        found, first = self._look_up([(one, self.begun) for one in about])
        for at, one in enumerate(about):
            if found[at, R_TOLD] <= 1:
                _is_gone(telling, [one])
                continue
            one.gone_ps, one.closed_ps = int(found[at, R_GONE]), int(found[at, R_CLOSED])
            if found[at, R_MISSING] or one.gone_ps > telling.task.machine.now:
                one.first = Drops(*first[at])
            else:
                one.by_ps = one.gone_ps

    def _look_up(
        self, some: Sequence[tuple[Revocation, int]], *, whole: bool = True
    ) -> tuple[Ints, Ints]:
        """Return when revocations are gone, and with the whole of it the first drops of each.

        With each stands how many shootdowns are looked at, in the order in which they began.
        """
        oldest = min(one.generation for one, _ in some)
        rows = len(self._kept)
        for telling in self._under_way.values():
            if telling.up_to >= oldest:  # as far as it has come
                self._write(rows, telling, is_over=False)
                rows += 1
        revoked = np.zeros((len(some), REVOKED_ROW), np.int64)
        revoked[:, : R_BEGUN + 1] = [
            (one.page, one.page + one.pages, one.generation, begun) for one, begun in some
        ]
        first = np.empty((len(some) if whole else 1, 2, self._n_cpus), np.int64)
        order = np.argsort(self._told[:rows, T_NUMBER])
        first_drops(self._told, self._drops, order, revoked, self._about, first)
        return revoked, first

    def _keep(self, telling: Telling) -> None:
        """Keep when each CPU has dropped what a shootdown is about that is over just now."""
        self._write(len(self._kept), telling, is_over=True)
        self._kept.append(telling)
        self._newest = max(self._newest, telling.up_to)
        if len(self._kept) >= self._at_most:
            self.settle()

    def _write(self, row: int, telling: Telling, *, is_over: bool) -> None:
        """Write what a shootdown is about, and each CPU's drop, into a row."""
        if row == len(self._told):
            self._make_room(2 * row or _KEPT + _MORE)
        what = telling.what
        self._told[row] = what.first, what.end, telling.up_to, telling.number
        write_drops(telling, self._drops, row, is_over=is_over)

    def _make_room(self, rows: int) -> None:
        """Make room for more shootdowns: so many."""
        compile_entry(first_drops)
        more = rows - len(self._told)
        self._told = np.concatenate([self._told, np.empty((more, TOLD_ROW), np.int64)])
        self._drops = np.concatenate([self._drops, np.empty((more, 2, self._n_cpus), np.int64)])
        self._about = np.empty((2, rows), np.int64)


def _covers(telling: Telling, one: Revocation) -> bool:
    return telling.covers(one.page, one.pages, one.generation)


def _all_have_dropped(telling: Telling) -> bool:
    """Return whether all CPUs have dropped what a shootdown is about that is over just now."""
    if telling.told is not None or telling.left_out or telling.late:
        return False
    return not isinstance(telling.task, OwnTask)  # of code more is found out later


def _is_gone(telling: Telling, some: Sequence[Revocation]) -> None:
    """Note that revocations are gone with a shootdown that has met no other."""
    closed = telling.closed_ps() if some else None
    for one in some:
        one.gone_ps, one.closed_ps = telling.gone_ps, closed
