"""SimPy's environment, with an order within one instant (section 1 of the page)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import simpy
from simpy.events import EventPriority


class Phase(IntEnum):
    """The order of interrupt work within an instant, as far as there is one: low comes first.

    "Queue, then arrive, then take or start." What is `OTHER` may come at any place. Starts have
    no phase: handlers start when everything of the instant has happened (`Cpu.settle`).
    """

    OTHER = 1
    QUEUE = 2
    QUEUED = 3
    ARRIVE = 4
    TAKE = 5


class Clock(simpy.Environment):
    """Integer time; events at instants rather than after delays."""

    @property
    def now(self) -> int:
        """The present instant."""
        return int(self._now)

    def at(self, instant: int, phase: Phase = Phase.OTHER) -> simpy.Event:
        """Return an event that happens at an instant."""
        event = simpy.Event(self)
        event._ok, event._value = True, None
        self.schedule(event, EventPriority(phase), instant - self.now)
        return event

    def call_at(self, instant: int, action: Callable[[], None]) -> None:
        """Do something at an instant."""
        event = self.at(instant)
        assert event.callbacks is not None
        event.callbacks.append(lambda _: action())

    def finish_events_of_now(self) -> bool:
        """Process every event of the present instant; return whether there was one."""
        if self.peek() != self.now:
            return False
        while self.peek() == self.now:
            self.step()
        return True
