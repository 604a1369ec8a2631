"""A CPU as a workload's task sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pmsim import units
from pmsim.workloads.failure import Failure

if TYPE_CHECKING:
    # Imported for their names only: reading a scenario must not load the compiled hardware.
    import numpy as np

    from pmsim.hardware.task import Task
    from pmsim.steps import Steps
    from pmsim.workloads.locks import Locks


class Windows:
    """How long the tasks of a run kept interrupts off by `Cpu.irqs_off`, all together."""

    def __init__(self) -> None:
        self._ended_ps = 0
        self._open: dict[Cpu, tuple[int, int]] = {}

    def begin(self, cpu: Cpu, now: int, length: int) -> None:
        """Count a window that a task has just asked for."""
        self._open[cpu] = (now, length)

    def end(self, cpu: Cpu) -> None:
        """Count the window of a task as over."""
        self._ended_ps += self._open.pop(cpu)[1]

    def until(self, now: int) -> int:
        """Return the time spent in them until an instant, in picoseconds.

        A window that a run's end cuts is counted from when it was asked for.
        """
        return self._ended_ps + sum(self._so_far(window, now) for window in self._open.values())

    def open_for(self, cpu: Cpu, now: int) -> int:
        """Return how much of that a task spent in the window that it is in, if it is in one."""
        window = self._open.get(cpu)
        return 0 if window is None else self._so_far(window, now)

    @staticmethod
    def _so_far(window: tuple[int, int], now: int) -> int:
        asked, length = window
        return min(length, now - asked)


class Cpu:
    """What a task may do to its CPU, and ask of it.

    Times are given in picoseconds or as text with a unit.

    Attributes
    ----------
    task
        The machine's task, for what this handle does not offer.
    locks
        The locks that the workloads of a run share.
    """

    def __init__(
        self,
        task: Task,
        locks: Locks,
        windows: Windows,
        rng: Callable[[str], np.random.Generator],
        failures: list[Failure],
    ) -> None:
        self.task = task
        self.locks = locks
        self._work_ps = 0
        self._asked_ps = 0
        self._windows_ps = 0
        self._windows = windows
        self._failures = failures
        self._rng = rng
        self._streams: dict[str, np.random.Generator] = {}

    @property
    def id(self) -> int:
        """The number of the CPU."""
        return self.task.cpu

    @property
    def now(self) -> int:
        """The simulated time in picoseconds."""
        return self.task.now

    def rng(self, purpose: str) -> np.random.Generator:
        """Return the stream of random numbers for one purpose.

        It depends on the scenario's seed, the replication, the workload's name and the purpose
        alone, so that the draws for one purpose do not move those for another. Asking again
        returns the same generator, which goes on where it was.
        """
        if purpose not in self._streams:
            self._streams[purpose] = self._rng(purpose)
        return self._streams[purpose]

    def compute(self, time: int | str) -> Steps:
        """Need so much of the CPU's time."""
        ps = _picoseconds(time)
        self._asked_ps = ps
        yield from self.task.compute(ps)
        self._work_done(ps)

    def user_compute(self, time: int | str) -> Steps:
        """Need so much of the CPU's time in user mode."""
        ps = _picoseconds(time)
        self._asked_ps = ps
        yield from self.task.user_compute(ps)
        self._work_done(ps)

    def _work_done(self, ps: int) -> None:
        self._asked_ps = 0
        self._work_ps += ps

    def work_until_now(self, stolen: int) -> int:
        """Return the work that its calls of these two got done, in picoseconds.

        Parameters
        ----------
        stolen
            Time stolen from the CPU up to now, as the machine's accounts tell it.
        """
        if not self._asked_ps:
            return self._work_ps
        left = self.task.work_left(stolen)
        return self._work_ps + (0 if left is None else self._asked_ps - left)

    def irqs_off(self, time: int | str) -> Steps:
        """Keep interrupts off for so long."""
        ps = _picoseconds(time)
        self._windows.begin(self, self.now, ps)
        yield from self.task.irqs_off(ps)
        self._windows.end(self)
        self._windows_ps += ps

    def preempt_disable(self) -> Steps:
        """Keep the CPU until `preempt_enable`, also when the quantum is over; it nests.

        What may put the task to sleep, as taking a mutex of the kernel, is an error until then.
        """
        yield from self.task.preempt_disable()

    def preempt_enable(self) -> None:
        """Let others have the CPU again, from the next step on; takes no time."""
        self.task.preempt_enable()

    def windows_until(self, now: int) -> int:
        """Return the time spent in windows of `irqs_off` until an instant, in picoseconds."""
        return self._windows_ps + self._windows.open_for(self, now)

    def sleep(self, time: int | str) -> Steps:
        """Give the CPU up for so long."""
        yield from self.task.sleep(_picoseconds(time))

    def sleep_until(self, instant: int) -> Steps:
        """Give the CPU up until an instant in picoseconds; go on at once where it is past."""
        if instant > self.now:
            yield from self.task.sleep(instant - self.now)

    def report_failure(self, kind: str, detail: str) -> None:
        """Record that the kernel refused something; it appears in the results, and the run goes on.

        Parameters
        ----------
        kind
            A short name, the same for all failures of one sort, such as ``"load_module"``.
        detail
            What happened, in words.
        """
        task = self.task
        self._failures.append(Failure(self.now, task.name, task.cpu, task.number, kind, detail))


def _picoseconds(time: int | str) -> int:
    """Return a time in picoseconds, at most that of the longest run."""
    ps = time if isinstance(time, int) and time >= 0 else units.as_time(time)
    return min(ps, units.LONGEST_RUN)
