"""Mutexes, spinlocks and completions of the simulated machine.

Normative source: machine-model page, section 3. Whoever waits for a spinlock keeps the CPU; for a
mutex only as long as its owner runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Generator, Iterable
from typing import TYPE_CHECKING

from pmsim.hardware.passes import layout

if TYPE_CHECKING:
    from pmsim.hardware.detail import StretchKind
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.task import Task
    from pmsim.hardware.thread import Thread


class Mutex:
    """A lock that may be held for long: who finds it held spins while its owner runs, else sleeps.

    As Linux's (kernel/locking/mutex.c, ``CONFIG_MUTEX_SPIN_ON_OWNER``): a release hands it to the
    first spinner, or to the task that was woken once and found it held again; else it is free. The
    first sleeper is woken, one at a time, and asks anew. On a machine with ``mutex: sleeping``
    nobody spins, and a release hands it to the first sleeper.

    Parameters
    ----------
    machine
        Where it lives.
    name
        What error messages call it.

    Attributes
    ----------
    owner
        The task that holds it.
    spinners
        Those who spin for it, in the order of asking.
    may_sleep
        Whether who finds it held may have to sleep.
    """

    kind: StretchKind = "mutex"
    may_sleep = True

    def __init__(self, machine: Silicon, name: str = "mutex") -> None:
        self.name = name
        self.owner: Task | None = None
        self.spinners: list[Task] = []
        self._machine = machine
        self._adaptive = machine.costs.sched.mutex == "adaptive"
        self._sleepers: deque[Task] = deque()
        self._handed = 0  # when somebody took it last while others waited
        self._woken: Task | None = None  # a sleeper that is to ask anew
        self._marked: Task | None = None  # one that has, in vain

    def lock(self, task: Task) -> Generator[int, None, None]:
        """Take the lock; held, spin or sleep until it is handed over, or ask anew when woken.

        Raises
        ------
        ProgramError
            If the task holds it already, or holds a spinlock.
        """
        yield from task.boundary()
        task.might_sleep(f"asks for {self.name}")
        if self.owner is task:
            raise task.error(f"takes {self.name} twice")
        if self.try_lock(task):
            return
        task.held += 1
        self._machine.contention.begins(self, task, task.now)
        yield from self._wait(task)
        while self.owner is not task:
            self._woken = None
            if self.is_free:
                self.owner = task
                self._handed = task.now
            else:
                self._marked = task
                yield from self._wait(task)
        self._machine.contention.ends(task, task.now)

    def _wait(self, task: Task) -> Generator[int, None, None]:
        """Spin or sleep once; after `boundary` a task has not used up its quantum beside others."""
        first = self._marked is task
        if self._adaptive and self.owner is not None and self.owner.runs:
            if not self.spinners:
                self.owner.is_spun_for(self)
            self.spinners.insert(0 if first else len(self.spinners), task)
            yield from task.spin_for(self, "mutex_spin", layout.M_ADAPTIVE)
            return
        if first:
            self._sleepers.appendleft(task)
        else:
            self._sleepers.append(task)
        yield from task.wait_for(self)

    def try_lock(self, task: Task) -> bool:
        """Take the lock if it is free; return whether it was. Takes no time.

        `lock` may cost a task its turn before it takes the lock, this does not.
        """
        if self.owner is not None:
            return False
        task.held += 1
        self.owner = task
        if self._sleepers:
            self._handed = task.now
        return True

    @property
    def is_free(self) -> bool:
        """Whether nobody holds it."""
        return self.owner is None

    def unlock(self, task: Task) -> None:
        """Release: it passes to whom it is due, or is free; the task goes on in the same step.

        Raises
        ------
        ProgramError
            If the task does not hold it.
        """
        if self.owner is not task:
            raise task.error(f"releases {self.name}, which it does not hold")
        task.held -= 1
        self.owner = None
        if self.spinners or self._sleepers:
            self._pass_on(task)

    def _pass_on(self, releaser: Task) -> None:
        """Hand the lock to the marked task or to a spinner, and wake a sleeper where one is due."""
        waiter = self.spinners[0] if self.spinners else self._sleepers[0]
        machine, now = self._machine, releaser.now
        if machine.turns is not None:
            machine.note_holder(self, releaser.cpu, max(waiter.waits_since, self._handed))
        machine.contention.released(self, releaser, waiter, self._handed, now)
        self._handed = now
        if self.spinners:
            releaser.is_no_longer_spun_for(self)
        marked, self._marked = self._marked, None
        if marked is None and not self._adaptive:
            marked = self._first_in_line()
        if marked is not None and marked not in self.spinners:
            self._sleepers.remove(marked)
            self.owner = marked
            marked.wake(self._machine.costs.sched.wakeup)
            for spinner in self.put_to_sleep(self.spinners):  # the new owner does not run
                spinner.stop_spinning()
            return
        if self.spinners:
            self.owner = self.spinners.pop(0)  # the marked one stands first
            self.owner.goes_on_a_line_after(releaser)
            if self.spinners:
                self.owner.is_spun_for(self)
        if marked is None and self._woken is None and self._sleepers:
            self._wake_the_first()

    def _first_in_line(self) -> Task | None:
        """Return who is handed the lock where nobody spins."""
        return self._sleepers[0]

    def _wake_the_first(self) -> None:
        """Have the first sleeper ask anew."""
        self._woken = self._sleepers.popleft()
        self._woken.wake(self._machine.costs.sched.wakeup)

    def put_to_sleep(self, going: Collection[Thread]) -> list[Task]:
        """Let those spinners who are ``going`` stand behind the sleepers; return them."""
        asleep = [task for task in self.spinners if task in going]
        self.spinners = [task for task in self.spinners if task not in going]
        if not self.spinners and self.owner is not None:
            self.owner.is_no_longer_spun_for(self)
        self._sleepers += asleep
        return asleep


def settle(machine: Silicon, stopped: Iterable[Thread], crowded: Iterable[Thread]) -> None:
    """Put the spinners to sleep who must, now that a round of interrupt work is over.

    Parameters
    ----------
    machine
        Where they are.
    stopped
        Tasks that have stopped running while others spin for a mutex of theirs.
    crowded
        Tasks that spin while another one has become runnable on their CPU.
    """
    going = dict.fromkeys(crowded)
    waited_for = [*stopped, *going]
    for owner in waited_for:  # those who go have others spin for them in turn
        spinners = [task for lock in owner.spun for task in lock.spinners if task not in going]
        going.update(dict.fromkeys(spinners))
        waited_for += spinners
    for lock in dict.fromkeys(task.waiting_for for task in going):
        assert isinstance(lock, Mutex)
        lock.put_to_sleep(going)
    for task in going:
        task.stop_spinning()


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
    may_sleep = False

    def __init__(self, machine: Silicon, name: str = "spinlock") -> None:
        self.name = name
        self.owner: Task | None = None
        self._machine = machine
        self._words = machine.fabric.words
        self._handed = 0  # when it was last handed to a task
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
            task.preempt_count += 1
            task.held += 1
            self._words[task.row + layout.PREEMPT_COUNT] += 1
            self._waiters.append(task)
            yield from self._spin(task)

    def _spin(self, task: Task) -> Generator[int, None, None]:
        words, contention = self._words, self._machine.contention
        contention.begins(self, task, words[layout.NOW])
        yield from task.spin_for(self, self.kind, layout.M_SPINLOCK)
        contention.ends(task, words[layout.NOW])

    def try_lock(self, task: Task) -> bool:
        """Take the lock if it is free; return whether it was. Takes no time."""
        if self.owner is not None:
            return False
        self.owner = task
        task.preempt_count += 1
        task.held += 1
        self._words[task.row + layout.PREEMPT_COUNT] += 1
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
        task.preempt_count -= 1
        task.held -= 1
        self._words[task.row + layout.PREEMPT_COUNT] -= 1
        self.owner = None
        if self._waiters:
            self._pass_on(task)

    def _pass_on(self, task: Task) -> None:
        """Hand the lock to the waiter whose turn it is."""
        self.owner = owner = self._next_owner()
        machine, now = self._machine, self._words[layout.NOW]
        if machine.turns is not None:
            machine.note_holder(self, task.cpu, max(owner.waits_since, self._handed))
        machine.contention.released(self, task, owner, self._handed, now)
        self._handed = now
        owner.goes_on_a_line_after(task)

    def _next_owner(self) -> Task:
        """Take the waiter that is next out of the queue."""
        return self._waiters.popleft()


class Slot(Spinlock):
    """What initiators of remote actions share: a spinlock that is held for one call.

    Its owner does nothing but the call meanwhile, so that a free one is taken without an account.
    """

    def lock(self, task: Task) -> Generator[int, None, None]:
        """Take one that has an owner, spinning until it is handed over."""
        yield from super().lock(task)
        task.preempt_count -= 1
        task.held -= 1
        self._words[task.row + layout.PREEMPT_COUNT] -= 1

    def unlock(self, task: Task) -> None:
        """Hand it to whoever waits."""
        self.owner = None
        if self._waiters:
            self._pass_on(task)


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
        yield from task.boundary()
        task.might_sleep(f"waits for {self.name}")
        if self._done:
            self._done -= 1
            return
        self._waiters.append(task)
        yield from task.wait_for(self)

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for it now."""
        return bool(self._waiters)

    def complete(self, after: int | None = None) -> None:
        """Let one waiter go on, or the next that comes.

        Parameters
        ----------
        after
            How much later a waiter is runnable, in picoseconds, as a timer has it; None: `wakeup`.
        """
        if self._waiters:
            later = self._machine.costs.sched.wakeup if after is None else after
            self._waiters.popleft().wake(later)
        else:
            self._done += 1
