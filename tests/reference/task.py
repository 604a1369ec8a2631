"""A task: its steps, and what it is doing between them (section 3 of the page)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from enum import Enum, auto
from typing import TYPE_CHECKING, cast

from pmsim.errors import ProgramError
from tests.reference.crosscall import (
    Function,
    Process,
    cross_call,
    flush,
    flush_user,
    sync_core,
)
from tests.reference.holders import coherent, directory
from tests.reference.latr import free
from tests.reference.own import shoot
from tests.reference.program import TaskSpec
from tests.reference.tlbi import invalidate

if TYPE_CHECKING:
    from tests.reference.cpu import Cpu
    from tests.reference.locks import Mutex, Spinlock
    from tests.reference.machine import ReferenceMachine

OF_A_PROTOCOL = ("flush_kernel", "free_tables", "flush_user", "flush_cold", "call", "free")
"""What the code of a protocol makes in its own way, on a machine that has one."""

Waits = Generator[None, None, None]
"""Runs until the task has to wait (a ``yield``); resumed when the task may take a step again."""


class Doing(Enum):
    """What a task does."""

    STEP = auto()  # the time of its next step has come
    COMPUTE = auto()
    WINDOW = auto()  # it holds its CPU with interrupts off
    SENDING = auto()  # the same, for its own part of a call
    SPIN = auto()  # it holds its CPU waiting for a lock, interrupts on
    AWAIT = auto()  # the same, for others to do what they were told
    ASLEEP = auto()
    ENDED = auto()


class Task:
    """One task. What it does with its CPU's time is in `Cpu`."""

    def __init__(self, machine: ReferenceMachine, cpu: Cpu, spec: TaskSpec) -> None:
        self.machine = machine
        self.cpu = cpu
        self.number = spec.number
        self.working_set = spec.working_set
        self.steps = spec.steps
        self.doing = Doing.STEP
        self.body = self._body()
        self.ended_at: int | None = None
        # Compute: what is left of the present one, the debt, the time since the switch-in, and how
        # much of the present one it has had without a break. A window: what is left of it.
        self.work = 0
        self.is_kernel_work = False
        self.debt = 0
        self.had = 0
        self.unbroken = 0
        self.window = 0
        # User mode, where entries into the kernel drop everything: whether it is in it, or will be
        # when it has the CPU again; and what it does to make way in the middle of a compute.
        self.computes_user = False
        self.in_user = False
        self.was_in_user = False
        self.making_way: Waits | None = None
        self.function_over_at = 0  # when it has run the function of its own call
        # Locks.
        self.mutexes: set[Mutex] = set()
        self.spinlocks: set[Spinlock] = set()
        self.preemption_off = 0  # how many times it has been switched off
        self.waits_for: Mutex | Spinlock | None = None
        self.asked = 0  # orders those who wait for mutexes by when they asked

    # -- time ---------------------------------------------------------------------------------

    @property
    def to_refill(self) -> int:
        """What has to be refilled in the present compute before it gets on.

        The debt of the task; or where the kernel works, what its CPU owes for the kernel.
        """
        return self.cpu.kernel_debt if self.is_kernel_work else self.debt

    def set_debt(self) -> None:
        """A full flush on this CPU: the debt is set, it never adds up (section 5)."""
        tlb = self.machine.costs.tlb
        self.debt = min(self.working_set, tlb.entries) * tlb.walk

    def spend(self, ps: int) -> int:
        """Compute for a while, the debt first; return how much of it the debt took."""
        paid = min(self.to_refill, ps)
        if self.is_kernel_work:
            self.cpu.kernel_debt -= paid
        else:
            self.debt -= paid
        self.work -= ps - paid
        self.had += ps
        self.unbroken += ps
        self.look_whether_over()
        return paid

    def look_whether_over(self) -> None:
        """End a compute of which nothing is left; somebody else may have refilled for it."""
        if self.doing is Doing.COMPUTE and self.to_refill + self.work == 0:
            self.doing = Doing.STEP

    def spend_window(self, ps: int) -> None:
        """Keep interrupts off for a while."""
        self.window -= ps
        if self.window == 0:
            self.doing = Doing.STEP

    def quantum_is_over(self) -> bool:
        """Whether the task must go to the tail of the run queue before its next step."""
        return (
            self.had >= self.machine.costs.sched.quantum
            and len(self.cpu.runnable) > 0
            and not self.spinlocks
            and not self.preemption_off
        )

    def step_is_due(self) -> None:
        """What the task waited for, holding its CPU, is over."""
        self.doing = Doing.STEP

    # -- mutexes ------------------------------------------------------------------------------

    def runs(self) -> bool:
        """Whether it has its CPU: in a switch, a window, a call, spinning or interrupted too."""
        return self.cpu.current is self

    def spins_for(self) -> Mutex | None:
        """Return the mutex that it spins for and does not own yet, if it does that."""
        from tests.reference.locks import Mutex

        if self.doing is Doing.SPIN and isinstance(self.waits_for, Mutex):
            return self.waits_for
        return None

    def stops_running(self) -> None:
        """It sleeps or is switched away: whoever spins for a mutex of its own is to sleep."""
        for mutex in self.mutexes:
            self.machine.to_sleep.update(mutex.spinners)

    def stops_spinning(self) -> None:
        """Fall asleep, as interrupt work or within another task's release."""
        mutex = self.spins_for()
        assert mutex is not None
        mutex.puts_to_sleep(self)
        self.doing = Doing.ASLEEP
        self.stops_running()
        self.cpu.loses_its_spinner()

    # -- steps --------------------------------------------------------------------------------

    def _body(self) -> Waits:
        """Take the steps; each ``yield`` is a wait."""
        for operation, argument in self.steps:
            yield from self._look_at_queue()
            if self.in_user and operation != "user":
                yield from self.enters_kernel()
                yield from self._look_at_queue()
            yield from self._step(operation, argument)
        yield from self.enters_kernel()
        self._end()

    def _look_at_queue(self) -> Waits:
        """Between two steps: make way if the quantum is over, by an entry if in user mode."""
        if not self.quantum_is_over():
            return
        was_in_user = self.in_user
        yield from self.enters_kernel()
        self.was_in_user = was_in_user
        self.cpu.go_to_the_tail()
        yield

    def makes_way(self) -> Waits:
        """Make way in the middle of a compute, by an entry if in user mode; go on with it later."""
        self.making_way = self._make_way()
        return self.making_way

    def _make_way(self) -> Waits:
        was_in_user = self.in_user
        yield from self.enters_kernel()
        self.making_way = None
        self.doing = Doing.COMPUTE
        self.was_in_user = was_in_user
        self.cpu.go_to_the_tail()
        yield

    def enters_kernel(self) -> Waits:
        """Leave user mode, if it is in it: drop everything, interrupts off."""
        if not self.in_user:
            return
        self.in_user = False
        assert self.machine.costs.deferred is not None
        ps = self.machine.costs.deferred.entry_flush
        if ps > 0:
            self.doing = Doing.SENDING
            self.machine.clock.process(self._entering(ps))
            yield
        else:
            self.cpu.drop_everything()

    def _entering(self, ps: int) -> Process:
        yield from self.cpu.takes(ps)
        self.cpu.drop_everything()
        self.step_is_due()

    def _step(self, operation: str, argument: object) -> Waits:
        match operation:
            case "compute" | "user" | "kernel":
                self.is_kernel_work = operation == "kernel"
                program = self.machine.program
                deferring = program.drops_on_entry and self.cpu.number in program.isolated
                self.in_user = deferring and operation == "user"
                self.computes_user = operation == "user"
                yield from self.compute(cast(int, argument))
                self.computes_user = False
            case "irqs_off":
                yield from self.irqs_off(cast(int, argument))
            case "sleep":
                yield from self.sleep(cast(int, argument))
            case "mutex_lock":
                yield from self.machine.mutex(argument).lock(self)
            case "mutex_unlock":
                self.machine.mutex(argument).unlock(self)
            case "write_lock":
                yield from self.machine.semaphore(argument).lock(self)
            case "write_unlock":
                self.machine.semaphore(argument).unlock(self)
            case "downgrade":
                self.machine.semaphore(argument).downgrade(self)
            case "read_lock":
                yield from self.machine.semaphore(argument).read_lock(self)
            case "read_unlock":
                self.machine.semaphore(argument).read_unlock(self)
            case "spin_lock":
                yield from self.machine.spinlock(argument).lock(self)
            case "spin_unlock":
                self.machine.spinlock(argument).unlock(self)
            case "preempt_off":
                self.preemption_off += 1
            case "preempt_on":
                if not self.preemption_off:
                    raise self.error("switches preemption on, which is on")
                self.preemption_off -= 1
            case _:
                yield from self._call(operation, argument)

    def _call(self, operation: str, argument: object) -> Waits:
        everybody_else = [c for c in range(len(self.machine.cpus)) if c != self.cpu.number]
        if self.machine.own is not None and operation in OF_A_PROTOCOL:
            yield from self._shoot(operation, argument, everybody_else)
            return
        match operation:
            case "flush_kernel":
                function = replace(flush(self.machine, argument), purges=True)
                yield from cross_call(self, function, everybody_else)
            case "free_tables":
                function = replace(flush(self.machine, argument), frees_tables=True)
                yield from cross_call(self, function, everybody_else)
            case "flush_user":
                yield from cross_call(self, flush_user(self.machine, argument), everybody_else)
            case "flush_cold":
                function = flush_user(self.machine, argument)
                function = replace(function, remote=self.machine.program.call_costs.queue)
                yield from cross_call(self, function, everybody_else)
            case "flush_own":
                function = flush_user(self.machine, argument)
                yield from self.irqs_off(function.cost)
                self.cpu.empty_tlb(function)
            case "call":
                pages, targets = cast(tuple[int, tuple[int, ...]], argument)
                yield from cross_call(self, flush(self.machine, pages), sorted(set(targets)))
            case "free":
                pages, targets = cast(tuple[int, tuple[int, ...]], argument)
                yield from free(self, pages, sorted(set(targets)))
            case "sync_core":
                yield from cross_call(self, sync_core(self.machine), everybody_else)
            case "empty":
                yield from cross_call(
                    self, Function(cast(int, argument), drops=False), everybody_else
                )
            case "coherent":
                yield from coherent(self, argument)
            case "directory":
                yield from directory(self, argument)
            case "invalidate":
                yield from invalidate(self, cast(int, argument))
            case _:
                raise self.error(f"there is no operation {operation!r}")

    def _shoot(self, operation: str, argument: object, everybody_else: list[int]) -> Waits:
        """Have others drop translations by the code of a protocol."""
        pages, targets = argument, everybody_else
        if operation in ("call", "free"):
            pages, some = cast(tuple[int, tuple[int, ...]], argument)
            targets = sorted(set(some))
        of_user = operation in ("flush_user", "flush_cold", "free")
        function = (flush_user if of_user else flush)(self.machine, pages)
        if operation == "flush_cold":
            function = replace(function, remote=self.machine.program.call_costs.queue)
        function = replace(
            function, purges=operation == "flush_kernel", frees_tables=operation == "free_tables"
        )
        frees = operation == "free"
        yield from shoot(self, function, targets, cast(int, pages), frees_pages=frees)

    def compute(self, ps: int) -> Waits:
        """Need so much CPU time, and the debt's (``compute(0)`` of a task that owes takes it)."""
        self.work = ps
        self.unbroken = 0
        if self.to_refill + self.work > 0:
            self.doing = Doing.COMPUTE
            yield

    def irqs_off(self, ps: int) -> Waits:
        """Hold the CPU for exactly so long, interrupts off."""
        if ps > 0:
            self.doing = Doing.WINDOW
            self.window = ps
            yield

    def local_function(self, ps: int) -> Waits:
        """Run the function of its own call, interrupts off."""
        self.function_over_at = self.machine.now
        if ps > 0:
            self.doing = Doing.SENDING
            self.machine.clock.process(self._local_function(ps))
            yield

    def _local_function(self, ps: int) -> Process:
        yield from self.cpu.takes(ps)
        self.function_over_at = self.machine.now
        self.step_is_due()

    def sleep(self, ps: int) -> Waits:
        """Give up the CPU until a timer ends."""
        self.may_sleep("sleeps")
        self.give_up_the_cpu()
        self.becomes_runnable_in(ps)
        yield

    def may_sleep(self, does: str) -> None:
        """Raise the error of a task that must keep its CPU, and does what may take it away."""
        if self.spinlocks:
            raise self.error(f"{does} while it holds a spinlock")
        if self.preemption_off:
            raise self.error(f"{does} while preemption is off")

    def give_up_the_cpu(self) -> None:
        """Fall asleep, as a step."""
        self.doing = Doing.ASLEEP
        self.stops_running()
        self.cpu.lose_its_task()

    def wakes_up(self) -> None:
        """Whoever woke it has done so: it is runnable `wakeup` later."""
        self.becomes_runnable_in(self.machine.costs.sched.wakeup)

    def becomes_runnable_in(self, ps: int) -> None:
        """Become runnable so much later, and not while the CPU is frozen."""
        at = self.cpu.turns.next_run(self.machine.now + ps)
        self.machine.clock.call_at(at, self.becomes_runnable)

    def becomes_runnable(self) -> None:
        """A timer or a wake-up ends: interrupt work."""
        self.doing = Doing.STEP
        self.cpu.woken.append(self)

    def _end(self) -> None:
        if self.mutexes or self.spinlocks:
            raise self.error("ends while it holds a lock")
        if self.preemption_off:
            raise self.error("ends while preemption is off")
        self.doing = Doing.ENDED
        self.ended_at = self.machine.now
        self.cpu.lose_its_task()

    def error(self, message: str) -> ProgramError:
        """Return an error of the program, placed."""
        where = f"CPU {self.cpu.number}, task {self.number}"
        return ProgramError(message, at_ps=self.machine.now, where=where)
