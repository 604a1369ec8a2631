"""A simulated machine: CPUs, the fabric between them, and the tasks that run on it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from pmsim.errors import AccountingError, DeadlockError, ProgramError
from pmsim.hardware import _passes as p
from pmsim.hardware.clock import FINISHED, Clock
from pmsim.hardware.costs import CrosscallOrder, MachineCosts
from pmsim.hardware.fabric import ACCOUNT_COLUMNS, Fabric
from pmsim.hardware.jitter import draw
from pmsim.hardware.locks import Completion
from pmsim.hardware.tlb import refill_debt
from pmsim.hardware.topology import Topology

if TYPE_CHECKING:
    from pmsim.hardware.locks import Mutex, Spinlock
    from pmsim.hardware.tlb import FlushFunction

Steps = Generator[int, None, None]
"""A task's body: it waits through the primitives of `Task`, and through nothing else."""

Role = Literal["foreground", "background", "daemon"]

EVERYONE: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
NO_JITTER: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)

SPARE_TASKS = 1024
"""Room for tasks that come to life during a run, beyond four per CPU."""


class Task:
    """A thread of execution on one CPU.

    Attributes
    ----------
    cpu, number
        Its CPU, and its number among the tasks of that CPU.
    name
        What tables and messages call it.
    machine
        The machine it runs on.
    spinlocks, held
        Spinlocks it holds or asks for; locks of both kinds.
    waiting_for
        The lock or completion it waits for, if any.
    """

    __slots__ = (
        "_jitter",
        "_shared",
        "_state",
        "cpu",
        "held",
        "index",
        "machine",
        "name",
        "number",
        "role",
        "spinlocks",
        "waiting_for",
    )

    def __init__(
        self, machine: Machine, index: int, cpu: int, number: int, name: str, role: Role
    ) -> None:
        self.machine = machine
        self.index = index
        self.cpu = cpu
        self.number = number
        self.name = name
        self.role = role
        self.spinlocks = 0
        self.held = 0
        self.waiting_for: Mutex | Spinlock | Completion | None = None
        self._state = machine.fabric.state
        self._shared = machine.shared
        self._jitter = machine.costs.ipi.jitter is not None

    @property
    def now(self) -> int:
        """The present instant in picoseconds."""
        return self.machine.now

    def error(self, message: str) -> ProgramError:
        """Return the error that this task has broken a rule."""
        return ProgramError(f"the task {message}", self.now, self.place)

    @property
    def place(self) -> str:
        """Who and where it is, for messages."""
        return f"{self.name}, task {self.number} on CPU {self.cpu}"

    def work_left(self, stolen: int) -> int | None:
        """Return what is left of the `compute` it is in; see `Fabric.work_left`."""
        return self.machine.fabric.work_left(self.index, self.cpu, stolen)

    def boundary(self) -> Steps:
        """Look at the run queue, as between any two steps; it may cost the task its turn.

        Every primitive does so by itself; only what takes no time and goes through none needs it.
        """
        if self._shared[self.cpu]:
            task = p.boundary(self._state, self.cpu)
            if task != self.index and task - p.RETRY != self.index:
                yield task - p.RETRY

    def compute(self, work: int) -> Steps:
        """Use ``work`` picoseconds of CPU time, after any refill debt."""
        if work < 0:
            raise self.error(f"computes for a negative time, {work} ps")
        yield from self.boundary()
        task = p.compute(self._state, self.cpu, work)
        if task != self.index:
            yield task

    def irqs_off(self, length: int) -> Steps:
        """Keep interrupts off for exactly ``length`` picoseconds."""
        if length < 0:
            raise self.error(f"keeps interrupts off for a negative time, {length} ps")
        yield from self.boundary()
        task = p.irqs_off(self._state, self.cpu, length)
        if task != self.index:
            yield task

    def sleep(self, length: int) -> Steps:
        """Give the CPU up for ``length`` picoseconds."""
        if length < 0:
            raise self.error(f"sleeps for a negative time, {length} ps")
        if self.spinlocks:
            raise self.error("sleeps while it holds a spinlock")
        yield from self.boundary()
        task = p.sleep(self._state, self.cpu, length)
        if task != self.index:
            yield task

    def cross_call(
        self,
        function: FlushFunction,
        *,
        cause: int = 0,
        operation: int = -1,
        pages: int = -1,
        targets: Sequence[int] | None = None,
    ) -> Steps:
        """Have a function run on other CPUs and on this one, and wait until all have.

        Parameters
        ----------
        function
            What each CPU runs.
        cause, operation, pages
            Written to the call's row: numbers that mean something to the caller.
        targets
            CPUs to call, this one left out; ``None`` for every other CPU.

        Raises
        ------
        ProgramError
            If a target is out of range or named twice.
        """
        yield from self.boundary()
        machine = self.machine
        chosen = EVERYONE if targets is None else machine.checked_targets(self, targets)
        n = machine.n_cpus - 1 if targets is None else len(chosen)
        if targets is not None and n == 0:
            chosen = np.array([self.cpu], dtype=np.int64)
        task = p.call(
            self._state,
            machine.fabric.distances,
            chosen,
            machine.draw_jitter(n) if self._jitter else NO_JITTER,
            self.cpu,
            n,
            *function.arguments,
            int(cause),
            operation,
            pages,
        )
        if task != self.index:
            yield task
        if machine.keep_acks:
            machine.note_acks(self, targets)
        if n == 0:
            machine.flush_log_if_full()

    def wait_for(self, thing: Mutex | Completion) -> Steps:
        """Sleep until `Machine.wake`; the caller has put the task into a queue."""
        self.waiting_for = thing
        machine = self.machine
        if self.role == "daemon" and isinstance(thing, Completion):
            machine.active -= 1
        if machine.active == 0 and machine.until_done:
            p.leave(self._state, self.cpu)
            yield FINISHED
        else:
            yield p.block(self._state, self.cpu)

    def spin_for(self, lock: Spinlock) -> Steps:
        """Spin until the lock is handed over; the caller has put the task into its queue."""
        self.waiting_for = lock
        task = p.spin(self._state, self.cpu)
        if task != self.index:
            yield task


