"""Steps of tasks that are known beforehand, and so need no Python between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import jit, layout
from pmsim.hardware.passes.replay import COMPUTES, FUNCTION, replay
from pmsim.units import LONGEST_RUN

if TYPE_CHECKING:
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.task import Task
    from pmsim.hardware.tlb import FlushFunction
    from pmsim.steps import Steps

Ints = npt.NDArray[np.int64]

RowKind = tuple[int, int, int, int]
"""What rows have in common that differ in their argument alone."""

COMPUTE: Final[RowKind] = (COMPUTES, 0, layout.DO_COMPUTE, 0)
"""Rows of `Task.compute`; the argument is the work."""
USER_COMPUTE: Final[RowKind] = (COMPUTES, 0, layout.DO_USER, 0)
"""Rows of `Task.user_compute`."""


def call(function: FlushFunction, cause: int) -> RowKind:
    """Return what rows are of a `Task.cross_call` of all other CPUs, for no operation.

    Their argument is what a call tells as its pages.
    """
    return (*function.arguments, cause)


class Replay:
    """Rows of any number of tasks of one machine.

    Parameters
    ----------
    machine
        The machine; see `can_replay`.
    kinds
        What there are rows of.
    rows, args
        Of each row, the place of its kind among these, and its argument.
    """

    def __init__(
        self, machine: Silicon, kinds: Sequence[RowKind], rows: npt.NDArray[np.int32], args: Ints
    ) -> None:
        jit.compile_entry(replay, backwards=machine.turns is not None)
        self._state = machine.fabric.state
        self._distances = machine.fabric.distances
        self._nobody = np.zeros(0, dtype=np.int64)
        self._kinds = np.array(kinds, dtype=np.int64)
        self._rows = np.ascontiguousarray(rows)
        computes = self._kinds[rows, FUNCTION] == COMPUTES
        self._args = np.where(computes, np.minimum(args, LONGEST_RUN), args)
        self._at = np.zeros(machine.fabric.max_tasks, dtype=np.int64)
        self._ends = np.zeros(machine.fabric.max_tasks, dtype=np.int64)

    def take(self, task: Task, first: int, end: int) -> Steps:
        """Have a task take the rows from ``first`` to before ``end``."""
        at, ends, index = self._at, self._ends, task.index
        at[index], ends[index] = first, end
        while at[index] < end:
            following = replay(
                self._state,
                self._distances,
                self._nobody,
                self._kinds,
                self._rows,
                self._args,
                at,
                ends,
                index,
            )
            if following != index:
                yield following


def can_replay(machine: Silicon) -> bool:
    """Return whether rows can be replayed: not where a call wants more than rows tell.

    Its jitter is drawn in Python, and a slot is taken there; alone on a machine, or where looking
    at those that are left out costs nothing, it may take no time; and acknowledgements and
    interruptions are looked at after each call. Where somebody's own code makes the calls, it has
    to be asked.
    """
    deferred = machine.costs.deferred if machine.leaves_out else None
    plain = machine.jitter is None and not machine.slots and machine.n_cpus > 1
    plain = plain and (deferred is None or deferred.check > 0)
    plain = plain and machine.by_code is None
    return plain and not machine.keep_acks and machine.interruptions is None
