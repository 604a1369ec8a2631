"""The machine as a whole: instants, rounds and steps (section 1 of the page)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import cast

from pmsim.errors import DeadlockError
from pmsim.hardware.costs import TlbiCosts
from pmsim.hardware.shootdown.own import instance_of
from tests.reference.clock import Clock
from tests.reference.cpu import Cpu
from tests.reference.crosscall import Call
from tests.reference.latr import Note, tick
from tests.reference.locks import Mutex, Spinlock
from tests.reference.program import CallRecord, JitterStream, Program, Result, in_order
from tests.reference.rwsem import RwSemaphore
from tests.reference.task import Doing, Task
from tests.reference.tlbi import server

Made = tuple[CallRecord, Call]
"""A call that its initiator has gone on from, and what becomes of it."""

Gone = Callable[[], int | None]
"""Returns, at the end of a run, when the last CPU had dropped what it was told to."""


def run(program: Program) -> Result:
    """Run a program on the reference.

    Raises
    ------
    ProgramError
        If a task misuses a lock.
    DeadlockError
        If nothing more can happen while tasks wait for locks.
    """
    return ReferenceMachine(program).run()


class ReferenceMachine:
    """Everything that a program needs to run."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.costs = program.costs
        self.clock = Clock()
        self.draw = JitterStream(program.jitter if program.jitters else ())
        self.cpus = [Cpu(self, c) for c in range(program.topology.n_cpus)]
        self.tasks: list[Task] = []
        self.mutexes: dict[int, Mutex] = {}
        self.spinlocks: dict[int, Spinlock] = {}
        self.semaphores: dict[int, RwSemaphore] = {}
        self.to_sleep: set[Task] = set()  # who spins for a mutex and must not, as of this round
        self._numbers = count()
        self.calls: list[tuple[CallRecord, Gone]] = []
        self.made: list[Made] = []  # each call, also of those that make one shootdown
        self.unwaited: dict[tuple[int, int], Call] = {}  # who called whom, whose data may be in use
        self.server = server(self)
        by_code = program.shootdown.protocol.own is not None
        self.own = instance_of(program.shootdown, self.costs) if by_code else None
        self.notes: list[Note] = []
        self.rings: dict[int, list[Note]] = {}
        self.recovers_until = -(10**18)  # from the last invalidation, of which there was none
        self.last_handler_end = 0
        self.now_spent = 0  # up to when all CPUs have spent their time
        for spec in sorted(program.tasks, key=lambda spec: spec.number):
            self._add(spec.cpu, Task(self, self.cpus[spec.cpu], spec))

    def _add(self, cpu: int, task: Task) -> None:
        self.tasks.append(task)
        self.cpus[cpu].tasks.append(task)
        self.cpus[cpu].runnable.append(task)

    @property
    def now(self) -> int:
        """The present instant."""
        return self.clock.now

    def line(self, a: int, b: int) -> int:
        """Return what a cache line takes between two CPUs."""
        return self.program.topology.cost(self.costs.ipi.line, a, b)

    @property
    def tlbi(self) -> TlbiCosts:
        """What an invalidation by the interconnect costs."""
        assert self.costs.tlbi is not None
        return self.costs.tlbi

    def mutex(self, number: object) -> Mutex:
        """Return a mutex by its number."""
        key = cast(int, number)
        return self.mutexes.setdefault(key, Mutex(self, f"mutex {key}"))

    def semaphore(self, number: object) -> RwSemaphore:
        """Return a reader-writer semaphore by its number."""
        key = cast(int, number)
        return self.semaphores.setdefault(key, RwSemaphore(self, f"semaphore {key}"))

    def spinlock(self, number: object) -> Spinlock:
        """Return a spinlock by its number."""
        key = cast(int, number)
        return self.spinlocks.setdefault(key, Spinlock(self, f"spinlock {key}"))

    def note_call(self, record: CallRecord, gone: Gone) -> None:
        """Note a call or an invalidation that has ended; it may be gone later, or never."""
        self.calls.append((record, gone))

    def next_number(self) -> int:
        """Return a number that is larger than all before."""
        return next(self._numbers)

    # -- running ------------------------------------------------------------------------------

    def run(self) -> Result:
        """Go from instant to instant until nothing is left, or to the duration's end."""
        cut = self.program.duration
        until = math.inf if cut is None else cut
        instant: float = 0
        while instant < until:
            self._advance_to(int(instant))
            ticks = self.program.ticks
            if ticks is not None and instant > 0 and instant % ticks.tick == 0:
                tick(self)
            self._interrupt_work()
            while (cpu := self._lowest_that_can_step()) is not None:
                cpu.turn()
                self._interrupt_work()
            for every_cpu in self.cpus:
                every_cpu.end_instant()
            if cut is None and self._is_done():
                break
            instant = self._next_instant()
        self._check_deadlock()
        return self._result(self._done_at() if cut is None else cut)

    def _next_instant(self) -> float:
        others = min(self.clock.peek(), min(cpu.next_look() for cpu in self.cpus))
        ticks = self.program.ticks
        if ticks is None or (others == math.inf and self.program.duration is None):
            return others
        return min(others, (self.now // ticks.tick + 1) * ticks.tick)

    def _advance_to(self, instant: int) -> None:
        """Let the time pass that nothing happens in."""
        self._spend_until(instant)
        self.clock.at(instant)  # an event, so that SimPy's time moves there
        self.clock.step()

    def _spend_until(self, instant: int) -> None:
        passed = instant - self.now_spent
        if passed > 0:
            for cpu in self.cpus:
                cpu.spend(passed)
        self.now_spent = instant

    def _interrupt_work(self) -> None:
        """Everything but task steps, until nothing more happens at this instant."""
        more = True
        while more:
            self.clock.finish_events_of_now()
            for cpu in self.cpus:
                cpu.queue_the_woken()
            self._spinners_go_to_sleep()
            for cpu in self.cpus:
                cpu.settle()
            more = self.clock.peek() == self.clock.now

    def _spinners_go_to_sleep(self) -> None:
        """Put all spinners to sleep that must, and those for whose mutexes they have spun."""
        going: set[Task] = set()
        while self.to_sleep:
            going |= self.to_sleep
            self.to_sleep = {s for task in going for m in task.mutexes for s in m.spinners} - going
        for task in sorted(going, key=lambda task: task.asked):
            task.stops_spinning()
        self.to_sleep.clear()

    def _lowest_that_can_step(self) -> Cpu | None:
        return next((cpu for cpu in self.cpus if cpu.can_step()), None)

    # -- the end ------------------------------------------------------------------------------

    def _check_deadlock(self) -> None:
        """Raise if no task can ever take a step again, but some wait for locks."""
        unfinished = [task for task in self.tasks if task.doing is not Doing.ENDED]
        waiting = [task for task in unfinished if task.waits_for is not None]
        if waiting and all(self._is_stuck(task) for task in unfinished):
            names = [
                f"task {task.number} on CPU {task.cpu.number} waits for {task.waits_for.name}"
                for task in waiting
                if task.waits_for is not None
            ]
            raise DeadlockError("; ".join(names), at_ps=self.now)
        assert self.program.duration is not None or not unfinished

    @staticmethod
    def _is_stuck(task: Task) -> bool:
        """Whether a task waits for a lock, or behind a task that spins for one."""
        if task.waits_for is not None:
            return True
        current = task.cpu.current
        return task in task.cpu.runnable and current is not None and current.waits_for is not None

    def _is_done(self) -> bool:
        """Whether all tasks and handlers have ended; what a frozen CPU owes is not waited for."""
        ended = all(task.doing is Doing.ENDED for task in self.tasks)
        called = any(isinstance(one, Call) for cpu in self.cpus for one in cpu.queue)
        return ended and not called and not any(c.pending or c.handler_runs for c in self.cpus)

    def _done_at(self) -> int:
        ends = [task.ended_at for task in self.tasks if task.ended_at is not None]
        return max([self.last_handler_end, *ends])

    def _result(self, end: int) -> Result:
        self._spend_until(end)
        for cpu in self.cpus:
            assert sum(cpu.spent.values()) == end, f"CPU {cpu.number}'s time does not add up"
        return Result(
            end=end,
            calls=in_order([replace(record, gone=gone()) for record, gone in self.calls]),
            cpus=tuple(cpu.account() for cpu in self.cpus),
            task_ends={t.number: t.ended_at for t in self.tasks if t.ended_at is not None},
        )
