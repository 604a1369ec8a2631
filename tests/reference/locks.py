"""Mutexes, whose waiters spin or sleep, and spinlocks (section 3 of the page)."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.reference.machine import ReferenceMachine
    from tests.reference.task import Task, Waits


class Mutex:
    """An adaptive lock: who finds it held spins while the owner runs, and sleeps otherwise.

    A release hands it to a spinner, or to the task that was woken in vain; else it is free, and the
    first sleeper wakes to ask anew. With `sleeping` nobody spins, and a release hands it to the
    first sleeper at once, as if that one had been woken in vain already.
    """

    def __init__(self, machine: ReferenceMachine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.sleeping = machine.costs.sched.mutex == "sleeping"
        self.owner: Task | None = None
        # Both in the order of asking, save that spinners who fall asleep stand behind the others.
        self.spinners: deque[Task] = deque()
        self.sleepers: deque[Task] = deque()
        self.woken: Task | None = None  # a sleeper that is to ask anew
        self.marked: Task | None = None  # one that has, in vain

    # -- asking -------------------------------------------------------------------------------

    def lock(self, task: Task) -> Waits:
        """Take it where it is free, else spin or sleep; one who is woken asks anew."""
        task.may_sleep(f"asks for {self.name}")
        if self.owner is task:
            raise task.error(f"takes {self.name} twice")
        if self.is_free():
            self._belongs_to(task)
            return
        self._wait(task)
        yield
        while self.owner is not task:
            assert self.woken is task
            self.woken = None
            if self.is_free():
                self._belongs_to(task)
                return
            self.marked = task
            self._wait(task)
            yield

    def is_free(self) -> bool:
        """Whether nobody holds it."""
        return self.owner is None

    def _wait(self, task: Task) -> None:
        """Spin or sleep; the marked one stands at the head of either queue."""
        from tests.reference.task import Doing

        task.waits_for = self
        task.asked = self.machine.next_number()
        owner_runs = self.owner is not None and self.owner.runs()
        spins = owner_runs and not task.quantum_is_over() and not self.sleeping
        queue = self.spinners if spins else self.sleepers
        if self.marked is task:
            queue.appendleft(task)
        else:
            queue.append(task)
        if spins:
            task.doing = Doing.SPIN
        else:
            task.give_up_the_cpu()

    # -- releasing ----------------------------------------------------------------------------

    def unlock(self, task: Task) -> None:
        """Release it; the releaser goes on in the same step."""
        if self.owner is not task:
            raise task.error(f"releases {self.name}, which it does not hold")
        task.mutexes.remove(self)
        self.owner = None
        self.pass_on(task)

    def pass_on(self, task: Task) -> None:
        """Give it to whom it is due, now that a task has released it."""
        if self.sleeping and self.sleepers and self.first_may_own_it():
            self.marked = self.sleepers[0]
        if self.marked is not None:
            self._hand_to_the_marked(task)
            return
        if self.spinners:
            self._hand_to_a_spinner(task, self.spinners.popleft())
        self._wake_the_first_sleeper()

    def first_may_own_it(self) -> bool:
        """Whether the first sleeper is one that asks anew, or can be handed it as if it did."""
        return True

    def _hand_to_the_marked(self, releaser: Task) -> None:
        """Hand it to the marked task, and wake nobody else: (a)."""
        heir = self.marked
        assert heir is not None
        self.marked = None
        if heir in self.spinners:
            self.spinners.remove(heir)
            self._hand_to_a_spinner(releaser, heir)
            return
        self.sleepers.remove(heir)
        self._belongs_to(heir)
        heir.wakes_up()
        for spinner in tuple(self.spinners):  # the new owner does not run
            spinner.stops_spinning()

    def _hand_to_a_spinner(self, releaser: Task, heir: Task) -> None:
        """Hand it to a task that spins, and goes on when the cache line is there: (b)."""
        self._belongs_to(heir)
        line = self.machine.line(releaser.cpu.number, heir.cpu.number)
        self.machine.clock.call_at(self.machine.now + line, heir.step_is_due)

    def _wake_the_first_sleeper(self) -> None:
        """Have the first sleeper ask anew, unless one is on its way to that already: (b), (c)."""
        if self.woken is None and self.sleepers:
            self.woken = self.sleepers.popleft()
            self.woken.waits_for = None
            self.woken.wakes_up()

    # -- falling asleep -----------------------------------------------------------------------

    def puts_to_sleep(self, spinner: Task) -> None:
        """Let a spinner stand behind those who sleep already."""
        self.spinners.remove(spinner)
        self.sleepers.append(spinner)

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
