"""A thread of execution on one CPU: what it does there, and waits for.

What it has other CPUs do is in `task`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from pmsim.errors import ProgramError
from pmsim.escaping import visible
from pmsim.hardware.detail import StretchKind
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act
from pmsim.steps import Role, Steps
from pmsim.units import LONGEST_RUN

if TYPE_CHECKING:
    from pmsim.hardware.silicon import Silicon
    from pmsim.hardware.tlb import FlushFunction


class Awaited(Protocol):
    """What a task can wait for: a lock or a completion.

    Attributes
    ----------
    name
        What messages call it.
    kind
        What a task that waits for it is in.
    """

    name: str
    kind: StretchKind


class SpunFor(Awaited, Protocol):
    """A lock that tasks spin for while its owner runs."""

    @property
    def spinners(self) -> Sequence[Thread]:
        """Those who do, in the order of asking."""


class Thread:
    """A thread of execution on one CPU, by itself.

    Attributes
    ----------
    cpu, number
        Its CPU, and its number among the tasks of that CPU.
    name
        What tables and messages call it.
    machine
        The machine it runs on.
    row
        Where the words of its CPU begin in the fabric's array.
    preempt_count, held
        How often preemption is off: once for each spinlock that it holds or asks for, and each time
        that it has been switched off; locks of both kinds.
    waiting_for
        The lock or completion it waits for, if any.
    spun
        Mutexes of its own that others spin for.
    """

    __slots__ = (
        "_disabled",
        "_shared",
        "_since",
        "_spun_at",
        "_state",
        "_waits",
        "_words",
        "cpu",
        "held",
        "index",
        "machine",
        "name",
        "number",
        "preempt_count",
        "role",
        "row",
        "spun",
        "waiting_for",
    )

    def __init__(
        self, machine: Silicon, index: int, cpu: int, number: int, name: str, role: Role
    ) -> None:
        self.machine = machine
        self.index = index
        self.cpu = cpu
        self.number = number
        self.name = name
        self.role = role
        self.preempt_count = 0
        self._disabled = 0  # the part of that which is no spinlock's
        self.held = 0
        self.waiting_for: Awaited | None = None
        self.spun: tuple[SpunFor, ...] = ()
        self._state = machine.fabric.state
        self._words = machine.fabric.words
        tasks = self._words[layout.TASKS_AT]
        self._spun_at = tasks + index * layout.TASK_ROW + layout.T_SPUN
        self._since = 0  # of the wait that it is in
        self._waits: StretchKind = "mutex"
        self.row = layout.HEADER + cpu * layout.CPU_WORDS
        self._shared = machine.shared

    @property
    def now(self) -> int:
        """The present instant in picoseconds."""
        return self._words[layout.NOW]

    def error(self, message: str) -> ProgramError:
        """Return the error that this task has broken a rule."""
        return ProgramError(f"the task {message}", self.now, self.place)

    @property
    def waits_since(self) -> int:
        """When it began to wait for what it waits for, or last waited for."""
        return self._since

    @property
    def place(self) -> str:
        """Who and where it is, for messages."""
        return f"{visible(self.name)}, task {self.number} on CPU {self.cpu}"

    def work_left(self, stolen: int) -> int | None:
        """Return what is left of the `compute` it is in; see `Fabric.work_left`."""
        return self.machine.fabric.work_left(self.index, self.cpu, stolen)

    def boundary(self) -> Iterable[int]:
        """Look at the run queue, as between any two steps; it may cost the task its turn.

        The task goes on when it has yielded what this returns. Every primitive does so by itself;
        only what takes no time and goes through none needs it.
        """
        return self._look_around() if self._shared[self.cpu] else ()

    def _look_around(self) -> Steps:
        yield from self._look_at_queue()
        if self._words[self.row + layout.IN_USER]:
            yield from self.enter_kernel()
            yield from self._look_at_queue()

    def _look_at_queue(self) -> Steps:
        task = act(self._state, layout.DO_BOUNDARY, self.cpu, 0)
        if task != self.index and task - layout.RETRY != self.index:
            yield task - layout.RETRY

    def preempt_disable(self) -> Iterable[int]:
        """Look at the run queue, and then keep the CPU until `preempt_enable`; it nests.

        The task goes on when it has yielded what this returns. As under a spinlock it must not
        sleep until then.
        """
        if self._shared[self.cpu] and self._has_to_look():
            return self._disable_in_turn()
        self._disable()
        return ()

    def _disable_in_turn(self) -> Steps:
        yield from self.boundary()
        self._disable()

    def _disable(self) -> None:
        self._disabled += 1
        self.preempt_count += 1
        self._words[self.row + layout.PREEMPT_COUNT] += 1

    def preempt_enable(self) -> None:
        """Let the run queue be looked at again, before the next step; takes no time.

        Raises
        ------
        ProgramError
            If it has not switched preemption off.
        """
        if not self._disabled:
            raise self.error("switches preemption on, which is on")
        self._disabled -= 1
        self.preempt_count -= 1
        self._words[self.row + layout.PREEMPT_COUNT] -= 1

    def might_sleep(self, does: str) -> None:
        """Raise the error that a task does what may put it to sleep, where it must not sleep."""
        if self.preempt_count > self._disabled:
            raise self.error(f"{does} while it holds a spinlock")
        if self.preempt_count:
            raise self.error(f"{does} while preemption is off")

    def enter_kernel(self) -> Steps:
        """Leave user mode, if it is in it on an isolated CPU that drops everything on its entry.

        Every primitive does so by itself (`boundary`); what spawns a task whose last step may be a
        user compute has to end it with this.
        """
        if self._words[self.row + layout.IN_USER]:
            task = act(self._state, layout.DO_ENTER_KERNEL, self.cpu, 0)
            if task != self.index:
                yield task

    @property
    def keeps_turn(self) -> bool:
        """Whether `boundary` would surely cost the task neither its turn nor any time."""
        return not self._shared[self.cpu] or not self._has_to_look()

    def _has_to_look(self) -> bool:
        """Whether somebody else can run on its CPU, or it is in user mode there."""
        words, row = self._words, self.row
        return words[row + layout.READY_HEAD] >= 0 or words[row + layout.IN_USER] > 0

    def is_alone(self, work: int) -> bool:
        """Return whether surely nothing happens until it has done the kernel's work for so long.

        Then it may do at once what takes that long and compute for it afterwards in one step.
        """
        return act(self._state, layout.DO_FORESEE, self.cpu, min(work, LONGEST_RUN)) == 1

    def compute(self, work: int) -> Steps:
        """Use ``work`` picoseconds of CPU time, after the refill debt of the task."""
        yield from self._begin(layout.DO_COMPUTE, work)

    def user_compute(self, work: int) -> Steps:
        """Do the same in user mode."""
        yield from self._begin(layout.DO_USER, work)

    def begin_kernel_compute(self, work: int) -> Iterable[int]:
        """Begin to use CPU time for the kernel, after what its CPU owes for the kernel's entries.

        The task goes on when it has yielded what this returns. No generator is made, because that
        is what the kernel does most.
        """
        return self._begin(layout.DO_KERNEL, work)

    def _begin(self, kind: int, work: int) -> Iterable[int]:
        if not 0 <= work <= LONGEST_RUN:
            work = self._within_a_run("computes", work)
        if self._shared[self.cpu] and self._has_to_look():
            return self._compute_in_turn(kind, work)
        task = act(self._state, kind, self.cpu, work)
        return () if task == self.index else (task,)

    def _compute_in_turn(self, kind: int, work: int) -> Steps:
        yield from self._look_at_queue() if kind == layout.DO_USER else self.boundary()
        task = act(self._state, kind, self.cpu, work)
        if task != self.index:
            yield task

    def flush_own_cpu(self, function: FlushFunction) -> Steps:
        """Run a function of cross-calls on its own CPU alone, interrupts off; no call is made."""
        yield from self.irqs_off(function.cost)
        if function.empties:
            act(self._state, layout.DO_EMPTY, self.cpu, function.empties)

    def irqs_off(self, length: int) -> Steps:
        """Keep interrupts off for exactly ``length`` picoseconds."""
        length = self._within_a_run("keeps interrupts off", length)
        yield from self.boundary()
        since = self.now
        task = act(self._state, layout.DO_IRQS_OFF, self.cpu, length)
        if task != self.index:
            yield task
        if self.machine.detail is not None:
            # The firmware's handlers prolong a window; others come after it.
            held_off = length > 0 and self._words[layout.HELD_OFF]
            end = self._words[self.row + layout.FLOOR] if held_off else self.now
            self.machine.detail.add(self, "irqs_off", since, end)

    def sleep(self, length: int) -> Steps:
        """Give the CPU up for ``length`` picoseconds."""
        length = self._within_a_run("sleeps", length)
        yield from self.boundary()
        self.might_sleep("sleeps")
        since = self.now
        task = act(self._state, layout.DO_SLEEP, self.cpu, length)
        if task != self.index:
            yield task
        if self.machine.detail is not None:
            self.machine.detail.add(self, "sleep", since, self.now)

    def _within_a_run(self, does: str, time: int) -> int:
        """Return a time, at most the longest run's, so that any two add up within 64 bits."""
        if time < 0:
            raise self.error(f"{does} for a negative time, {time} ps")
        return min(time, LONGEST_RUN)

    def wait_for(self, thing: Awaited) -> Steps:
        """Sleep until `wake`; the caller has put the task into a queue."""
        self.waiting_for = thing
        machine = self.machine
        self._since = self.now
        if self.role == "daemon" and thing.kind == "completion":
            machine.active -= 1
        if machine.active == 0 and machine.until_done:
            act(self._state, layout.DO_LEAVE, self.cpu, 0)
            yield layout.FINISHED
        else:
            yield act(self._state, layout.DO_BLOCK, self.cpu, 0)
        if machine.detail is not None:
            machine.detail.add(self, thing.kind, self._since, self.now, thing.name)

    def wake(self, after: int) -> None:
        """Make the task, which sleeps in a queue, runnable ``after`` picoseconds from now."""
        thing = self.waiting_for
        if self.role == "daemon" and thing is not None and thing.kind == "completion":
            self.machine.active += 1
        self.waiting_for = None
        act(self._state, layout.DO_WAKE, self.index, self.now + after)

    def spin_for(self, lock: Awaited, kind: StretchKind, mode: int) -> Steps:
        """Spin until the lock is handed over; the caller has put the task into its queue.

        Parameters
        ----------
        lock
            What it waits for.
        kind
            What it is in while it spins.
        mode
            ``M_ADAPTIVE`` where it may have to sleep (`stop_spinning`), else ``M_SPINLOCK``.
        """
        self.waiting_for = lock
        self._since, self._waits = self.now, kind
        task = act(self._state, layout.DO_SPIN, self.cpu, mode)
        if task != self.index:
            yield task
        if self.machine.detail is not None:
            self.machine.detail.add(self, self._waits, self._since, self.now, lock.name)

    def stop_spinning(self) -> None:
        """Fall asleep while it spins: interrupt work, or part of another task's release."""
        lock = self.waiting_for
        assert lock is not None
        if self.machine.detail is not None:
            self.machine.detail.add(self, self._waits, self._since, self.now, lock.name)
        self._since, self._waits = self.now, lock.kind
        act(self._state, layout.DO_PUT_TO_SLEEP, self.cpu, 0)

    def goes_on_a_line_after(self, releaser: Thread) -> None:
        """Go on, having spun for a lock that it owns now, when the lock's cache line is there."""
        machine = self.machine
        line = machine.topology.cost(machine.costs.ipi.line, releaser.cpu, self.cpu)
        self.waiting_for = None
        act(self._state, layout.DO_GRANT, self.cpu, machine.now + line)

    @property
    def runs(self) -> bool:
        """Whether it has its CPU: in a switch, a window, a call, spinning or interrupted too."""
        return act(self._state, layout.DO_ASK_RUNS, self.index, 0) == 1

    def is_spun_for(self, mutex: SpunFor) -> None:
        """Others have begun to spin for a mutex of its own."""
        self.spun += (mutex,)
        self._words[self._spun_at] = len(self.spun)

    def is_no_longer_spun_for(self, mutex: SpunFor) -> None:
        """Nobody spins any more for a mutex that is or was its own."""
        self.spun = tuple(other for other in self.spun if other is not mutex)
        self._words[self._spun_at] = len(self.spun)
