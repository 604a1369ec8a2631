"""What is noted of locks that tasks wait for: how long for each, and who held it meanwhile.

Stands for nothing in the hardware: it is what ``perf lock contention`` tells. Nothing is noted of a
lock that is free when it is asked for.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from pmsim.units import CpuId, Picoseconds


class Waiter(Protocol):
    """A task, as far as it is noted here."""

    @property
    def name(self) -> str:
        """What tables call it."""

    @property
    def cpu(self) -> CpuId:
        """Its CPU."""


class Contended(Protocol):
    """A lock, as far as it is noted here."""

    @property
    def name(self) -> str:
        """What tables call it; locks of one name are noted together."""

    @property
    def owner(self) -> Waiter | None:
        """Who holds it alone, if anybody does."""


@dataclass(slots=True)
class LockUse:
    """What was noted of the locks of one name.

    Attributes
    ----------
    waits, waited_ps, longest_wait_ps
        How often a task waited, how long all did together, and the longest of these.
    waiters
        How long the tasks of each workload waited on each CPU, by both.
    frozen_ps
        How long the CPUs of those who held one did not run while others waited: a guest's host had
        taken them off (lock-holder preemption).
    held_ps, holder, holder_cpu, doing, held_from_ps
        The longest that one was held while others waited: how long, by whom, in which operation,
        and from when on.
    """

    waits: int = 0
    waited_ps: Picoseconds = 0
    longest_wait_ps: Picoseconds = 0
    waiters: Counter[tuple[str, CpuId]] = field(default_factory=Counter)
    frozen_ps: Picoseconds = 0
    held_ps: Picoseconds = 0
    holder: str = ""
    holder_cpu: CpuId = -1
    doing: str = ""
    held_from_ps: Picoseconds = 0


class Contention:
    """Notes who waits for locks.

    Attributes
    ----------
    uses
        What was noted, by the names of locks.
    doing
        Says what a task is at, in a word; nothing is known of it without a kernel.
    """

    def __init__(self) -> None:
        self.uses: defaultdict[str, LockUse] = defaultdict(LockUse)
        self.doing: Callable[[Waiter], str] = lambda task: ""
        self._waiting: dict[Waiter, tuple[Contended, Picoseconds]] = {}

    def begins(self, lock: Contended, task: Waiter, now: Picoseconds) -> None:
        """Note that a task begins to wait."""
        self._waiting[task] = lock, now

    def ends(self, task: Waiter, now: Picoseconds) -> None:
        """Note that it has the lock."""
        lock, since = self._waiting.pop(task)
        use, time = self.uses[lock.name], now - since
        use.waits += 1
        use.waited_ps += time
        if time > use.longest_wait_ps:
            use.longest_wait_ps = time
        use.waiters[task.name, task.cpu] += time

    def released(
        self,
        lock: Contended,
        task: Waiter,
        first: Waiter,
        handed: Picoseconds,
        now: Picoseconds,
    ) -> None:
        """Note that a task lets go of a lock that others wait for.

        Parameters
        ----------
        lock, task
            Of what, and who.
        first
            Who has waited longest.
        handed
            When the task took it, if others waited then; earlier, if nobody did.
        now
            The present instant.
        """
        since, use = self._waiting[first][1], self.uses[lock.name]
        if now - since > use.held_ps and now - handed > use.held_ps:
            self._held_longest(use, task, max(since, handed), now)

    def finish(self, now: Picoseconds) -> None:
        """Note waits that the end of a run cuts, and how long their locks are held by then."""
        for task, (lock, since) in list(self._waiting.items()):
            self.ends(task, now)
            use = self.uses[lock.name]
            if lock.owner is not None and now - since > use.held_ps:
                self._held_longest(use, lock.owner, since, now)

    def _held_longest(
        self, use: LockUse, task: Waiter, since: Picoseconds, now: Picoseconds
    ) -> None:
        use.held_ps, use.held_from_ps = now - since, since
        use.holder, use.holder_cpu = task.name, task.cpu
        use.doing = self.doing(task)
