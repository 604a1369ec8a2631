"""A CPU: handlers, idleness, run queue, and where its time goes (section 3 of the page)."""

from __future__ import annotations

import math
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from tests.reference.clock import Phase
from tests.reference.crosscall import Call, Function, Process
from tests.reference.latr import Sweep, Tick
from tests.reference.program import CpuAccount
from tests.reference.task import Doing, Task

if TYPE_CHECKING:
    from tests.reference.machine import ReferenceMachine


class Spent(Enum):
    """What a CPU's time is spent on."""

    BUSY = "busy"
    SPIN = "spin"
    IRQS_OFF = "irqs_off"
    STOLEN = "stolen"
    IDLE = "idle"
    FROZEN = "frozen"


class Handled(NamedTuple):
    """One handler that has ended: when it ran, and whose calls it answered, in order."""

    start: int
    end: int
    initiators: tuple[int, ...]


class Cpu:
    """One CPU.

    Between two instants nothing changes and the CPU spends its time (`spend`). At an instant,
    first everything happens that is due; after it the CPU takes up what follows from its new
    state (`settle`); then its task may take a step (`turn`), and so on; at last `end_instant`.
    """

    def __init__(self, machine: ReferenceMachine, number: int) -> None:
        self.machine = machine
        self.number = number
        self.turns = machine.program.turns(number)
        self.owes_drop = False  # of everything, when it next runs
        self.dropping = False
        self.tasks: list[Task] = []
        # Interrupts.
        self.pending = False
        self.queue: list[Call | Tick] = []
        self.handler_runs = False
        # Run queue.
        self.runnable: deque[Task] = deque()
        self.woken: list[Task] = []  # by what happened in this round
        self.current: Task | None = None
        self.last_switched_in: Task | None = None
        self.switch_left = 0
        self.still_left = 0  # what an invalidation has made its compute lose
        self.was_idle = False  # since it last had a task
        self.is_switched = True
        self.sweep: Sweep | None = None  # of the switch under way
        self.in_user_compute = False  # up to now
        self.kernel_debt = 0  # for the kernel's entries, whoever works for the kernel next
        # Idleness.
        self.idle_since: int | None = None
        self.waking: Spent | None = None  # what the waking counts as
        # Accounts.
        self.spent = dict.fromkeys(Spent, 0)
        self.refill = 0
        self.handlers = 0
        self.handled: list[Handled] = []
        self.lock_spin = 0
        self.awake = 0
        self.woken_for_nobody = 0
        self.interrupted_just_now = False
        self.handler_has_begun = False  # with the waking up for it
        # Entries into the kernel from user mode, where these drop everything: when each ended.
        self.entries: list[int] = []

    # -- time passes --------------------------------------------------------------------------

    def spends_on(self) -> Spent:
        """Return what the CPU's time goes to from this instant on, while it runs."""
        if self.handler_runs or self.dropping:
            return Spent.STOLEN
        if self.waking is not None:
            return self.waking
        if self.current is None:
            return Spent.IDLE
        if self.still_left > 0:
            return Spent.STOLEN
        if self.switch_left > 0:
            return Spent.BUSY
        match self.current.doing:
            case Doing.COMPUTE:
                return Spent.BUSY
            case Doing.WINDOW | Doing.SENDING:
                return Spent.IRQS_OFF
            case Doing.SPIN | Doing.AWAIT:
                return Spent.SPIN
        raise AssertionError(f"CPU {self.number}: no time passes while {self.current.doing}")

    def spend(self, ps: int) -> None:
        """Let time pass; only while it runs something comes of it."""
        real, until = ps, self.machine.now_spent + ps
        ps = self.turns.run_by(until) - self.turns.run_by(self.machine.now_spent)
        self.spent[Spent.FROZEN] += real - ps
        if ps == 0:
            return
        spent_on = self.spends_on()
        self.spent[spent_on] += ps
        task = self.current if self.is_switched else None
        self.in_user_compute = task is not None and task.computes_user
        if spent_on is Spent.STOLEN and self.current is None and not self.runnable:
            self.awake += ps
            self.woken_for_nobody += self.interrupted_just_now
        self.interrupted_just_now = False
        if spent_on is Spent.SPIN and self.current is not None:
            self.lock_spin += ps if self.current.doing is Doing.SPIN else 0
        if self.stands_still():
            self.still_left -= ps
        elif spent_on is Spent.BUSY and self.switch_left > 0:
            self.switch_left -= ps
        elif spent_on is Spent.BUSY and self.current is not None:
            self.refill += self.current.spend(ps)
        elif spent_on is Spent.IRQS_OFF and self._in_window():
            assert self.current is not None
            self.current.spend_window(ps)

    def next_look(self) -> float:
        """Return the next instant at which what it does ends, or at which it has to begin."""
        now = self.machine.now
        if self.turns.is_frozen(now) and self._has_to_begin():
            return self.turns.next_run(now)
        left = None if self.dropping else self._left()
        return math.inf if left is None else self.turns.run(now, left)

    def _has_to_begin(self) -> bool:
        """Whether it may begin something when it next runs."""
        task = self.current
        if self.owes_drop or (self.pending and not self.handler_runs):
            return True
        if task is None:
            return self.idle_since is None or bool(self.runnable)
        return task.doing is Doing.STEP or task.was_in_user or task.quantum_is_over()

    def _left(self) -> int | None:
        """Return how long to run until what the CPU does ends or a quantum is reached."""
        task = self.current
        if self.stands_still():
            return self.still_left
        if task is not None and self.spends_on() is Spent.IRQS_OFF and self._in_window():
            return task.window
        if task is None or self.spends_on() is not Spent.BUSY:
            return None
        if self.switch_left > 0:
            return self.switch_left
        left = task.to_refill + task.work
        quantum_left = self.machine.costs.sched.quantum - task.had
        return min(left, quantum_left) if quantum_left > 0 else left

    # -- interrupt work -----------------------------------------------------------------------

    def settle(self) -> None:
        """Take up what follows from everything that has happened at this instant so far."""
        if self.turns.is_frozen(self.machine.now):
            return
        if self.owes_drop:
            self.owes_drop = False
            self.dropping = True
            self.idle_since = None
            self.machine.clock.process(self._drop())
        if self.dropping or self.handler_runs or self.waking is not None:
            return
        if self.idle_since is not None and (self.pending or self.runnable):
            takes_time = self._wake()
            if takes_time:
                return
        if self.pending and not self._interrupts_are_off():
            self._start_handler()
        elif self.current is None and self.runnable:
            self._switch()

    def end_instant(self) -> None:
        """With no task and no handler, the CPU is idle from this instant on.

        After a handler this is seen only now: no idle period begins at a handler's end where a
        wake-up ends at that instant, even one that a task step of the instant has made. One that is
        frozen begins to be idle when it next runs, but for the beginning of a run.
        """
        self._look_whether_switched()
        now = self.machine.now
        if self.dropping or self.runnable or (now > 0 and self.turns.is_frozen(now)):
            return
        nothing_runs = self.current is None and not self.handler_runs and self.waking is None
        if nothing_runs and self.idle_since is None:
            self.idle_since = now
            self.was_idle = True

    def _look_whether_switched(self) -> None:
        """A switch is over when its time is and no handler runs: what it found is dropped."""
        if self.switch_left > 0 or self.handler_runs:
            return
        self.is_switched = True
        if self.sweep is not None:
            for note in self.sweep.found:
                note.drop(self.number, self.machine.now)
            self.sweep = None

    def queue_the_woken(self) -> None:
        """Queue whom this round has made runnable; a task that spins for a mutex makes way."""
        if self.woken and self.current is not None and self.current.spins_for() is not None:
            self.machine.to_sleep.add(self.current)
        self.runnable.extend(sorted(self.woken, key=lambda task: task.number))
        self.woken.clear()

    def _interrupts_are_off(self) -> bool:
        if self.current is None:
            return False
        if self._in_window() and not self.machine.program.shootdown.protocol.held_off:
            return False  # it holds off the kernel's interrupts, not the firmware's
        return self.current.doing in (Doing.WINDOW, Doing.SENDING)

    def _in_window(self) -> bool:
        return self.current is not None and self.current.doing is Doing.WINDOW

    def _wake(self) -> bool:
        """Leave the deepest idle state whose residency has passed; return if it takes time."""
        assert self.idle_since is not None
        idle_for = self.machine.now - self.idle_since
        self.idle_since = None
        states = [s for s in self.machine.costs.idle if s.residency <= idle_for]
        latency = states[-1].exit if states else 0
        if latency > 0:
            self.waking = Spent.STOLEN if self.pending else Spent.IDLE
            self.interrupted_just_now = self.pending
            self.machine.clock.process(self._wakes_up(latency))
        return latency > 0

    def _wakes_up(self, latency: int) -> Process:
        yield from self.takes(latency)
        self.handler_has_begun = self.waking is Spent.STOLEN
        self.waking = None

    # -- its own time -------------------------------------------------------------------------

    def takes(self, ps: int, phase: Phase = Phase.OTHER) -> Process:
        """Wait until so much of its own time has passed, or at once where that is none."""
        yield from self.until(self.turns.clock(self.machine.now) + ps, phase)

    def until(self, shows: int, phase: Phase = Phase.OTHER) -> Process:
        """Wait until its own clock shows so much: later than first thought if it has to drop."""
        while True:
            now = self.machine.now
            at = self.turns.when(shows) if shows > self.turns.clock(now) else now
            yield self.machine.clock.at(at, phase)
            if shows <= self.turns.clock(self.machine.now):
                return

    def is_frozen(self) -> bool:
        """Whether it is a virtual CPU that does not run."""
        return self.turns.is_frozen(self.machine.now)

    def is_to_drop(self) -> None:
        """A call has left it out while it does not run: it drops everything when it next does."""
        assert self.machine.costs.deferred is not None
        if not self.owes_drop:
            self.owes_drop = True
            again = self.turns.next_run(self.machine.now)
            self.turns.drops_from(again, self.machine.costs.deferred.entry_flush)

    def _drop(self) -> Process:
        """Drop everything, before anything else."""
        last = self.turns.drops[-1]
        over = last.shows + sum(drop.takes for drop in self.turns.drops)
        at = self.turns.run(self.machine.now, over - self.turns.run_by(self.machine.now))
        yield self.machine.clock.at(at)
        if self.owes_drop or over != last.shows + sum(drop.takes for drop in self.turns.drops):
            return  # it froze before that was over, was left out again, and has begun anew
        self.dropping = False
        self.drop_everything()

    def _start_handler(self) -> None:
        from_user = self.is_in_user_mode()
        self.pending = False
        self.interrupted_just_now = not self.handler_has_begun
        self.handler_has_begun = False
        self.handler_runs = True
        self.handlers += 1
        self.machine.clock.process(self._handler(self.machine.now, from_user))

    def is_in_user_mode(self) -> bool:
        """Whether it is isolated, on a machine that defers, and runs a program in user mode."""
        program = self.machine.program
        task = self.current
        return (
            program.drops_on_entry
            and self.number in program.isolated
            and task is not None
            and task.in_user
            and not self.handler_runs
            and not self.dropping
        )

    def has_ticks(self) -> bool:
        """Whether it is busy, and no isolated CPU that has been in user mode with one task."""
        if self.current is None and not self.runnable:
            return False
        is_isolated = self.number in self.machine.program.isolated
        return not (is_isolated and self.in_user_compute and not self.runnable)

    def drop_everything(self) -> None:
        """An entry into the kernel is over: all is dropped."""
        self.empty_tlb(Function(0, is_full_flush=True))
        self.entries.append(self.machine.now)

    def entered_after(self, instant: int) -> int | None:
        """Return when the first entry ended that ended after an instant, if there was one."""
        return min((at for at in self.entries if at > instant), default=None)

    def _handler(self, start: int, from_user: bool) -> Process:
        """Take every call queued by ``start + entry`` and run their functions one by one."""
        clock = self.machine.clock
        entry = self.machine.program.entry
        if from_user:
            assert self.machine.costs.deferred is not None
            entry += self.machine.costs.deferred.entry_flush
        yield from self.takes(entry, Phase.TAKE)
        if from_user:
            self.drop_everything()
        calls = self.calls_in_queue_order()
        assert calls, "no handler finds its queue empty"
        self.queue.clear()
        calls.sort(key=lambda call: not call.waits)  # people wait for the others
        for call in calls:
            begun, length = clock.now, call.at_targets.cost + call.at_targets.remote
            if call.acknowledged_at_start:
                call.acks[self.number].succeed(begun)
            yield from self.takes(length)
            # Of what was acknowledged before, a drop in between is not counted (section 10).
            at_start = call.acknowledged_at_start
            call.is_over_on(self, self.turns.run(begun, length) if at_start else clock.now)
            if not call.acknowledged_at_start:
                call.acks[self.number].succeed(clock.now)
        yield from self.takes(self.machine.program.exit)
        self.handler_runs = False
        self.handled.append(Handled(start, clock.now, tuple(call.initiator for call in calls)))
        self.machine.last_handler_end = clock.now

    def calls_in_queue_order(self) -> list[Call | Tick]:
        """Return the queued calls by the instant they were queued at, then by initiator."""
        return sorted(self.queue, key=lambda c: (c.queued_at[self.number], c.initiator))

    def empty_tlb(self, function: Function) -> None:
        """A flush ends: after a full one every task of this CPU owes its refill (section 5)."""
        if not function.is_full_flush:
            return
        for task in self.tasks:
            task.set_debt()
        if not function.spares_kernel:
            tlb = self.machine.costs.tlb
            self.kernel_debt = min(tlb.kernel_entries, tlb.entries) * tlb.walk

    # -- invalidations by the interconnect ----------------------------------------------------

    def has_computed(self) -> int:
        """Return how long the current task has computed without a break; 0 if it does not."""
        task = self.current
        return task.unbroken if task is not None and task.doing is Doing.COMPUTE else 0

    def stand_still(self, ps: int) -> None:
        """Let the compute lose so much time, from now on; handlers do not wait for that."""
        self.still_left += ps

    def stands_still(self) -> bool:
        """Whether the compute is losing time at present."""
        return self.still_left > 0 and not self.handler_runs and not self.dropping

    # -- task steps ---------------------------------------------------------------------------

    def can_step(self) -> bool:
        """Whether the task on this CPU has a step to take, or a quantum to give up, right now."""
        task = self.current
        if task is None or self.handler_runs or self.waking is not None:
            return False
        if self.is_frozen() or self.owes_drop or self.dropping:
            return False
        if self.switch_left > 0 or self.still_left > 0:
            return False
        task.look_whether_over()
        if task.was_in_user:
            return True
        if task.doing is Doing.COMPUTE:
            return task.quantum_is_over()
        return task.doing is Doing.STEP

    def turn(self) -> None:
        """Let the task run until it has to wait, or send it to the tail of the run queue."""
        self._look_whether_switched()
        task = self.current
        assert task is not None
        if task.was_in_user:  # it takes its user compute up again
            task.was_in_user, task.in_user = False, True
        if task.doing is Doing.COMPUTE:
            if task.quantum_is_over():
                next(task.makes_way())
        elif task.making_way is not None:
            next(task.making_way, None)
        else:
            next(task.body, None)

    def _switch(self) -> None:
        """Switch to the first task in the run queue."""
        task = self.runnable.popleft()
        is_other = self.last_switched_in is not None and self.last_switched_in is not task
        if is_other:
            self.switch_left = self.machine.costs.sched.context_switch
        if self.machine.program.ticks is not None and (is_other or self.was_idle):
            self.sweep = Sweep(self)
            self.switch_left += self.sweep.length
        self.was_idle = self.is_switched = False
        self.current = self.last_switched_in = task
        task.had = task.unbroken = 0

    def go_to_the_tail(self) -> None:
        """The current task's quantum is over while another is runnable."""
        assert self.current is not None
        self.current.stops_running()
        self.runnable.append(self.current)
        self.current = None

    def lose_its_task(self) -> None:
        """The current task sleeps or ends; with nobody else the CPU is idle from now on."""
        self.current = None
        self.was_idle = not self.runnable
        if not self.runnable:
            self.idle_since = self.machine.now

    def loses_its_spinner(self) -> None:
        """The current task has fallen asleep while it spun, perhaps below a handler.

        The next task has the CPU from now on, even where the spinner was sent to sleep within a
        step of another; with nobody else the CPU is idle. Or either comes to be at the end of the
        handler that runs, or is about to start; or when the CPU, which is frozen, next runs.
        """
        self.current = None
        self.was_idle = not self.runnable
        if self.handler_runs or self.pending or self.is_frozen() or self.dropping:
            return
        if self.runnable:
            self._switch()
        else:
            self.idle_since = self.machine.now

    # -- accounts -----------------------------------------------------------------------------

    def account(self) -> CpuAccount:
        """Return where the time went."""
        spent = {kind.value: ps for kind, ps in self.spent.items()}
        return CpuAccount(
            **spent,
            refill=self.refill,
            handlers=self.handlers,
            lock_spin=self.lock_spin,
            awake=self.awake,
            woken=self.woken_for_nobody,
        )
