"""Whether every CPU has forgotten what a task relies on that it has. No time passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes.left_out import S_LATER, S_LEFT, S_NEVER, SPLIT, split
from pmsim.kernel.safety.tellings import NO_FLAGS
from pmsim.kernel.safety.violations import Hazard

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.safety.found import Found
    from pmsim.kernel.safety.stale import StalePages
    from pmsim.kernel.safety.tellings import Telling
    from pmsim.kernel.safety.violations import Revocation
    from pmsim.kernel.safety.waiting import Waits

Ints = npt.NDArray[np.int64]


class Relied:
    """What is looked at where the kernel relies on changes that took rights away.

    Parameters
    ----------
    machine
        Whose CPUs may still know what was there before.
    stale
        Which pages these know.
    found, waits
        Take violations, and what CPUs have still to drop.
    """

    def __init__(self, machine: Machine, stale: StalePages, found: Found, waits: Waits) -> None:
        self._stale = stale
        self._found = found
        self._waits = waits
        self._cpus: Ints = np.empty((3, machine.n_cpus), np.int64)
        self._split: Ints = np.zeros(SPLIT, np.int64)

    def relied_on(
        self, task: Task, one: Revocation, hazard: Hazard, partial: Sequence[Telling]
    ) -> None:
        """Look whether every CPU has forgotten what a task took away."""
        if one.by_ps is not None:
            return  # every CPU has: none later than with its own shootdown
        if one.first is not None:
            self._relied_on_first(task, [one], one.first, hazard)
            return
        is_stale = 0 < one.generation <= self._stale.newest(one.page, one.pages)
        if not is_stale and not partial:
            return  # every CPU was told
        about = [told for told in partial if told.covers(one.page, one.pages, one.generation)]
        if is_stale:
            never = self._stale.stale_on(one.generation)
            for told in about:
                if told.told is not None:
                    never &= told.told == 0
                never[told.left_out] = False
            self._waits.not_told(task, hazard, one, np.flatnonzero(never))
        for told in about:
            self._found.still_late(task, hazard, one.page, one.pages, told.late)
        if one.left_out_by is not None:
            self._waits.left_out(task, hazard, [one], one.left_out_by, one.left_out_by.left_out)

    def are_alike(self, some: Sequence[Revocation], partial: Sequence[Telling]) -> bool:
        """Return whether changes were made known alike: the same first drops are known of all.

        Or one shootdown was about all of them, and told all CPUs but those that it left out.
        """
        first, told = some[0].first, some[0].left_out_by
        for one in some:
            is_so = one.first is first and one.left_out_by is told and one.by_ps is None
            if not is_so:
                return False
        if first is not None:
            return True
        if told is None or told is not partial[-1] or told.told is not None or told.late:
            return False
        is_only = len(partial) == 1 or partial[-2].up_to < some[0].generation
        return is_only and told.what.is_everything

    def relied_on_alike(self, task: Task, some: Sequence[Revocation], hazard: Hazard) -> None:
        """Look at changes that are alike, all at once."""
        first, told = some[0].first, some[0].left_out_by
        if first is not None:
            self._relied_on_first(task, some, first, hazard)
        elif told is not None:
            self._waits.left_out(task, hazard, some, told, told.left_out)

    def _relied_on_first(
        self, task: Task, some: Sequence[Revocation], first: Ints, hazard: Hazard
    ) -> None:
        """Look at changes of which it is known when each CPU has dropped them: all at once."""
        told, cpus = some[0].left_out_by, self._cpus
        split(first, task.now, NO_FLAGS if told is None else told.out, cpus, self._split)
        left, never, later, gone, closed = self._split.tolist()
        if not left and not never and not later:
            return
        if told is not None and not never and not later:
            for one in some:
                one.gone_ps, one.closed_ps = gone, closed
            self._waits.left_out(task, hazard, some, told, cpus[S_LEFT, :left])
            return
        for one in some:
            if later:
                late = cpus[S_LATER, :later]
                self._found.until(task, hazard, one.page, one.pages, late, first[0, late])
            one.gone_ps, one.closed_ps = gone, closed
            self._waits.not_told(task, hazard, one, cpus[S_NEVER, :never])
            if told is not None:
                self._waits.left_out(task, hazard, [one], told, cpus[S_LEFT, :left])
