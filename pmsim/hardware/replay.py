"""Steps of tasks that are known beforehand, and so need no Python between them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import jit, layout
from pmsim.hardware.passes.replay import CALLS, KIND, WORK, replay
from pmsim.units import LONGEST_RUN

if TYPE_CHECKING:
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.task import Task
    from pmsim.hardware.tlb import FlushFunction
    from pmsim.steps import Steps

Ints = npt.NDArray[np.int64]

ROW = 6
"""Numbers of a row."""


def compute_rows(work: Ints, *, user: bool = False) -> Ints:
    """Return rows of `Task.compute`, or of `Task.user_compute`; shape ``(n, ROW)``."""
    rows = np.zeros((len(work), ROW), dtype=np.int64)
    rows[:, WORK] = np.minimum(work, LONGEST_RUN)
    rows[:, KIND] = layout.DO_USER if user else layout.DO_COMPUTE
    return rows


def call_row(function: FlushFunction, cause: int, pages: int) -> tuple[int, ...]:
    """Return the row of a `Task.cross_call` of all other CPUs, for no operation."""
    return (CALLS, *function.arguments, cause, pages)


class Replay:
    """Rows of any number of tasks of one machine.

    Parameters
    ----------
    machine
        The machine; see `can_replay`.
    rows
        What `compute_rows` and `call_row` return, shape ``(n, ROW)``.
    """

    def __init__(self, machine: Silicon, rows: Ints) -> None:
        jit.compile_entry(replay, backwards=machine.turns is not None)
        self._state = machine.fabric.state
        self._distances = machine.fabric.distances
        self._nobody = np.zeros(0, dtype=np.int64)
        self._rows = np.ascontiguousarray(rows)
        self._at = np.zeros(machine.fabric.max_tasks, dtype=np.int64)
        self._ends = np.zeros(machine.fabric.max_tasks, dtype=np.int64)

    def take(self, task: Task, first: int, end: int) -> Steps:
        """Have a task take the rows from ``first`` to before ``end``."""
        at, ends, index = self._at, self._ends, task.index
        at[index], ends[index] = first, end
        while at[index] < end:
            following = replay(
                self._state, self._distances, self._nobody, self._rows, at, ends, index
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
