"""What CPUs may still know of processes, whose pages are known by the process only.

A change of a process's entries is known by all when a shootdown that began after it has told every
CPU that ran a thread of the process when the shootdown began.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pmsim.hardware.call_data import Unwaited
from pmsim.kernel.dropped import Dropped, Process
from pmsim.kernel.safety.violations import Hazard
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.safety.found import Found


@dataclass(slots=True, eq=False)
class _Space:
    """What is known of a process's address space: changes so far, and those that all CPUs know."""

    changes: int = 0
    known: int = 0
    missing: frozenset[CpuId] = frozenset()
    late: Mapping[CpuId, Picoseconds | Unwaited] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class _Telling:
    """A shootdown of a process that has begun, and who ran the process then."""

    process: Process
    space: _Space
    up_to: int
    running: frozenset[CpuId]


class Processes:
    """The processes of one run, as the checker knows them.

    Parameters
    ----------
    machine
        What they run on.
    found
        Where violations are noted.
    """

    def __init__(self, machine: Machine, found: Found) -> None:
        self._machine = machine
        self._found = found
        self._tellings: dict[Task, _Telling] = {}
        self._spaces: dict[Process, _Space] = {}

    def begins(self, task: Task, process: Process) -> None:
        """Note that a shootdown of a process begins."""
        space = self._space(process)
        running = self._running(process) - {task.cpu}
        self._tellings[task] = _Telling(process, space, space.changes, running)

    def about(self, task: Task) -> Dropped | None:
        """Return what the shootdown of a task is about; None where it is of no process."""
        telling = self._tellings.get(task)
        return None if telling is None else Dropped(0, 0, telling.process)

    def told(
        self,
        task: Task,
        cpus: frozenset[CpuId] | None,
        late: Mapping[CpuId, Picoseconds | Unwaited] | None = None,
    ) -> None:
        """Note that it is over: who was told (None: everybody), and who drops it only later."""
        telling = self._tellings.pop(task)
        missing = frozenset() if cpus is None else telling.running - cpus
        telling.space.missing = missing
        telling.space.late = late or {}
        if not missing:
            telling.space.known = max(telling.space.known, telling.up_to)

    def tells_by_a_note(self, task: Task) -> None:
        """Note that it is over, and that others drop what it is about at their ticks."""
        self._tellings.pop(task)

    def changed(self, process: Process) -> int:
        """Note that entries of a process are taken away or write-protected; return the change."""
        space = self._space(process)
        space.changes += 1
        return space.changes

    def relied_on(
        self, task: Task, process: Process, change: int, pages: Pages, *, freed: bool
    ) -> None:
        """Look at a process of which a task has changed pages, as it goes on or frees them."""
        space = self._space(process)
        hazard = Hazard.USE_AFTER_FREE if freed else Hazard.WRITE_AFTER_PROTECT
        if space.known >= change:
            self._found.still_late(task, hazard, -1, pages, space.late)
            return
        cpus = space.missing or self._running(process)
        self._found.on(task, hazard, -1, pages, np.array(sorted(cpus), np.int64))

    def gone(self, process: Process) -> None:
        """Note that the address space of a process has ended."""
        self._spaces.pop(process, None)

    def _running(self, process: Process) -> frozenset[CpuId]:
        """Return the CPUs that run a thread of a process now."""
        running = self._machine.running
        return frozenset(one.cpu for one in process.users if running(one.cpu) is one)

    def _space(self, process: Process) -> _Space:
        space = self._spaces.get(process)
        if space is None:
            space = self._spaces[process] = _Space()
        return space
