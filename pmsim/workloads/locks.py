"""Locks that the workloads of a run share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pmsim.hardware.locks import Mutex, Spinlock
    from pmsim.hardware.machine import Machine


class Locks:
    """The locks of one run by name; each is made when it is first asked for."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._mutexes: dict[str, Mutex] = {}
        self._spinlocks: dict[str, Spinlock] = {}

    def mutex(self, name: str) -> Mutex:
        """Return the mutex of this name."""
        from pmsim.hardware.locks import Mutex  # late: it loads the compiled hardware

        if name not in self._mutexes:
            self._mutexes[name] = Mutex(self._machine, name)
        return self._mutexes[name]

    def spinlock(self, name: str) -> Spinlock:
        """Return the spinlock of this name, which is another lock than the mutex of that name."""
        from pmsim.hardware.locks import Spinlock

        if name not in self._spinlocks:
            self._spinlocks[name] = Spinlock(self._machine, name)
        return self._spinlocks[name]
