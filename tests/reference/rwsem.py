"""Reader-writer semaphores (section 3 of the page)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.reference.locks import Mutex

if TYPE_CHECKING:
    from tests.reference.machine import ReferenceMachine
    from tests.reference.task import Task, Waits


class RwSemaphore(Mutex):
    """Writers take it as a mutex; readers share it, sleep in its queue, and are handed it."""

    def __init__(self, machine: ReferenceMachine, name: str) -> None:
        super().__init__(machine, name)
        self.readers: set[Task] = set()
        self.to_read: set[Task] = set()  # those of the sleepers who are readers

    def is_free(self) -> bool:
        return self.owner is None and not self.readers

    def lock(self, task: Task) -> Waits:
        """Take it to write."""
        if task in self.readers:
            raise task.error(f"takes {self.name} twice")
        yield from super().lock(task)

    def downgrade(self, task: Task) -> None:
        """Go on as a reader; nobody spins for that, and readers come in if they are first."""
        if self.owner is not task:
            raise task.error(f"downgrades {self.name}, which it does not hold to write")
        self.owner = None
        self.readers.add(task)
        for spinner in tuple(self.spinners):
            spinner.stops_spinning()
        if self.sleepers and not self.first_may_own_it():
            self._wake_the_first_sleeper()

    def read_lock(self, task: Task) -> Waits:
        """Take it to read if no writer holds it and nobody waits for it; else sleep."""
        task.may_sleep(f"asks for {self.name}")
        if self.owner is task or task in self.readers:
            raise task.error(f"takes {self.name} twice")
        if self.owner is None and not self.sleepers and self.woken is None:
            self._is_read_by(task)
            return
        task.waits_for = self
        task.asked = self.machine.next_number()
        self.to_read.add(task)
        self.sleepers.append(task)
        task.give_up_the_cpu()
        yield

    def read_unlock(self, task: Task) -> None:
        """Release it; the last reader passes it on."""
        if task not in self.readers:
            raise task.error(f"releases {self.name}, which it does not hold")
        self.readers.remove(task)
        task.mutexes.remove(self)
        if not self.readers:
            self.pass_on(task)

    def first_may_own_it(self) -> bool:
        return self.sleepers[0] not in self.to_read

    def _wake_the_first_sleeper(self) -> None:
        """Have a writer ask anew, or hand a free semaphore to all readers who sleep."""
        if not self.sleepers or self.first_may_own_it():
            super()._wake_the_first_sleeper()
            return
        if self.woken is not None or self.owner is not None:
            return
        for reader in [task for task in self.sleepers if task in self.to_read]:
            self.sleepers.remove(reader)
            self.to_read.remove(reader)
            self._is_read_by(reader)
            reader.wakes_up()

    def _is_read_by(self, task: Task) -> None:
        self.readers.add(task)
        task.mutexes.add(self)
        task.waits_for = None
