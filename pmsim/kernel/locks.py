"""Locks of the kernel: the data that they guard are cold for a CPU that did not hold them last.

How a lock is handed over is the machine's business (`pmsim.hardware.locks`). What comes on top is
here: before its new holder can work it has to fetch, from the CPU that wrote them last, the lock's
own word and what the lock guards, one cache line after the other, as each leads to the next. That
is CPU time of the holder, which makes everybody else wait longer. A CPU that takes a lock again
finds all of it in its caches. Those who wait for a lock of Linux spin on a line of their own
(``struct mcs_spinlock``), so that waiting makes nothing dearer.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Final

import numpy as np

from pmsim.hardware.locks import Mutex, Spinlock
from pmsim.hardware.rwsem import ReadSide, RwSemaphore
from pmsim.units import CpuId, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.task import Task
    from pmsim.hardware.turns import Turns

LOCK_LINES: Final = 1
"""Cache lines of a lock itself: its word, to be made the taker's own. *Derived*: a free lock is
taken by one atomic exchange (kernel/locking/qspinlock.c, mutex.c); the first in the queue of a held
one reads the word that the release wrote, for which the machine charges a line, and then writes to
it as to a free one."""

READER_WRITES: Final = 2
"""Times that a reader makes a semaphore's line its own: as it comes and as it goes, by one atomic
addition each (kernel/locking/rwsem.c, ``rwsem_read_trylock``, ``__up_read``). Both are reckoned
when it comes. The owner, which it writes too, lies in another line of an address space
(include/linux/mm_types.h, at ``mmap_lock``), and is left out. *Derived*."""

GUARDED_LINES: Final = 2
"""Cache lines behind a lock of which no more is known: the head of a list and one neighbour.
*Estimate*, 1 to 6."""


class SharedLines:
    """Cache lines that CPUs write to in turn; whoever did so last has them.

    Parameters
    ----------
    machine
        Where they are: how far a CPU is from the one that wrote last.
    count
        How many.

    Attributes
    ----------
    coldest
        No CPU needs longer to fetch them.
    """

    __slots__ = ("_count", "_line", "_topology", "_writer", "coldest")

    def __init__(self, machine: Silicon, count: int) -> None:
        self._topology = machine.topology
        self._line = machine.costs.ipi.line
        self._count = count
        self.coldest = count * max(self._line) * self._topology.most_hops
        self._writer: CpuId | None = None

    def fetch(self, cpu: CpuId) -> Picoseconds:
        """Let a CPU write to them; return the time in which it fetches them.

        Where no CPU wrote before it takes none.
        """
        writer = self._writer
        if writer == cpu:
            return 0
        self._writer = cpu
        return 0 if writer is None else self._count * self._topology.cost(self._line, writer, cpu)


class ContendedLines(SharedLines):
    """Shared lines that no lock keeps apart: who wants them waits until those before have them.

    Between CPUs a line moves to one after the other, however many ask for it, so that they form the
    queue of one server: a CPU has them at ``max(now, when the one before has them) + transfer``
    (Lindley's recurrence). Whoever wrote last has them still.
    """

    __slots__ = ("_free_at", "_machine")

    def __init__(self, machine: Silicon, count: int) -> None:
        super().__init__(machine, count)
        self._machine = machine
        self._free_at: Picoseconds = 0

    def fetch(self, cpu: CpuId) -> Picoseconds:
        """Let a CPU write to them; return the time until it has them."""
        moved = super().fetch(cpu)
        if not moved:
            return 0
        now = self._machine.now
        self._free_at = max(now, self._free_at) + moved
        return self._free_at - now


class KernelMutex(Mutex):
    """A mutex and what it guards.

    Parameters
    ----------
    machine, name
        As of a `Mutex`.
    guards
        Cache lines behind it that every holder writes to.

    Attributes
    ----------
    data
        Its own line and those.
    """

    def __init__(self, machine: Silicon, name: str, guards: int = GUARDED_LINES) -> None:
        super().__init__(machine, name)
        self.data = SharedLines(machine, LOCK_LINES + guards)


class KernelRwSemaphore(RwSemaphore):
    """A reader-writer semaphore and what it guards; see `KernelMutex`.

    A reader writes to the semaphore's own line alone, which readers at the same time take from
    each other.
    """

    def __init__(self, machine: Silicon, name: str, guards: int = GUARDED_LINES) -> None:
        super().__init__(machine, name)
        self.data = SharedLines(machine, LOCK_LINES + guards)
        self.read: KernelReadSide = KernelReadSide(self, ContendedLines(machine, READER_WRITES))


class KernelReadSide(ReadSide):
    """Such a semaphore as its readers take it, and the line that they write to."""

    def __init__(self, semaphore: RwSemaphore, data: SharedLines) -> None:
        super().__init__(semaphore)
        self.data = data


class KernelSpinlock(Spinlock):
    """A spinlock and what it guards; see `KernelMutex`."""

    def __init__(self, machine: Silicon, name: str, guards: int = GUARDED_LINES) -> None:
        super().__init__(machine, name)
        self.data = SharedLines(machine, LOCK_LINES + guards)


class GuestSpinlock(KernelSpinlock):
    """A spinlock of a guest, which passes over virtual CPUs that are frozen.

    Stands for paravirtual spinlocks, whose lock may be stolen (kernel/locking/qspinlock_paravirt.h,
    ``pv_hybrid_queued_unfair_trylock``), and for those that x86 has in guests without
    them, which know no queue (``virt_spin_lock``). A release hands it to the first waiter whose CPU
    runs. Where none does it goes to the one that runs next, unless somebody asks before that. Left
    out: that a waiter halts after a while, and that the first in the queue keeps others from
    stealing while it spins.

    Parameters
    ----------
    machine, name, guards
        As of a `KernelMutex`.
    turns
        When the machine's CPUs run.
    """

    def __init__(
        self, machine: Silicon, name: str, turns: Turns, guards: int = GUARDED_LINES
    ) -> None:
        super().__init__(machine, name, guards)
        self._turns = turns
        self._owner_runs: Picoseconds = 0  # from when on, where it was frozen as it got the lock

    def lock(self, task: Task) -> Generator[int, None, None]:
        """Take the lock; spin anew where it was stolen from this task while that was frozen."""
        yield from super().lock(task)
        while self.owner is not task:
            if self.owner is None or self._is_for_the_taking():
                self._take(task)
            else:
                self._waiters.appendleft(task)
                yield from self._spin(task)

    def try_lock(self, task: Task) -> bool:
        """Take the lock if it is free, or its owner has been frozen ever since it got it."""
        if self._is_for_the_taking():
            self.owner = None
            self._owner_runs = 0
        return super().try_lock(task)

    def _is_for_the_taking(self) -> bool:
        return self._machine.now < self._owner_runs

    def _take(self, task: Task) -> None:
        self.owner = task
        self._owner_runs = 0

    def _next_owner(self) -> Task:
        """Return the first waiter whose CPU runs, or the one that runs next."""
        cpus = np.array([waiter.cpu for waiter in self._waiters])
        runs = self._turns.next_run(cpus, self._machine.now)
        first = int(np.argmin(runs))
        self._owner_runs = int(runs[first])
        owner = self._waiters[first]
        del self._waiters[first]
        return owner
