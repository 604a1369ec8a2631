"""A trace, divided into rows that the machine replays by itself and rows that a task takes."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pmsim.workloads.program import OPS, Op, Programs

if TYPE_CHECKING:
    # Imported for their names only: reading a scenario must not load the compiled hardware.
    import numpy as np
    import numpy.typing as npt

    from pmsim.hardware.replay import Replay
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.task import Task
    from pmsim.hardware.tlb import FlushFunction
    from pmsim.steps import Steps


class ReplayedTrace:
    """The programs of a trace, made ready for a machine.

    Computing and calls to all others make up most of a trace, and the machine takes a stretch of
    them by itself; other rows, and all of them where it cannot, are left to the task. A task is
    given by its place among the programs.

    Parameters
    ----------
    programs
        The rows of all tasks.
    """

    def __init__(self, programs: Programs) -> None:
        self.programs = programs
        self._machine: Silicon | None = None
        self._replay: Replay | None = None
        self._left_out: Sequence[int] = ()

    def load(self, machine: Silicon, flush_of: Callable[[int], FlushFunction], cause: int) -> None:
        """Make the rows ready for a machine, once for all of its tasks.

        Parameters
        ----------
        machine
            The machine.
        flush_of
            Returns what a call does that flushes so many pages.
        cause
            What its row tells as the cause.
        """
        if machine is self._machine:
            return
        from pmsim.hardware.replay import Replay, can_replay

        self._machine, self._replay = machine, None
        if can_replay(machine):
            rows, self._left_out = self._prepared(machine, flush_of, cause)
            self._replay = Replay(machine, rows)

    def stretch(self, which: int, number: int) -> int:
        """Return how many rows of a task, from one of them on, the machine replays by itself.

        All that are left, or those before the next row that it cannot take.
        """
        if self._replay is None:
            return 0
        first, end = self.programs.firsts[which] + number, self.programs.firsts[which + 1]
        at = bisect_left(self._left_out, first)
        return min([end, *self._left_out[at : at + 1]]) - first

    def take(self, task: Task, which: int, number: int, length: int) -> Steps:
        """Have the machine replay such a stretch."""
        assert self._replay is not None
        first = self.programs.firsts[which] + number
        return self._replay.take(task, first, first + length)

    def _prepared(
        self, machine: Silicon, flush_of: Callable[[int], FlushFunction], cause: int
    ) -> tuple[npt.NDArray[np.int64], Sequence[int]]:
        """Return all rows as `Replay` wants them, and the numbers of those that it cannot take."""
        import numpy as np

        from pmsim.hardware.replay import ROW, call_row, compute_rows

        ops, args = self.programs.ops, self.programs.args
        computes, users, calls = (
            ops == OPS.index(op) for op in (Op.COMPUTE, Op.USER, Op.FLUSH_KERNEL)
        )
        if not machine.shootdown.protocol.by_calls:
            calls = np.zeros_like(calls)
        prepared = np.zeros((len(ops), ROW), dtype=np.int64)
        prepared[computes] = compute_rows(args[computes])
        prepared[users] = compute_rows(args[users], user=True)
        pages, which = np.unique(args[calls], return_inverse=True)
        if len(pages):
            kinds = [call_row(flush_of(count), cause, count) for count in pages.tolist()]
            prepared[calls] = np.array(kinds, dtype=np.int64)[which]
        return prepared, np.flatnonzero(~(computes | users | calls)).tolist()
