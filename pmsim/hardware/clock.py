"""Simulated time: SimPy's environment with the fabric's calendar merged into it.

Tasks are plain generators; each names, as it waits, the task that steps next (the compiled passes
know it), so that going from task to task costs one ``send``. SimPy's own heap keeps everything
else: samplers, timers of other models, the end of a run. At one instant SimPy's events come first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import simpy
from simpy.core import Infinity, SimTime

from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act

if TYPE_CHECKING:
    from simpy.events import Event

    from pmsim.hardware.fabric import Fabric


class Clock(simpy.Environment):
    """An environment whose time is an ``int`` in picoseconds and whose heap shares it with tasks.

    Parameters
    ----------
    fabric
        Whose calendar is merged in.
    on_log
        Called when the log of finished cross-calls is full.
    on_settle
        Called after a round of interrupt work in which spinners for mutexes have to go to sleep.
    on_end
        Called with a task's index as its generator ends; returns the task that steps next.

    Attributes
    ----------
    finished
        Whether the last task that counts has ended.
    quiet_since
        The instant after which no task can step by itself; None while one can.
    """

    def __init__(
        self,
        fabric: Fabric,
        on_log: Callable[[], None],
        on_settle: Callable[[], None],
        on_end: Callable[[int], int],
    ) -> None:
        super().__init__(initial_time=0)
        self._state = fabric.state
        self._on_log = on_log
        self._on_settle = on_settle
        self._on_end = on_end
        self._end_key = layout.INF
        self.senders: list[Any] = [None] * fabric.max_tasks  # each task's `send`
        self.finished = False
        self.quiet_since: int | None = None

    @property
    def now(self) -> int:
        """The present instant in picoseconds."""
        return int(self._state[layout.NOW])

    def schedule(self, event: Event, priority: Any = 1, delay: SimTime = 0) -> None:
        """Put an event on SimPy's heap; the tasks stop in time for it."""
        self._now = self.now
        super().schedule(event, priority, delay)
        self._state[layout.LIMIT] = min(int(self._state[layout.LIMIT]), 2 * int(self._queue[0][0]))

    def peek(self) -> SimTime:
        """Return the time of the next event of either calendar, `Infinity` if there is none."""
        key = self._next_key()
        tasks = Infinity if key >= layout.INF else key >> 1
        return min(super().peek(), tasks)

    def _next_key(self) -> int:
        return int(self._state[int(self._state[layout.TREE_AT]) + 1])

    def step(self) -> None:
        """Run the tasks up to SimPy's next event, then that event."""
        if self._queue:
            self._state[layout.LIMIT] = min(self._end_key, 2 * int(self._queue[0][0]))
        else:
            self._state[layout.LIMIT] = self._end_key
        self._run_tasks()
        if self.finished:
            return
        if self._next_key() < layout.INF:
            self.quiet_since = None
        elif self.quiet_since is None:
            self.quiet_since = self.now
        if self._queue and 2 * int(self._queue[0][0]) < self._end_key:
            self._state[layout.NOW] = int(self._queue[0][0])
            super().step()
        elif self._next_key() >= layout.INF or self._end_key < layout.INF:
            raise simpy.core.EmptySchedule

    def drive(self, end: int | None) -> None:
        """Run until ``end`` (nothing at that instant happens), or until nothing is left.

        Returns early, with `finished` set, where the last task that counts has ended.
        """
        self._end_key = layout.INF if end is None else 2 * end
        try:
            while not self.finished:
                self.step()
        except simpy.core.EmptySchedule:
            pass

    def _run_tasks(self) -> None:
        """Step task after task until nothing more happens before the limit."""
        state = self._state
        senders = self.senders
        advance = partial(act, state, layout.DO_ADVANCE, 0, 0)
        task = advance()
        while True:
            while task >= 0:
                stepping = task
                try:
                    task = senders[stepping](None)
                except StopIteration:
                    task = self._on_end(stepping)
            if task == layout.SETTLE:
                self._on_settle()
            elif task == layout.LOG_FULL:
                self._on_log()
            elif task != layout.GO_ON:
                self.finished = self.finished or task == layout.FINISHED
                return
            task = advance()
