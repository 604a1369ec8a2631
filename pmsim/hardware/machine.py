"""A simulated machine: CPUs, the fabric between them, and the tasks that run on it."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from pmsim import formatting
from pmsim.errors import DeadlockError, ProgramError, SimulationError
from pmsim.hardware.clock import Clock
from pmsim.hardware.costs import CrosscallOrder, MachineCosts
from pmsim.hardware.host import Host
from pmsim.hardware.locks import Slot, settle
from pmsim.hardware.own_task import OwnTask
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.steps import act
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.protocols import BY_INTERRUPTS
from pmsim.hardware.shootdown.rar import RAR
from pmsim.hardware.silicon import Silicon
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import refill_debt
from pmsim.hardware.topology import Topology
from pmsim.steps import Role, Steps
from pmsim.units import longest_run

SPARE_TASKS = 1024
"""Room for tasks that come to life during a run, beyond four per CPU."""

FORKED = 1_000_000
"""Numbers of tasks from here on are given by whoever spawns them, and to no other of their CPU."""

MOST_NAMED = 5
"""Tasks that a message names."""


def shared_slots(machine: Silicon) -> int:
    """Return how many slots initiators of remote actions share; 0 if each has one to itself."""
    rar = machine.costs.rar
    if machine.shootdown.protocol is not RAR or rar is None or rar.slots >= machine.n_cpus:
        return 0
    return rar.slots


def room_for_tasks(n_cpus: int, tasks: int = 0) -> int:
    """Return for how many tasks a machine has room, of which some are there from the start."""
    return tasks + 4 * n_cpus + SPARE_TASKS


class Machine(Silicon):
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
    shootdown
        How its CPUs are told to drop translations, and with that how cross-calls are made.
    host
        What it is a guest of; None for bare metal.
    isolated
        CPUs that run nothing but what is put there: those that calls may leave out.
    phase_rng
        Where the phases of a host that freezes CPUs are drawn from, if it does not say them.

    Attributes
    ----------
    clock
        The SimPy environment; processes of any kind may run beside the tasks.
    tasks, foreground
        The tasks alive, by index; and those of them that a run until done always waits for.
    """

    def __init__(
        self,
        topology: Topology,
        costs: MachineCosts,
        order: CrosscallOrder = "concurrent",
        jitter_rng: np.random.Generator | None = None,
        max_tasks: int | None = None,
        shootdown: Shootdown = BY_INTERRUPTS,
        host: Host | None = None,
        isolated: Collection[int] = (),
        phase_rng: np.random.Generator | None = None,
    ) -> None:
        room = max_tasks or room_for_tasks(topology.n_cpus)
        super().__init__(
            topology, costs, order, jitter_rng, room, shootdown, host, isolated, phase_rng
        )
        self.slots = [Slot(self, f"slot {number}") for number in range(shared_slots(self))]
        self.clock = Clock(self.fabric, self.flush_log, self._settle, self._task_ended)
        self.tasks: dict[int, Task] = {}
        self.foreground: dict[int, Task] = {}
        self._numbers: list[set[int]] = [set() for _ in range(self.n_cpus)]
        self._free = list(range(self.fabric.max_tasks - 1, -1, -1))
        self._begun = False

    def spawn(
        self,
        cpu: int,
        body: Steps | Callable[[Task], Steps],
        *,
        name: str = "task",
        working_set: int = 0,
        role: Role = "foreground",
        number: int | None = None,
        delay: int = 0,
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
            default the lowest that is free above all others below `FORKED`.
        delay
            How much later a timer makes a task ready that is created in the run.

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
            number = max((one for one in taken if one < FORKED), default=-1) + 1
        elif number in taken:
            raise ProgramError(f"CPU {cpu} has a task {number} already", self.now)
        index = self._free.pop()
        taken.add(number)
        self.shared[cpu] = len(taken) > 1 or cpu in self.in_turn
        kind = Task if self.shootdown.protocol.own is None else OwnTask
        task = kind(self, index, cpu, number, name, role)
        self.tasks[index] = task
        if role == "foreground":
            self.foreground[index] = task
        self.fabric.add_task(index, cpu, number, refill_debt(self.costs.tlb, working_set))
        steps = body(task) if callable(body) else body
        self.clock.senders[index] = steps.send
        self.active += role != "background"
        if self._begun:
            act(self.fabric.state, layout.DO_WAKE, index, self.now + delay)
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
            If a task breaks a rule of the machine, or the run is to end in the past, or to be
            longer than the longest.
        SimulationError
            If a run until done is not done within the longest run (`pmsim.units.longest_run`).
        """
        state = self.fabric.state
        if duration is not None and not self.now <= duration <= longest_run(self.n_cpus):
            latest = longest_run(self.n_cpus)
            raise ProgramError(f"a run to {duration} ps: it can end at {self.now} to {latest} ps")
        if not self._begun:
            for index in self.tasks:
                act(state, layout.DO_MAKE_READY, index, 0)
            self._begun = True
            act(state, layout.DO_BEGIN, 0, 0)
        self.until_done = duration is None
        state[layout.TICKS_GO_ON] = int(not self.until_done)
        if duration is not None:
            self.clock.drive(duration)
        elif self.active:
            self.clock.drive(longest_run(self.n_cpus))
            if not self.clock.finished and self.clock.peek() != float("inf"):
                raise self._not_done()
        self._report_deadlock()
        end = self.fabric.last_handler_end() if duration is None else duration
        if self.clock.finished and end > self.now:
            # Tasks that nobody waits for go on to the end of the last handler.
            self.until_done = self.clock.finished = False
            self.clock.drive(end)
        state[layout.NOW] = end
        self.flush_log(end + 1 if duration is None else end)
        return self.now

    def note_open_calls(self) -> None:
        """Note the interruptions by calls that have not ended; nothing may run after it."""
        if self.interruptions is None:
            return
        words = self.fabric.words
        for cpu in range(self.n_cpus):
            row = layout.HEADER + cpu * layout.CPU_WORDS
            task = self.tasks.get(words[row + layout.CURRENT])
            if task is None or words[row + layout.MODE] != layout.M_CALL:
                continue
            if words[row + layout.C_UNWAITED]:
                continue  # noted when its targets run it
            self.interruptions.note(
                (cpu, task.number, words[row + layout.C_KIND], words[row + layout.C_CAUSE],
                 words[row + layout.C_OPERATION]),
                words[row + layout.C_START], before=self.now,
            )  # fmt: skip
        self.interruptions.hand_over()

    def running(self, cpu: int) -> Task | None:
        """Return the task that a CPU runs or is switching to, None where it is idle.

        One that has woken at this instant, and waits for nothing else, runs already.
        """
        row = layout.HEADER + cpu * layout.CPU_WORDS
        current = int(self.fabric.state[row + layout.CURRENT])
        if current != layout.NONE:
            return self.tasks.get(current)
        first = self.tasks.get(int(self.fabric.state[row + layout.READY_HEAD]))
        return first if first is not None and first.runs else None

    def _settle(self) -> None:
        """Put spinners for mutexes to sleep, after a round of interrupt work."""
        stopped, crowded = self.fabric.take_unsettled()
        settle(self, [self.tasks[n] for n in stopped], [self.tasks[n] for n in crowded])

    def _task_ended(self, index: int) -> int:
        task = self.tasks.pop(index)
        self.foreground.pop(index, None)
        if task.held:
            raise task.error("ends while it holds a lock")
        if task.preempt_count:
            raise task.error("ends while preemption is off")
        self._numbers[task.cpu].discard(task.number)
        self.clock.senders[index] = None
        self._free.append(index)
        self.active -= task.role != "background"
        if self.active == 0 and self.until_done:
            act(self.fabric.state, layout.DO_LEAVE, task.cpu, 0)
            return layout.FINISHED
        return int(act(self.fabric.state, layout.DO_BLOCK, task.cpu, 0))

    def _not_done(self) -> SimulationError:
        waiting = ", ".join(task.place for task in list(self.foreground.values())[:MOST_NAMED])
        return SimulationError(
            f"not done after {formatting.time(longest_run(self.n_cpus))}, the longest run of"
            f" {self.n_cpus:,} CPUs: {waiting}"
        )

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
        raise DeadlockError(f"deadlock, nothing more can happen: {waits}", self.clock.quiet_since)
