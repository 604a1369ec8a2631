"""Deferred work: per-CPU kernel workers.

Stands for the per-CPU pools of ``system_wq`` (kernel/workqueue.c, Linux 6.1): work runs on the CPU
that queued it, in order, and a worker that blocks does not hold up the items behind it, because the
pool starts another. A worker is a task of its CPU's run queue like any other; who wants it to run
first, as a freshly woken task does on Linux, gives way to it. Left out: unbound and high-priority
pools, the limit on active items, and the retirement of surplus workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from pmsim.hardware.locks import Completion
from pmsim.units import CpuId, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.steps import Steps

WorkFunction = Callable[["Task"], "Steps"]
"""What a work item does: a generator, given the worker that runs it."""


class Work:
    """A work item: queued at most once at a time, and never run twice at a time.

    Stands for ``struct work_struct``. Where it is queued again while it runs, the worker that runs
    it runs it once more when it is done (``find_worker_executing_work``).

    Attributes
    ----------
    function
        What it does.
    pending
        Whether it is queued and has not started; work that is running may be queued again.
    running
        Whether some worker runs it.
    """

    __slots__ = ("function", "pending", "running")

    def __init__(self, function: WorkFunction) -> None:
        self.function = function
        self.pending = False
        self.running = False

    def run(self, task: Task) -> Steps:
        """Run the item, as often as it is queued until it is done."""
        self.running = True
        while self.pending:
            # From its first step on it may be queued again.
            self.pending = False
            yield from self.function(task)
        self.running = False


class Workqueue:
    """The workers of every CPU, made when first needed.

    Parameters
    ----------
    machine
        Where the workers run, as daemons.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._pools: dict[CpuId, _Pool] = {}
        # CPUs on which another CPU has woken a worker that has not begun.
        self._woken: set[CpuId] = set()

    def queue_work(self, task: Task, function: WorkFunction) -> None:
        """Let a worker on the caller's CPU run ``function`` soon."""
        self._pool(task.cpu).add(function)

    def queue_work_on(self, cpu: CpuId, function: WorkFunction) -> None:
        """Let a worker on a CPU run ``function`` soon: ``schedule_work_on``.

        Before what runs there, if that comes to a `cond_resched`.
        """
        self._pool(cpu).add(function)
        self._woken.add(cpu)

    def schedule_on_each_cpu(self, task: Task, function: WorkFunction) -> Steps:
        """Let a worker on every CPU run ``function``, and return when all have."""
        done = Completion(self._machine, "work on each CPU")

        def counted(worker: Task) -> Steps:
            yield from function(worker)
            done.complete()

        cpus = range(self._machine.n_cpus)
        for cpu in cpus:
            self.queue_work_on(cpu, counted)
        for _ in cpus:
            yield from done.wait(task)

    def schedule_work(self, task: Task, work: Work) -> bool:
        """Queue a work item on the caller's CPU, or behind itself; return False if it is queued."""
        if work.pending:
            return False
        work.pending = True
        if not work.running:
            self._pool(task.cpu).add(work.run)
        return True

    def queue_delayed(self, task: Task, function: WorkFunction, delay: Picoseconds) -> None:
        """Let a worker on the caller's CPU run ``function`` when ``delay`` is over.

        Until then there is but a timer (``queue_delayed_work``, ``delayed_work_timer_fn``). The
        worker counts as active all the while, so that a run until everything is done waits.
        """
        self._pool(task.cpu).add_later(function, delay)

    def give_way(self, task: Task) -> Steps:
        """Return once a worker of the caller's CPU has begun with what was queued.

        Stands for wake-up preemption (kernel/sched/fair.c, ``check_preempt_wakeup``): a worker that
        has slept for long runs before the task that woke it. The run queue of the machine model has
        none, and would let that task go on for the rest of its quantum.
        """
        return self._pool(task.cpu).wait_for_begin(task)

    def cond_resched(self, task: Task) -> Iterable[Any]:
        """Give way to a worker that another CPU has woken on the caller's CPU, if there is one."""
        if task.cpu not in self._woken:
            return ()
        self._woken.remove(task.cpu)
        return self.give_way(task)

    def _pool(self, cpu: CpuId) -> _Pool:
        if cpu not in self._pools:
            self._pools[cpu] = _Pool(self._machine, cpu)
        return self._pools[cpu]


class _Pool:
    """Workers and queue of one CPU."""

    def __init__(self, machine: Machine, cpu: CpuId) -> None:
        self._machine = machine
        self._cpu = cpu
        self._queue: deque[WorkFunction] = deque()
        self._more = Completion(machine, f"kworker/{cpu} work")
        self._begun = Completion(machine, f"kworker/{cpu} to begin")
        self._giving_way = 0
        # Workers that had delayed work and have none now: each one's timer, and what it will bring.
        self._parked: list[tuple[Completion, list[WorkFunction]]] = []
        self._idle = 0
        self._workers = 0

    def add(self, function: WorkFunction) -> None:
        self._queue.append(function)
        if self._idle < len(self._queue):
            self._idle += 1
            self._spawn(self._worker)
        self._more.complete()

    def add_later(self, function: WorkFunction, delay: Picoseconds) -> None:
        for number, (timer, due) in enumerate(self._parked):
            if timer.waited_for:
                del self._parked[number]
                due.append(function)
                timer.complete(delay)
                return
        self._spawn(partial(self._late_worker, function), delay)

    def _late_worker(self, function: WorkFunction, task: Task) -> Steps:
        timer, due = Completion(self._machine, f"{task.name} timer"), [function]
        while True:
            yield from due.pop()(task)
            self._parked.append((timer, due))
            yield from timer.wait(task)

    def _spawn(self, body: WorkFunction, delay: Picoseconds = 0) -> None:
        name = f"kworker/{self._cpu}:{self._workers}"
        self._workers += 1
        self._machine.spawn(self._cpu, body, name=name, role="daemon", delay=delay)

    def wait_for_begin(self, task: Task) -> Steps:
        if self._queue:
            self._giving_way += 1
            yield from self._begun.wait(task)

    def _worker(self, task: Task) -> Steps:
        while True:
            yield from self._more.wait(task)
            self._idle -= 1
            function = self._queue.popleft()
            while self._giving_way and not self._queue:
                self._giving_way -= 1
                self._begun.complete()
            yield from function(task)
            self._idle += 1
