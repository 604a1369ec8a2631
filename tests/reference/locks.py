"""Mutexes, whose waiters sleep, and spinlocks, whose waiters spin (section 3 of the page)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.reference.machine import ReferenceMachine
    from tests.reference.task import Task, Waits


class Mutex:
    """A sleeping lock: handed over at once, the new owner runnable `wakeup` later."""

    def __init__(self, machine: ReferenceMachine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.owner: Task | None = None
        self.waiters: deque[Task] = deque()

    def lock(self, task: Task) -> Waits:
        """Take it where it is free, else sleep in the order of asking."""
        if task.spinlocks:
            raise task.error(f"asks for {self.name} while it holds a spinlock")
        if self.owner is task:
            raise task.error(f"takes {self.name} twice")
        if self.owner is None:
            self._belongs_to(task)
            return
        self.waiters.append(task)
        task.waits_for = self
        task.give_up_the_cpu()
        yield

    def unlock(self, task: Task) -> None:
        """Hand it to the first waiter; the releaser goes on in the same step."""
        if self.owner is not task:
            raise task.error(f"releases {self.name}, which it does not hold")
        task.mutexes.remove(self)
        self.owner = None
        if self.waiters:
            waiter = self.waiters.popleft()
            self._belongs_to(waiter)
            wakeup = self.machine.costs.sched.wakeup
            self.machine.clock.call_at(self.machine.now + wakeup, waiter.becomes_runnable)

    def _belongs_to(self, task: Task) -> None:
        self.owner = task
        task.mutexes.add(self)
        task.waits_for = None


class Spinlock:
    """A spinning lock: handed over at once, the new owner goes on a cache line later."""

    def __init__(self, machine: ReferenceMachine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.owner: Task | None = None
        self.waiters: deque[Task] = deque()

    def lock(self, task: Task) -> Waits:
        """Take it where it is free, else spin, interrupts on, in the order of asking."""
        from tests.reference.task import Doing

        if self.owner is task:
            raise task.error(f"takes {self.name} twice")
        if self.owner is None:
            self._belongs_to(task)
            return
        self.waiters.append(task)
        task.waits_for = self
        task.doing = Doing.SPIN
        yield

    def unlock(self, task: Task) -> None:
        """Hand it to the first waiter, who goes on when the lock's cache line is there."""
        if self.owner is not task:
            raise task.error(f"releases {self.name}, which it does not hold")
        task.spinlocks.remove(self)
        self.owner = None
        if self.waiters:
            waiter = self.waiters.popleft()
            self._belongs_to(waiter)
            line = self.machine.line(task.cpu.number, waiter.cpu.number)
            self.machine.clock.call_at(self.machine.now + line, waiter.step_is_due)

    def _belongs_to(self, task: Task) -> None:
        self.owner = task
        task.spinlocks.add(self)
        task.waits_for = None
