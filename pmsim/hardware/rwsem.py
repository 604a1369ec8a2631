"""Reader-writer semaphores of the simulated machine: one writer, or any number of readers.

Normative source: machine-model page, section 3; kernel/locking/rwsem.c.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from pmsim.hardware.locks import Mutex

if TYPE_CHECKING:
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.task import Task


class RwSemaphore(Mutex):
    """A lock that writers take as a mutex, and that readers share.

    Readers never spin, and do not overtake who sleeps. When their turn comes all readers who sleep
    are handed it together.

    Parameters
    ----------
    machine, name
        As of a `Mutex`.

    Attributes
    ----------
    readers
        The tasks that hold it to read.
    read
        The lock that readers take; the semaphore itself is the writers'.
    """

    def __init__(self, machine: Silicon, name: str = "semaphore") -> None:
        super().__init__(machine, name)
        self.readers: set[Task] = set()
        self.read = ReadSide(self)
        self._wants_to_read: set[Task] = set()

    @property
    def is_free(self) -> bool:
        """Whether nobody holds it."""
        return self.owner is None and not self.readers

    def lock(self, task: Task) -> Generator[int, None, None]:
        """Take it to write; see `Mutex.lock`."""
        if task in self.readers:
            raise task.error(f"takes {self.name} twice")
        yield from super().lock(task)

    def try_lock(self, task: Task) -> bool:
        """Take it to write if nobody holds it; return whether it was. Takes no time."""
        return not self.readers and super().try_lock(task)

    def downgrade(self, task: Task) -> None:
        """Let the writer go on as a reader, in the same step (``downgrade_write``).

        Whoever spins goes to sleep, since no writer runs; readers are let in if they are first.

        Raises
        ------
        ProgramError
            If the task does not hold it to write.
        """
        if self.owner is not task:
            raise task.error(f"downgrades {self.name}, which it does not hold to write")
        if self.spinners:
            task.is_no_longer_spun_for(self)
        self.owner = None
        self.readers.add(task)
        for spinner in self.put_to_sleep(self.spinners):
            spinner.stop_spinning()
        if self._sleepers and self._woken is None and self._sleepers[0] in self._wants_to_read:
            self._wake_the_first()

    def _lock_to_read(self, task: Task) -> Generator[int, None, None]:
        yield from task.boundary()
        task.might_sleep(f"asks for {self.name}")
        if self.owner is task or task in self.readers:
            raise task.error(f"takes {self.name} twice")
        if not self._try_to_read(task):
            task.held += 1
            self._wants_to_read.add(task)
            self._sleepers.append(task)
            self._machine.contention.begins(self, task, task.now)
            yield from task.wait_for(self)
            self._machine.contention.ends(task, task.now)

    def _try_to_read(self, task: Task) -> bool:
        if self.owner is not None or self._sleepers or self._woken is not None:
            return False
        task.held += 1
        self.readers.add(task)
        return True

    def _unlock_to_read(self, task: Task) -> None:
        if task not in self.readers:
            raise task.error(f"releases {self.name}, which it does not hold")
        task.held -= 1
        self.readers.remove(task)
        if not self.readers and self._sleepers:
            self._pass_on(task)

    def _first_in_line(self) -> Task | None:
        if self._sleepers and self._sleepers[0] not in self._wants_to_read:
            return self._sleepers[0]
        return None

    def _wake_the_first(self) -> None:
        """Have the first sleeper ask anew, or hand all readers who sleep the free semaphore."""
        if self._sleepers[0] not in self._wants_to_read:
            super()._wake_the_first()
        elif self.owner is None:
            self._handed = self._machine.now
            for task in [task for task in self._sleepers if task in self._wants_to_read]:
                self._sleepers.remove(task)
                self.readers.add(task)
                task.wake(self._machine.costs.sched.wakeup)
            self._wants_to_read.clear()


class ReadSide:
    """A semaphore as its readers take it."""

    may_sleep = True

    def __init__(self, semaphore: RwSemaphore) -> None:
        self._semaphore = semaphore

    def lock(self, task: Task) -> Generator[int, None, None]:
        """Take it to read, asleep until it is handed over.

        Raises
        ------
        ProgramError
            If the task holds it already, or holds a spinlock.
        """
        return self._semaphore._lock_to_read(task)

    def try_lock(self, task: Task) -> bool:
        """Take it to read if no writer holds it and nobody waits; return whether it was."""
        return self._semaphore._try_to_read(task)

    def unlock(self, task: Task) -> None:
        """Release it; the last reader passes it on.

        Raises
        ------
        ProgramError
            If the task does not hold it to read.
        """
        self._semaphore._unlock_to_read(task)
