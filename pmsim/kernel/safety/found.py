"""The violations that were found: of an operation, each CPU once an instant.

They are rows of an array, as of one change there may be one on each of thousands of CPUs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.call_data import Unwaited
from pmsim.hardware.passes import layout
from pmsim.hardware.passes.jit import compile_entry
from pmsim.hardware.passes.waits import (
    ENTRIES,
    FOUND_ROW,
    T_COUNTS,
    T_INSTANT,
    T_KEPT,
    V_CPU,
    V_FROM,
    V_HAZARD,
    V_OPERATION,
    V_PAGE,
    V_PAGES,
    V_TO,
    note_violations,
)
from pmsim.kernel.safety.violations import Hazard, Violation
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.operations import OperationLog

Ints = npt.NDArray[np.int64]

MOST_KEPT: Final = 10_000
"""Violations that are kept as rows; beyond them they are counted."""

_IN_ORDER: Final = (V_FROM, V_OPERATION, V_HAZARD, V_PAGE, V_CPU, V_PAGES, V_TO)
"""Columns by which rows are sorted, the first one first."""

_UNKNOWN: Final = np.empty(0, np.int64)


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
    rows, tally, noted
        The violations, at most `MOST_KEPT`, how many there are, and of which CPUs one was noted at
        this instant; as in `pmsim.hardware.passes.waits`.
    """

    def __init__(self, machine: Machine, operations: OperationLog) -> None:
        self.rows: Ints = np.empty((0, FOUND_ROW), np.int64)
        self.tally: Ints = np.zeros(T_COUNTS + len(Hazard), np.int64)
        self.noted: Ints = np.zeros(machine.n_cpus, np.int64)
        self._machine = machine
        self._operations = operations
        self._noting: tuple[Hazard, int, Picoseconds] | None = None

    @property
    def violations(self) -> list[Violation]:
        """What was found, as far as it is kept, by when each began: not by when it was noticed."""
        kept = self.rows[: self.tally[T_KEPT]]
        kept = kept[np.lexsort([kept[:, column] for column in reversed(_IN_ORDER)])].tolist()
        return [
            Violation(Hazard(hazard), of, page, pages, cpu, since, None if until < 0 else until)
            for hazard, of, page, pages, cpu, since, until in kept
        ]

    @property
    def counts(self) -> Counter[Hazard]:
        """How much was found of each kind."""
        numbers = self.tally[T_COUNTS:].tolist()
        return Counter({hazard: numbers[hazard] for hazard in Hazard if numbers[hazard]})

    def on(
        self,
        task: Task,
        hazard: Hazard,
        page: int,
        pages: Pages,
        cpus: Ints,
        operation: int | None = None,
    ) -> None:
        """Note a violation on each of some CPUs, from now on, where it is new.

        By default it is of the operation that the task is in.
        """
        number = self.operation(task) if operation is None else operation
        self._note(hazard, number, page, pages, cpus, task.now, _UNKNOWN)

    def until(
        self, task: Task, hazard: Hazard, page: int, pages: Pages, cpus: Ints, until: Ints
    ) -> None:
        """Note the same on CPUs of which it is known when it ends there."""
        self._note(hazard, self.operation(task), page, pages, cpus, task.now, until)

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
        now = task.now
        later = {cpu: gone for cpu, gone in late.items() if _is_later(gone, now)}
        calls = {cpu: gone for cpu, gone in later.items() if isinstance(gone, Unwaited)}
        if not calls:
            if later:
                cpus, until = (np.array([*of]) for of in (later, later.values()))
                self.until(task, hazard, page, pages, cpus, until)
            return
        number = self.operation(task)
        for cpu, gone in later.items():
            until = _UNKNOWN if cpu in calls else np.array([gone])
            row = self._note(hazard, number, page, pages, np.array([cpu]), now, until)
            if cpu in calls and row >= 0:
                calls[cpu].then(partial(self._ends, row))

    def operation(self, task: Task) -> int:
        """Return the id of the operation that a task is in; -1: none."""
        operation = self._operations.current(task)
        return -1 if operation is None else operation.id

    def begin(self, hazard: Hazard, operation: int, now: Picoseconds) -> None:
        """Begin to note violations of an operation, or go on with it if nothing came in between.

        What it relies on may be several ranges, as an area and its aliases: at one instant each CPU
        is noted once.
        """
        noting = (hazard, operation, now)
        if noting != self._noting:
            self._noting = noting
            self.tally[T_INSTANT] += 1
            self._make_room()

    def keep(self, one: Violation) -> None:
        """Count a violation, and keep its row where there is room."""
        self._make_room()
        self.tally[T_COUNTS + one.hazard] += 1
        row = self.tally[T_KEPT]
        if row < MOST_KEPT:
            until = layout.NONE if one.to_ps is None else one.to_ps
            self.rows[row] = (
                one.hazard, one.operation, one.page, one.pages, one.cpu, one.from_ps, until
            )  # fmt: skip
            self.tally[T_KEPT] += 1

    def _make_room(self) -> None:
        """Make room for rows: most runs need none."""
        if not len(self.rows):
            self.rows = np.empty((MOST_KEPT, FOUND_ROW), np.int64)
            for entry in ENTRIES:
                compile_entry(entry)

    def _note(
        self,
        hazard: Hazard,
        operation: int,
        page: int,
        pages: Pages,
        cpus: Ints,
        now: Picoseconds,
        until: Ints,
    ) -> int:
        """Note violations; return the row of the last one that is kept."""
        self.begin(hazard, operation, now)
        row: int = note_violations(
            self.rows, self.tally, self.noted, cpus, until, int(hazard), operation, page, pages, now
        )
        return row

    def _ends(self, row: int, call: Unwaited) -> None:
        """Note that the CPU of a violation has run what nobody waited for."""
        assert call.gone_ps is not None
        self.rows[row, V_TO] = call.gone_ps


def _is_later(gone: Picoseconds | Unwaited, now: Picoseconds) -> bool:
    """Return whether a CPU has not dropped something by an instant, as far as is known."""
    return gone.gone_ps is None if isinstance(gone, Unwaited) else gone > now
