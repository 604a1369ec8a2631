"""What interrupted some CPUs: each cross-call's handler there, noted when the call has ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np
import numpy.typing as npt

from pmsim.hardware.fabric import SlowestReason
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act
from pmsim.hardware.turns import Turns

if TYPE_CHECKING:
    from pmsim.hardware.fabric import Fabric

Rows = npt.NDArray[np.int64]

CALL_COLUMNS: Final = ("initiator", "task", "kind", "cause", "operation")
"""What a row tells of the call."""
COLUMNS: Final = (*CALL_COLUMNS, "cpu", "from_ps", "start_ps", "end_ps", "opened", "protocol")
"""Columns of a chunk of interruptions."""

WAITING: Final = 4096
"""Calls that are gathered before they are handed over (a buffer; no result depends on it)."""


class InterruptionSink(Protocol):
    """Who takes what is noted, now and then."""

    def interruptions(self, rows: Rows) -> None:
        """Take interruptions, shape ``(rows, len(COLUMNS))``, in the order of their calls' ends.

        Those of calls that nobody waits for come when their CPUs are looked at again, those of
        calls that have not ended with the run last.
        """


class Interruptions:
    """Notes what every cross-call did on some CPUs, when it has ended, or with the run.

    A CPU that a call left out, or did not have to reach, has no row. Calls that one handler served
    have the same CPU and start; the one whose interrupt started it has ``opened``.

    Parameters
    ----------
    fabric
        Of the machine.
    cpus
        The CPUs that are watched.
    sink
        Who takes it.
    """

    def __init__(self, fabric: Fabric, cpus: Sequence[int], sink: InterruptionSink) -> None:
        self._fabric = fabric
        self._cpus = np.array(cpus, dtype=np.int64)
        self._sink = sink
        self._waiting: list[Rows] = []

    def watches(self, cpu: int) -> bool:
        """Return whether a CPU is one of those that are watched."""
        return bool((self._cpus == cpu).any())

    def note(
        self,
        call: tuple[int, int, int, int, int],
        began: int,
        unwaited: tuple[int, int] | None = None,
        before: int = layout.INF,
    ) -> None:
        """Note a call that has just ended: its `CALL_COLUMNS`, and when it began.

        One that nobody waits for is noted when a CPU runs it: which, and by what number its
        protocol goes. Of one that has not ended CPUs are noted that were taken away ``before`` an
        instant.
        """
        state = self._fabric.state
        of = self._cpus if unwaited is None else np.array(unwaited[:1], dtype=np.int64)
        protocol = state[layout.HEADER + call[0] * layout.CPU_WORDS + layout.C_PROTOCOL]
        act(state, layout.DO_CATCH_UP, 0, 0)
        at = state[layout.ENTRIES_AT] + layout.ENTRY_ROW * (call[0] * self._fabric.n_cpus + of)
        # An entry is of an earlier call where this one did not reach the CPU.
        reached = (state[at + layout.E_QUEUED] > began) & (of != call[0])
        if not reached.any():
            return
        cpus, at = of[reached], at[reached]
        start, cost = state[at + layout.E_START], state[at + layout.E_COST]
        reason = state[at + layout.E_META] >> 32 & 7
        since = np.where(reason == SlowestReason.IDLE_EXIT, state[at + layout.E_ARRIVES], start)
        still_runs = (cost >> 3) * (cost >> 1 & 1)
        turns, ack = Turns(self._fabric), state[at + layout.E_ACK]
        columns = (
            *call,
            cpus,
            since,
            start,
            turns.run_from(cpus, ack, still_runs + state[layout.EXIT]),
            reason != SlowestReason.RIDE,
            protocol if unwaited is None else unwaited[1],
        )
        rows = np.stack(np.broadcast_arrays(*columns), axis=1)
        self._waiting.append(rows[since < before])
        if len(self._waiting) >= WAITING:
            self.hand_over()

    def hand_over(self) -> None:
        """Give the sink what has gathered."""
        if self._waiting:
            self._sink.interruptions(np.concatenate(self._waiting))
            self._waiting = []