class Machine:
    """CPUs, their distances and costs, and the tasks on them.

    Parameters
    ----------
    topology, costs
        The hardware.
    order
        ``concurrent`` or ``serial``: when the initiator of a cross-call runs the function itself.
    jitter_rng
        Where the delivery jitter is drawn from; needed where the costs have one.
    max_tasks
        Room for tasks alive at the same time; by default four per CPU and `SPARE_TASKS` more.

    Attributes
    ----------
    clock
        The SimPy environment; processes of any kind may run beside the tasks.
    on_crosscalls
        Called with chunks of finished cross-calls, shape ``(rows, len(CROSSCALL_COLUMNS))``.
    keep_acks, acks
        Where set before the run, the acknowledgements of every call, in order of the calls' ends.
    """

    def __init__(
        self,
        topology: Topology,
        costs: MachineCosts,
        order: CrosscallOrder = "concurrent",
        jitter_rng: np.random.Generator | None = None,
        max_tasks: int | None = None,
    ) -> None:
        self.topology = topology
        self.costs = costs
        self.n_cpus = topology.n_cpus
        self.fabric = Fabric(topology, costs, order, max_tasks or 4 * self.n_cpus + SPARE_TASKS)
        self.clock = Clock(self.fabric, self._flush_log, self._task_ended)
        self.on_crosscalls: Callable[[npt.NDArray[np.int64]], None] | None = None
        self.tasks: dict[int, Task] = {}
        self.shared = [False] * self.n_cpus
        self.active = 0
        self.until_done = False
        self.keep_acks = False
        self.acks: list[dict[int, int]] = []
        self._jitter_rng = jitter_rng
        self._numbers: list[set[int]] = [set() for _ in range(self.n_cpus)]
        self._free = list(range(self.fabric.max_tasks - 1, -1, -1))
        self._begun = False
        if costs.ipi.jitter is not None and jitter_rng is None:
            raise ValueError("a machine with jitter needs a random generator")

    @property
    def now(self) -> int:
        """The present instant in picoseconds."""
        return int(self.fabric.state[p.NOW])

    def spawn(
        self,
        cpu: int,
        body: Steps | Callable[[Task], Steps],
        *,
        name: str = "task",
        working_set: int = 0,
        role: Role = "foreground",
        number: int | None = None,
    ) -> Task:
        """Create a task, ready at once; before the run, at time 0, in the order of spawning.

        Parameters
        ----------
        cpu
            Where it runs, for good.
        body
            Its steps, or a function of the task that returns them.
        name
            What tables and messages call it.
        working_set
            TLB entries that it refills after a full flush.
        role
            Whether a run until done waits for it: always (``foreground``), never (``background``),
            or while it does not wait for a completion (``daemon``).
        number
            Its number among the tasks of the CPU, which orders what happens at one instant; by
            default the lowest that is free above all others.

        Raises
        ------
        ProgramError
            If the CPU or the number is not to be had, or there are too many tasks.
        """
        if not 0 <= cpu < self.n_cpus:
            raise ProgramError(f"there is no CPU {cpu}: the machine has 0 to {self.n_cpus - 1}")
        if not self._free:
            raise ProgramError(f"more than {self.fabric.max_tasks} tasks at once", self.now)
        taken = self._numbers[cpu]
        if number is None:
            number = max(taken, default=-1) + 1
        elif number in taken:
            raise ProgramError(f"CPU {cpu} has a task {number} already", self.now)
        index = self._free.pop()
        taken.add(number)
        self.shared[cpu] = len(taken) > 1
        task = Task(self, index, cpu, number, name, role)
        self.tasks[index] = task
        self.fabric.add_task(index, cpu, number, refill_debt(self.costs.tlb, working_set))
        steps = body(task) if callable(body) else body
        self.clock.senders[index] = steps.send
        self.active += role != "background"
        if self._begun:
            p.wake(self.fabric.state, index, self.now)
        return task

    def run(self, duration: int | None = None) -> int:
        """Run for ``duration`` picoseconds, or until every task that counts is done.

        Returns
        -------
        int
            When the run ended, in picoseconds.

        Raises
        ------
        DeadlockError
            If nothing more can happen while tasks wait for locks.
        ProgramError
            If a task breaks a rule of the machine.
        """
        state = self.fabric.state
        if not self._begun:
            for index in self.tasks:
                p.make_ready(state, index)
            self._begun = True
            p.begin(state)
        self.until_done = duration is None
        if self.active or not self.until_done:
            self.clock.drive(duration)
        self._report_deadlock()
        background = any(task.role == "background" for task in self.tasks.values())
        if duration is not None:
            state[p.NOW] = duration
        elif not background:
            state[p.NOW] = p.last_handler_end(state)
        self._flush_log()
        return self.now

    def accounts(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return every CPU's account of its time, checked to add up.

        Returns
        -------
        dict
            Arrays of shape ``(n_cpus,)`` by the names of `ACCOUNT_COLUMNS`.

        Raises
        ------
        AccountingError
            If a CPU's time has a gap or an overlap.
        """
        accounts = self.fabric.accounts()
        total = sum(accounts[name] for name in ACCOUNT_COLUMNS[:5])
        wrong = np.flatnonzero(total != self.now)
        if wrong.size:
            cpu = int(wrong[0])
            parts = ", ".join(f"{name} {accounts[name][cpu]}" for name in ACCOUNT_COLUMNS[:5])
            raise AccountingError(f"CPU {cpu}'s time does not add up: {parts}", self.now)
        return accounts

    def sample(self) -> dict[str, npt.NDArray[np.int64]]:
        """Return the same account at any instant of a run, as it stands."""
        return self.accounts()

    def wake(self, task: Task, after: int) -> None:
        """Make a task that sleeps in a queue runnable ``after`` picoseconds from now."""
        if task.role == "daemon" and isinstance(task.waiting_for, Completion):
            self.active += 1
        task.waiting_for = None
        p.wake(self.fabric.state, task.index, self.now + after)

    def checked_targets(self, task: Task, targets: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return targets ascending and without the initiator; see `Task.cross_call`."""
        chosen = sorted(targets)
        if len(set(chosen)) != len(chosen):
            raise task.error("names a target of a cross-call twice")
        if chosen and not (chosen[0] >= 0 and chosen[-1] < self.n_cpus):
            raise task.error(f"calls a CPU that is not there: the machine has {self.n_cpus}")
        return np.array([c for c in chosen if c != task.cpu], dtype=np.int64)

    def draw_jitter(self, n: int) -> npt.NDArray[np.int64]:
        """Draw the jitter of one call: ``n`` delays in picoseconds, targets ascending."""
        assert self.costs.ipi.jitter is not None
        assert self._jitter_rng is not None
        return draw(self.costs.ipi.jitter, self._jitter_rng, n)

    def note_acks(self, task: Task, targets: Sequence[int] | None) -> None:
        """Keep the acknowledgements of the call that the task has just finished."""
        everyone = range(self.n_cpus) if targets is None else sorted(targets)
        chosen = [c for c in everyone if c != task.cpu]
        self.acks.append(self.fabric.acknowledgements(task.cpu, chosen))

    def flush_log_if_full(self) -> None:
        """Empty the log where calls that take no time may fill it within one step."""
        if self.fabric.state[p.LOG_ROWS] >= self.fabric.state[p.LOG_CAP]:
            self._flush_log()

    def _flush_log(self) -> None:
        log = self.fabric.take_log()
        if self.on_crosscalls is not None and len(log):
            self.on_crosscalls(log)

    def _task_ended(self, index: int) -> int:
        task = self.tasks.pop(index)
        if task.held:
            raise task.error("ends while it holds a lock")
        self._numbers[task.cpu].discard(task.number)
        self.clock.senders[index] = None
        self._free.append(index)
        self.active -= task.role != "background"
        if self.active == 0 and self.until_done:
            p.leave(self.fabric.state, task.cpu)
            return FINISHED
        return int(p.block(self.fabric.state, task.cpu))

    def _report_deadlock(self) -> None:
        stuck = [
            task
            for task in self.tasks.values()
            if task.waiting_for is not None and task.role != "daemon"
        ]
        if not stuck or self.clock.peek() != float("inf"):
            return
        stuck.sort(key=lambda task: (task.cpu, task.number))
        waits = "; ".join(
            f"{t.place} waits for {t.waiting_for.name}" for t in stuck if t.waiting_for
        )
        raise DeadlockError(f"deadlock, nothing more can happen: {waits}", self.now)
