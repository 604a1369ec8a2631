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
    R_TOLD,
    REVOKED_ROW,
    T_NUMBER,
    first_drops,
)
from pmsim.hardware.passes.jit import compile_entry
from pmsim.kernel.safety.meeting import Drops, drops_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.safety.tellings import Telling
    from pmsim.kernel.safety.violations import Revocation

Ints = npt.NDArray[np.int64]

_KEPT: Final = 64
"""Shootdowns of which each CPU's drop is kept at first; more where half of them are needed yet."""


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
    """

    def __init__(
        self,
        machine: Machine,
        under_way: Mapping[Task, Telling],
        pending: Mapping[Task, Sequence[Revocation]],
    ) -> None:
        self._n_cpus = machine.n_cpus
        self._under_way = under_way
        self._pending = pending
        self._begun = 0
        self._kept: list[Telling] = []  # and of each of them when CPUs have dropped it
        self._drops: Ints = np.empty((0, 2, self._n_cpus), np.int64)
        self._newest = 0  # the last generation that one that is kept has dropped
        # With how many shootdowns had begun by then: later ones have not been earlier.
        self._waiting: list[tuple[Revocation, int]] = []

    def begins(self) -> int:
        """Note that a shootdown begins; return how many had begun before."""
        self._begun += 1
        return self._begun - 1

    def over(self, telling: Telling) -> None:
        """Note that a shootdown is over, and what its task has revoked is gone."""
        pending = self._pending.get(telling.task)
        about = [one for one in pending or () if not one.is_known and _covers(telling, one)]
        for one in about:
            one.left_out_by = telling if telling.left_out else None
        met = [] if telling.unwaited else [one for one in about if self._may_have_met(one)]
        if met or self._waiting or len(self._pending) > (pending is not None):
            self._keep(telling)
        if telling.unwaited:
            telling.revoked += about
        elif not met:
            _is_gone(telling, about)
        elif _all_have_dropped(telling):
            for one in met:
                one.by_ps = telling.gone_ps
                self._waiting.append((one, self._begun))
            _is_gone(telling, [one for one in about if one.by_ps is None])
        else:
            self._look_at_once(telling, about)

    def first_of(self, one: Revocation) -> Drops | None:
        """Return the first drop of each CPU so far, those under way included; None: no shootdown.

        Of a revocation whose task has made no shootdown of its own.
        """
        if not self._may_have_met(one):
            return None
        told, first = self._look_up(self._with_those_under_way(), [(one, self._begun)])
        return Drops(*first) if told[0, R_TOLD] else None

    def settle(self) -> None:
        """Look up when all that waits was gone, and keep what somebody may need yet."""
        if self._waiting:
            found, _ = self._look_up(self._with_those_under_way(), self._waiting)
            gone, closed = found[:, R_GONE].tolist(), found[:, R_CLOSED].tolist()
            for (one, _), gone_ps, closed_ps in zip(self._waiting, gone, closed, strict=True):
                one.gone_ps, one.closed_ps = gone_ps, closed_ps
            self._waiting.clear()
        unknown = (one for some in self._pending.values() for one in some if not one.is_known)
        oldest = min((one.generation for one in unknown), default=self._newest + 1)
        needed = [row for row, telling in enumerate(self._kept) if telling.up_to >= oldest]
        self._kept = [self._kept[row] for row in needed]
        self._drops[: len(needed)] = self._drops[needed]

    def _may_have_met(self, one: Revocation) -> bool:
        """Return whether shootdowns of others may have been about a revocation, or are."""
        if one.generation <= self._newest:
            return True
        return any(_covers(telling, one) for telling in self._under_way.values())

    def _look_at_once(self, telling: Telling, about: Sequence[Revocation]) -> None:
        """Note when revocations are gone that some CPUs have not dropped yet, or were not told."""
        all_told = self._with_those_under_way()
        for one in about:
            told, first = self._look_up(all_told, [(one, self._begun)])
            if told[0, R_TOLD] > 1:
                one.is_dropped(Drops(*first))
            else:
                _is_gone(telling, [one])

    def _look_up(
        self, all_told: Sequence[Telling], some: Sequence[tuple[Revocation, int]]
    ) -> tuple[Ints, Ints]:
        """Return when revocations are gone, and the first drops of the last one.

        With each stands how many shootdowns are looked at, in the order in which they began.
        """
        told = np.array(
            [(one.what.first, one.what.end, one.up_to, one.number) for one in all_told], np.int64
        )
        rows = np.zeros((len(some), REVOKED_ROW), np.int64)
        rows[:, : R_BEGUN + 1] = [
            (one.page, one.page + one.pages, one.generation, begun) for one, begun in some
        ]
        first = np.empty((2, self._n_cpus), np.int64)
        first_drops(told, self._drops, np.argsort(told[:, T_NUMBER]), rows, first)
        return rows, first

    def _keep(self, telling: Telling) -> None:
        """Keep when each CPU has dropped what a shootdown is about that is over just now."""
        self._make_room(_KEPT)
        self._write(len(self._kept), drops_of(telling, is_over=True))
        self._kept.append(telling)
        self._newest = max(self._newest, telling.up_to)
        if len(self._kept) == len(self._drops):
            self.settle()
            self._make_room(2 * len(self._kept) + 1)

    def _with_those_under_way(self) -> list[Telling]:
        """Return all that are kept, and behind them those under way, as far as they have come."""
        all_told = [*self._kept, *self._under_way.values()]
        self._make_room(len(all_told))
        for row in range(len(self._kept), len(all_told)):
            self._write(row, drops_of(all_told[row], is_over=False))
        return all_told

    def _write(self, row: int, drops: Drops) -> None:
        gone, closed = self._drops[row]
        gone[:] = drops.gone_ps
        closed[:] = drops.closed_ps

    def _make_room(self, rows: int) -> None:
        """Make room for so many shootdowns, where there is less."""
        more = rows - len(self._drops)
        if more > 0:
            compile_entry(first_drops)
            drops = np.empty((more, 2, self._n_cpus), np.int64)
            self._drops = np.concatenate([self._drops, drops])


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
