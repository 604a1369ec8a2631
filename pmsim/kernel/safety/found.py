"""The violations that were found: of an operation, each CPU once an instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from pmsim.hardware.call_data import Unwaited
from pmsim.kernel.safety.violations import Hazard, Violation
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.operations import OperationLog

MOST_KEPT: Final = 10_000
"""Violations that are kept as rows; beyond them they are counted."""


class Found:
    """What was found in one run.

    Parameters
    ----------
    machine
        What it runs on.
    operations
        Its log of operations.

    Attributes
    ----------
    violations, counts
        What was found, at most `MOST_KEPT`; and how much of each kind.
    """

    def __init__(self, machine: Machine, operations: OperationLog) -> None:
        self.violations: list[Violation] = []
        self.counts: Counter[Hazard] = Counter()
        self._machine = machine
        self._operations = operations
        self._noting: tuple[Hazard, int, Picoseconds] | None = None
        self._noted: set[CpuId] = set()

    def on(
        self,
        task: Task,
        hazard: Hazard,
        page: int,
        pages: Pages,
        cpus: Iterable[CpuId],
        until: Picoseconds | None = None,
        operation: int | None = None,
    ) -> list[Violation]:
        """Note a violation on each of some CPUs, from now on; return those that are new.

        By default it is of the operation that the task is in.
        """
        number = self.operation(task) if operation is None else operation
        news = self.news(hazard, number, cpus)
        found = [Violation(hazard, number, page, pages, cpu, task.now, until) for cpu in news]
        for one in found:
            self.keep(one)
        return found

    def still_late(
        self,
        task: Task,
        hazard: Hazard,
        page: int,
        pages: Pages,
        late: Mapping[CpuId, Picoseconds | Unwaited],
    ) -> None:
        """Note a violation on each CPU that drops what it was told to only later.

        One that nobody waits for may do so at a time that is not known yet.
        """
        if not late:
            return
        if self._machine.call_data is not None:
            self._machine.call_data.settle(task.now)
        now, number = task.now, self.operation(task)
        cpus = [cpu for cpu, gone in late.items() if _is_later(gone, now)]
        for cpu in self.news(hazard, number, cpus) if cpus else ():
            gone = late[cpu]
            if isinstance(gone, Unwaited):
                one = Violation(hazard, number, page, pages, cpu, now)
                gone.then(partial(_ends, one))
            else:
                one = Violation(hazard, number, page, pages, cpu, now, gone)
            self.keep(one)

    def operation(self, task: Task) -> int:
        """Return the id of the operation that a task is in; -1: none."""
        operation = self._operations.current(task)
        return -1 if operation is None else operation.id

    def news(self, hazard: Hazard, operation: int, cpus: Iterable[CpuId]) -> list[CpuId]:
        """Return the CPUs of which nothing was noted yet at this instant, for an operation.

        What it relies on may be several ranges, as an area and its aliases.
        """
        now = (hazard, operation, self._machine.now)
        if now != self._noting:
            self._noting, self._noted = now, set()
        news = [cpu for cpu in cpus if cpu not in self._noted]
        self._noted.update(news)
        return news

    def keep(self, one: Violation) -> None:
        """Count a violation, and keep its row where there is room."""
        self.counts[one.hazard] += 1
        if len(self.violations) < MOST_KEPT:
            self.violations.append(one)


def _is_later(gone: Picoseconds | Unwaited, now: Picoseconds) -> bool:
    """Return whether a CPU has not dropped something by an instant, as far as is known."""
    return gone.gone_ps is None if isinstance(gone, Unwaited) else gone > now


def _ends(violation: Violation, call: Unwaited) -> None:
    """Note that the CPU of a violation has run what nobody waited for."""
    violation.to_ps = call.gone_ps
