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

    from pmsim.hardware.replay import Replay, RowKind
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
            kinds, rows = self._sorted(machine, flush_of, cause)
            self._left_out = (rows < 0).nonzero()[0].tolist()
            self._replay = Replay(machine, kinds, rows, self.programs.args)

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

    def _sorted(
        self, machine: Silicon, flush_of: Callable[[int], FlushFunction], cause: int
    ) -> tuple[list[RowKind], npt.NDArray[np.int32]]:
        """Return what there are rows of, and which each is; -1 is one that cannot be replayed."""
        import numpy as np

        from pmsim.hardware.replay import COMPUTE, USER_COMPUTE, call

        ops, args = self.programs.ops, self.programs.args
        kinds = [COMPUTE, USER_COMPUTE]
        place = np.full(len(OPS), -1, dtype=np.int32)
        place[[OPS.index(Op.COMPUTE), OPS.index(Op.USER)]] = range(len(kinds))
        rows = place[ops]
        if machine.shootdown.protocol.by_calls:
            calls = ops == OPS.index(Op.FLUSH_KERNEL)
            pages = np.unique(args[calls])
            rows[calls] = len(kinds) + np.searchsorted(pages, args[calls])
            kinds += [call(flush_of(count), cause) for count in pages.tolist()]
        return kinds, rows
