"""Mutexes, spinlocks and completions of the simulated machine.

Normative source: machine-model page, section 3. A contended mutex puts its waiter to sleep, a
contended spinlock keeps the CPU; both are granted in the order of asking.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING

from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act

if TYPE_CHECKING:
    from pmsim.hardware.detail import StretchKind
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.task import Task


class Mutex:
    """A sleeping lock: free, taking it takes no time; held, the task sleeps until handed over.

    Parameters
    ----------
    machine
        Where it lives.
    name
        What error messages call it.
    """

    kind: StretchKind = "mutex"

    def __init__(self, machine: Silicon, name: str = "mutex") -> None:
        self.name = name
        self.owner: Task | None = None
        self._machine = machine
        self._waiters: deque[Task] = deque()

    def lock(self, task: Task) -> Generator[int, None, None]:
        """Take the lock, asleep until it is handed over.

        Raises
        ------
        ProgramError
            If the task holds it already, or holds a spinlock.
        """
        if task.spinlocks:
            raise task.error(f"asks for {self.name} while it holds a spinlock")
        yield from task.boundary()
        if self.owner is task:
            raise task.error(f"takes {self.name} twice")
        if not self.try_lock(task):
            task.held += 1
            self._waiters.append(task)
            yield from task.wait_for(self)

    def try_lock(self, task: Task) -> bool:
        """Take the lock if it is free; return whether it was. Takes no time.

        `lock` may cost a task its turn before it takes the lock, this does not.
        """
        if self.owner is not None:
            return False
        task.held += 1
        self.owner = task
        return True

    def unlock(self, task: Task) -> None:
        """Release: ownership passes to the first waiter at once, which wakes ``wakeup`` later.

        Raises
        ------
        ProgramError
            If the task does not hold it.
        """
        if self.owner is not task:
            raise task.error(f"releases {self.name}, which it does not hold")
        task.held -= 1
        self.owner = self._waiters.popleft() if self._waiters else None
        if self.owner is not None:
            self.owner.wake(self._machine.costs.sched.wakeup)


class Spinlock:
    """A spinning lock: its waiter holds the CPU, interrupts on, and is not preempted.

    Parameters
    ----------
    machine
        Where it lives.
    name
        What error messages call it.
    """

    kind: StretchKind = "spinlock"

    def __init__(self, machine: Silicon, name: str = "spinlock") -> None:
        self.name = name
        self.owner: Task | None = None
        self._machine = machine
        self._words = machine.fabric.words
        self._waiters: deque[Task] = deque()

    def lock(self, task: Task) -> Generator[int, None, None]:
        """Take the lock, spinning until it is handed over.

        Raises
        ------
        ProgramError
            If the task holds it already.
        """
        yield from task.boundary()
        if self.owner is task:
            raise task.error(f"takes {self.name} twice")
        if not self.try_lock(task):
            task.spinlocks += 1
            task.held += 1
            self._words[task.row + layout.SPINS] += 1
            self._waiters.append(task)
            yield from task.spin_for(self)

    def try_lock(self, task: Task) -> bool:
        """Take the lock if it is free; return whether it was. Takes no time."""
        if self.owner is not None:
            return False
        self.owner = task
        task.spinlocks += 1
        task.held += 1
        self._words[task.row + layout.SPINS] += 1
        return True

    def unlock(self, task: Task) -> None:
        """Release: ownership passes to the first waiter, which goes on one line transfer later.

        Raises
        ------
        ProgramError
            If the task does not hold it.
        """
        if self.owner is not task:
            raise task.error(f"releases {self.name}, which it does not hold")
        task.spinlocks -= 1
        task.held -= 1
        self._words[task.row + layout.SPINS] -= 1
        self.owner = self._waiters.popleft() if self._waiters else None
        if self.owner is not None:
            machine = self._machine
            line = machine.topology.cost(machine.costs.ipi.line, task.cpu, self.owner.cpu)
            self.owner.waiting_for = None
            act(machine.fabric.state, layout.DO_GRANT, self.owner.cpu, machine.now + line)


class Completion:
    """A counted event (``struct completion``, include/linux/completion.h): wait until it is done.

    Parameters
    ----------
    machine
        Where it lives.
    name
        What error messages call it.
    """

    kind: StretchKind = "completion"

    def __init__(self, machine: Silicon, name: str = "completion") -> None:
        self.name = name
        self._machine = machine
        self._waiters: deque[Task] = deque()
        self._done = 0

    def wait(self, task: Task) -> Generator[int, None, None]:
        """Return once `complete` has been called once more than it has been waited for.

        Raises
        ------
        ProgramError
            If the task holds a spinlock.
        """
        if task.spinlocks:
            raise task.error(f"waits for {self.name} while it holds a spinlock")
        yield from task.boundary()
        if self._done:
            self._done -= 1
            return
        self._waiters.append(task)
        yield from task.wait_for(self)

    def complete(self) -> None:
        """Let one waiter go on, ``wakeup`` later, or the next that comes."""
        if self._waiters:
            self._waiters.popleft().wake(self._machine.costs.sched.wakeup)
        else:
            self._done += 1
