"""What was revoked while shootdowns of several tasks were under way: when it was gone.

When a shootdown is over each CPU's drop is kept as long as a revocation of another task may need
it. One that all CPUs have dropped by now, though some of them earlier for another's sake, waits
until there are many: nobody asks before the run is over, and all of them are looked up at once. No
time passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.own_task import OwnTask
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.firsts import (
    R_CLOSED,
    R_FIRST,
    R_GONE,
    R_MISSING,
    R_TOLD,
    REVOKED_ROW,
    TOLD_ROW,
    drops_by_call,
    drops_under_way,
    first_drops,
)
from pmsim.hardware.passes.jit import compile_entry
from pmsim.hardware.passes.left_out import split, who_is_left
from pmsim.hardware.passes.steps import act
from pmsim.kernel.safety.meeting import write_drops

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.safety.tellings import Telling
    from pmsim.kernel.safety.violations import Revocation

Ints = npt.NDArray[np.int64]

_KEPT: Final = 64
"""Shootdowns of which each CPU's drop is kept at first; more where half of them are needed yet."""

_TOLD: Final = Struct(f"={TOLD_ROW}q")
_CHANGE: Final = Struct(f"={R_TOLD}q")
_CALL: Final = Struct("=2q")
"""A row of a shootdown, of a change up to what is found, and of a call: written at once."""

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
        self._state = machine.fabric.state
        self._by_calls = machine.shootdown.protocol.by_calls and machine.by_code is None
        self._under_way = under_way
        self._pending = pending
        self._kept: list[Telling] = []  # and of each of them, in its row, when CPUs have dropped it
        self._over: Telling | None = None  # that one stands in the row behind them
        self._at_most = _KEPT
        self._told: Ints = np.empty((0, TOLD_ROW), np.int64)
        self._drops: Ints = np.empty((0, 2, self._n_cpus), np.int64)
        self._room: Ints = np.empty((3, 0), np.int64)
        self._calls: Ints = np.empty((0, 2), np.int64)
        self._newest = 0  # the last generation that one that is kept has dropped
        self._waiting: list[Revocation] = []  # in the first rows of these
        self._oldest = 0  # generation of them
        self._revoked: Ints = np.empty((0, REVOKED_ROW), np.int64)

    def drops(self, telling: Telling) -> Ints:
        """Return when each CPU has dropped what a shootdown is about that is over just now.

        And from when on it was closed; shape ``(2, n_cpus)``. It is valid until `over` returns.
        """
        row = len(self._kept)
        if self._over is not telling:
            if row >= len(self._told):
                self._make_room(row + 1)
            if self._by_calls and telling.told is None:
                act(self._state, layout.DO_CATCH_UP, 0, 0)
                cpu, began = telling.task.cpu, telling.began_ps
                drops_by_call(self._state, cpu, began, 1, self._drops, row)
            else:
                write_drops(telling, self._drops, row, is_over=True)
            self._over = telling
        drops: Ints = self._drops[row]
        return drops

    def over(self, telling: Telling) -> None:
        """Note that a shootdown is over, and what its task has revoked is gone."""
        pending = self._pending.get(telling.task)
        about = [] if pending is None else _made_known(telling, pending)
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
            self._write_changes(about)
            self._oldest = (
                min(about[0].generation, self._oldest) if self._waiting else about[0].generation
            )
            self._waiting += about
        else:
            self._look_at_once(telling, about)

    def first_of(self, one: Revocation) -> Ints | None:
        """Return the first drop of each CPU so far, those under way included; None: no shootdown.

        Of a revocation whose task has made no shootdown of its own.
        """
        self._write_changes([one])
        (first,), changes = self._look_up(len(self._waiting), 1, one.generation, room=1)
        return first if changes[0, R_TOLD] else None

    def settle(self) -> None:
        """Look up when all that waits was gone, and keep what somebody may need yet."""
        if n := len(self._waiting):
            _, changes = self._look_up(0, n, self._oldest, room=1)
            found = changes[:n, R_GONE : R_CLOSED + 1].tolist()
            for one, (gone, closed) in zip(self._waiting, found, strict=True):
                one.gone_ps, one.closed_ps = gone, closed
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
        self._write_changes(about)
        n, oldest = len(about), about[0].generation
        first, changes = self._look_up(len(self._waiting), n, oldest, room=n)
        drops = [*first]
        now = telling.task.now
        for one, found in zip(about, changes[:n].tolist(), strict=True):
            if found[R_TOLD] <= 1:
                _is_gone(telling, [one])
                continue
            one.gone_ps, one.closed_ps = gone, _ = found[R_GONE], found[R_CLOSED]
            if found[R_MISSING] or gone > now:
                one.first = drops[found[R_FIRST]]
            else:
                one.by_ps = gone

    def _write_changes(self, some: Sequence[Revocation]) -> None:
        """Write revocations into rows behind those that wait.

        With each stands how many shootdowns have begun by now: later ones have not been earlier.
        """
        row = len(self._waiting)
        if row + len(some) > len(self._revoked):
            more = np.empty((len(self._revoked) + len(some) + _KEPT, REVOKED_ROW), np.int64)
            self._revoked = np.concatenate([self._revoked[:row], more])
        into, at, begun = self._revoked.data, 8 * row * REVOKED_ROW, self.begun
        for one in some:
            page = one.page
            _CHANGE.pack_into(into, at, page, page + one.pages, one.generation, begun)
            at += 8 * REVOKED_ROW

    def _look_up(self, row: int, n: int, oldest: int, room: int) -> tuple[Ints, Ints]:
        """Look up when revocations are gone that stand in some rows, the oldest of a generation.

        Return the first drops of some of them, all different, and their rows.
        """
        rows, changes = self._write_under_way(oldest), self._revoked[row:]
        first = np.empty((room, 2, self._n_cpus), np.int64)
        different = first_drops(self._told, rows, self._drops, changes, n, self._room, first)
        return first[:different], changes

    def _write_under_way(self, oldest: int) -> int:
        """Write what is known of shootdowns under way that may be about a change, or newer ones.

        They stand behind those that are kept. Return how many rows that makes.
        """
        some = [one for one in self._under_way.values() if one.up_to >= oldest]
        row = len(self._kept)
        rows = row + len(some)
        self._over = None
        if not some:
            return rows
        if rows > len(self._told):
            self._make_room(rows)
        for at, telling in enumerate(some, row):
            self._write(at, telling)
            if not self._by_calls:
                write_drops(telling, self._drops, at, is_over=False)
        if not self._by_calls:
            return rows
        for at, telling in enumerate(some):
            _CALL.pack_into(self._calls.data, _CALL.size * at, telling.task.cpu, telling.began_ps)
        act(self._state, layout.DO_CATCH_UP, 0, 0)
        drops_under_way(self._state, self._calls, len(some), self._drops, row)
        return rows

    def _keep(self, telling: Telling) -> None:
        """Keep when each CPU has dropped what a shootdown is about that is over just now."""
        self.drops(telling)
        self._write(len(self._kept), telling)
        self._kept.append(telling)
        self._over = None
        self._newest = max(self._newest, telling.up_to)
        if len(self._kept) >= self._at_most:
            self.settle()

    def _write(self, row: int, telling: Telling) -> None:
        """Write what a shootdown is about into a row."""
        first, end, _ = telling.what
        at = row * _TOLD.size
        _TOLD.pack_into(self._told.data, at, first, end, telling.up_to, telling.number)

    def _make_room(self, rows: int) -> None:
        """Make room for so many shootdowns, or for more."""
        before = len(self._told)
        if not before:
            compile_entry(drops_under_way, backwards=not self._state.flags.c_contiguous)
            for entry in (first_drops, who_is_left, split):
                compile_entry(entry)
        rows = max(2 * before, rows, _KEPT + _MORE)
        more = rows - before
        self._told = np.concatenate([self._told, np.empty((more, TOLD_ROW), np.int64)])
        self._drops = np.concatenate([self._drops, np.empty((more, 2, self._n_cpus), np.int64)])
        self._room = np.empty((3, rows), np.int64)
        self._calls = np.empty((rows, 2), np.int64)


def _made_known(telling: Telling, pending: Sequence[Revocation]) -> list[Revocation]:
    """Return what a task has revoked that its shootdown, over just now, makes known first."""
    (first, end, _), up_to = telling.what, telling.up_to
    left_out_by = telling if len(telling.left_out) else None
    about = []
    for one in pending:
        page = one.page
        is_about = one.generation <= up_to and first <= page and page + one.pages <= end
        if is_about and one.gone_ps is None and one.by_ps is None:
            one.left_out_by = left_out_by
            about.append(one)
    return about


def _all_have_dropped(telling: Telling) -> bool:
    """Return whether all CPUs have dropped what a shootdown is about that is over just now."""
    if telling.told is not None or len(telling.left_out) or telling.late:
        return False
    return not isinstance(telling.task, OwnTask)  # of code more is found out later


def _is_gone(telling: Telling, some: Sequence[Revocation]) -> None:
    """Note that revocations are gone with a shootdown that has met no other."""
    closed = telling.closed_ps() if some else None
    for one in some:
        one.gone_ps, one.closed_ps = telling.gone_ps, closed
