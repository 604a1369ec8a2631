"""The log of kernel operations: what each call took, and where its time went.

Every kernel function that does work notes it here as it happens, so that an operation's cost is a
by-product of the walk through the kernel and never a second bookkeeping.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from pmsim.errors import ProgramError
from pmsim.kernel.dropped import Dropped, Watcher
from pmsim.kernel.operation_rows import OperationRows, Sink
from pmsim.steps import Steps
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.shootdown.protocol import Protocol as ShootdownProtocol
    from pmsim.hardware.shootdown.tlbi import Invalidation
    from pmsim.hardware.task import Task
    from pmsim.hardware.tlb import FlushFunction
    from pmsim.kernel.locks import SharedLines

NO_OPERATION: Final = -1
"""The id that stands for "no operation"."""


class Lock(Protocol):
    """A mutex or a spinlock of the kernel.

    Attributes
    ----------
    data
        What whoever takes it has to fetch.
    may_sleep
        Whether who finds it held may have to sleep.
    """

    data: SharedLines
    may_sleep: bool

    def lock(self, task: Task) -> Steps:
        """Return when ``task`` owns the lock."""

    def try_lock(self, task: Task) -> bool:
        """Take the lock if it is free; return whether it was."""

    def unlock(self, task: Task) -> None:
        """Hand the lock on, in no time."""


class Operation:
    """One call of the kernel that is under way.

    Attributes
    ----------
    id
        Counted from 0 in order of begin.
    parent
        The operation of the same task inside which this one began, if any.
    pages
        Pages it is about; may be set until the operation ends.
    page, crosscalls, run_ps, lock_wait_ps, crosscall_ps
        As in `OPERATION_COLUMNS`, so far.
    """

    # Of the class until they are first added to: most operations never make or wait for anything.
    page = -1
    crosscalls = 0
    lock_wait_ps = 0
    crosscall_ps = 0

    def __init__(
        self, number: int, parent: Operation | None, kind: str, task: Task, pages: Pages
    ) -> None:
        self.id = number
        self.parent = parent
        self.kind = kind
        self.task = task
        self.pages = pages
        self.start_ps = task.now
        self.run_ps = 0


class OperationLog:
    """Notes operations as they begin and end, nested within each task.

    Parameters
    ----------
    sink
        Receives the rows in chunks, in order of end; None keeps no rows. An operation that has not
        ended when a run is cut has no row.
    chunk
        Rows of a chunk.

    Attributes
    ----------
    watcher
        Who is told of shootdowns.

    Notes
    -----
    Stands for nothing in the kernel.
    """

    def __init__(self, sink: Sink | None = None, chunk: int = 32_768) -> None:
        self._rows = None if sink is None else OperationRows(sink, chunk)
        self.watcher: Watcher | None = None
        self._begun = 0
        self._current: dict[Task, Operation | None] = {}
        self._irqs_off: set[Task] = set()

    @property
    def begun(self) -> int:
        """How many operations have begun."""
        return self._begun

    def current(self, task: Task) -> Operation | None:
        """Return the innermost operation that ``task`` is in."""
        return self._current.get(task)

    def doing(self, task: Any) -> str:
        """Return the kind of the innermost operation that ``task`` is in; "" outside of any."""
        current = self._current.get(task)
        return "" if current is None else current.kind

    def begin(self, task: Task, kind: str, pages: Pages = 0) -> Operation:
        """Note that ``task`` begins an operation, inside the one that it is in."""
        current, number = self._current, self._begun
        self._begun = number + 1
        current[task] = operation = Operation(number, current.get(task), kind, task, pages)
        return operation

    @property
    def next_id(self) -> int:
        """The id of the operation that begins next."""
        return self._begun

    def end(self, operation: Operation) -> None:
        """Note that an operation ends now; it must be the innermost one of its task.

        Raises
        ------
        ProgramError
            If the task is inside another operation.
        """
        task = operation.task
        if self._current.get(task) is not operation:
            raise ProgramError(
                f"operation {operation.kind} ends while another is under way", task.now, task.name
            )
        parent = operation.parent
        self._current[task] = parent
        if parent is not None:
            parent.crosscalls += operation.crosscalls
            parent.run_ps += operation.run_ps
            parent.lock_wait_ps += operation.lock_wait_ps
            parent.crosscall_ps += operation.crosscall_ps
        rows = self._rows
        if rows is not None:
            counted = (
                operation.pages,
                operation.page,
                operation.crosscalls,
                operation.run_ps,
                operation.lock_wait_ps,
                operation.crosscall_ps,
            )
            above = NO_OPERATION if parent is None else parent.id
            rows.keep(task, operation.kind, operation.id, above, operation.start_ps, counted)

    def note(self, task: Task, kind: str, pages: Pages, page: int, ps: Picoseconds) -> None:
        """Note an operation that takes a task, which `is_alone`, nothing but ``ps`` of computing.

        What `begin`, `compute` and `end` do, in one step and without waiting.
        """
        start, number = task.now, self._begun
        if task.begin_kernel_compute(ps):
            raise RuntimeError(f"{task.place} was not alone")
        self._begun = number + 1
        parent = self._current.get(task)
        if parent is not None:
            parent.run_ps += ps
        rows = self._rows
        if rows is not None:
            above = NO_OPERATION if parent is None else parent.id
            rows.keep(task, kind, number, above, start, (pages, page, 0, ps, 0, 0))

    def flush(self) -> None:
        """Hand the rows that have gathered to the sink."""
        if self._rows is not None:
            self._rows.flush()

    def compute(self, task: Task, ps: Picoseconds) -> Iterable[Any]:
        """Do the kernel's work for ``ps`` of CPU time, charged to the operation of ``task``."""
        operation = self._current.get(task)
        if operation is not None:
            operation.run_ps += ps
        if not ps:
            return ()
        if self._irqs_off and task in self._irqs_off:
            return task.irqs_off(ps)
        return task.begin_kernel_compute(ps)

    def is_alone(self, task: Task, ps: Picoseconds) -> bool:
        """Return whether nobody can notice that a task computes for ``ps``; see `Task.is_alone`.

        A task that computes with interrupts off is never taken to be alone.
        """
        return task not in self._irqs_off and task.is_alone(ps)

    def local_irq_save(self, task: Task) -> None:
        """Let what ``task`` computes from now on be done with interrupts off, each piece by itself.

        A handler that is due may start between two pieces.
        """
        self._irqs_off.add(task)

    def local_irq_restore(self, task: Task) -> None:
        """Let ``task`` compute with interrupts on again."""
        self._irqs_off.remove(task)

    def lock(self, task: Task, lock: Lock, work: Picoseconds = 0) -> Iterable[Any]:
        """Take a lock, fetch what it guards, and compute for ``work`` under it.

        The time until it is owned is charged as waiting for locks; fetching is work.
        """
        allowed = not task.preempt_count or not lock.may_sleep
        if task.keeps_turn and allowed and lock.try_lock(task):
            return self.fetch(task, lock.data, work)
        return self._wait_for(task, lock, work)

    def fetch(self, task: Task, data: SharedLines, work: Picoseconds = 0) -> Iterable[Any]:
        """Compute as long as it takes to fetch what another CPU wrote last, and for ``work``."""
        time = data.fetch(task.cpu) + work
        return self.compute(task, time) if time else ()

    def _wait_for(self, task: Task, lock: Lock, work: Picoseconds) -> Steps:
        start = task.now
        yield from lock.lock(task)
        operation = self._current.get(task)
        if operation is not None:
            operation.lock_wait_ps += task.now - start
        yield from self.fetch(task, lock.data, work)

    def flush_own_cpu(
        self, task: Task, function: FlushFunction, what: Dropped | None = None
    ) -> Steps:
        """Run a flush function on the task's own CPU alone, interrupts off; no call is made."""
        yield from task.boundary()
        operation = self._current.get(task)
        if operation is not None:
            operation.run_ps += function.cost
        watcher = None if what is None else self.watcher
        if watcher is not None and what is not None:
            watcher.begins(task, what)
        yield from task.flush_own_cpu(function)
        if watcher is not None:
            watcher.flushed_own(task)

    def cross_call(
        self,
        task: Task,
        function: FlushFunction,
        cause: int,
        pages: Pages = -1,
        targets: Sequence[CpuId] | None = None,
        what: Dropped | None = None,
    ) -> Steps:
        """Call a function on every other online CPU, idle ones too, and on this one; wait for all.

        Parameters
        ----------
        task
            Who calls.
        function
            What each CPU runs.
        cause
            Why (`pmsim.kernel.tlbflush.Cause`).
        pages
            The span that was asked for; -1 is everything.
        targets
            The CPUs to call instead of every one.
        what
            What it drops; None: nothing of which anybody keeps account.
        """
        yield from task.boundary()
        start = task.now
        watcher = None if what is None else self.watcher
        if watcher is not None and what is not None:
            watcher.begins(task, what)
        operation = self._current.get(task)
        number = NO_OPERATION if operation is None else operation.id
        yield from task.cross_call(
            function, cause=cause, operation=number, pages=pages, targets=targets
        )
        if watcher is not None:
            watcher.called(task, targets)
        if operation is not None:
            operation.crosscalls += 1
            operation.crosscall_ps += task.now - start

    def free_lazily(
        self,
        task: Task,
        function: FlushFunction,
        causes: tuple[int, int],
        pages: tuple[Pages, Pages],
        targets: Sequence[CpuId],
        what: Dropped,
    ) -> Generator[Any, Any, bool]:
        """Flush the caller's CPU and leave others a note; counts as a cross-call, which it may be.

        Parameters
        ----------
        task
            Who frees pages of user space.
        function
            What each CPU runs that is called, and the caller's.
        causes
            Why; and why they are called where the ring of the caller's CPU is full.
        pages
            How many are unmapped, and how many of them freed.
        targets
            The CPUs that may hold their translations.
        what
            Whose pages they are.

        Returns
        -------
        bool
            Whether the others drop them later.
        """
        yield from task.boundary()
        start = task.now
        operation = self._current.get(task)
        number = NO_OPERATION if operation is None else operation.id
        if self.watcher is not None:
            self.watcher.begins(task, what)
        later = yield from task.free_lazily(
            function,
            cause=causes[0],
            if_full=causes[1],
            operation=number,
            pages=pages[0],
            targets=targets,
        )
        if self.watcher is not None and later:
            self.watcher.noted(task, targets, pages[1])
        elif self.watcher is not None:
            self.watcher.called(task, targets)
        if operation is not None:
            operation.crosscalls += 1
            operation.crosscall_ps += task.now - start
        return later

    def invalidate(
        self,
        task: Task,
        invalidation: Invalidation,
        cause: int,
        pages: Pages = -1,
        what: Dropped | None = None,
    ) -> Steps:
        """Have the hardware invalidate on every CPU and wait for it; counts as a cross-call.

        Parameters
        ----------
        task
            Who asks.
        invalidation
            What goes out.
        cause, pages, what
            As in `cross_call`.
        """
        yield from task.boundary()
        start = task.now
        watcher = None if what is None else self.watcher
        if watcher is not None and what is not None:
            watcher.begins(task, what)
        operation = self._current.get(task)
        number = NO_OPERATION if operation is None else operation.id
        yield from task.invalidate(invalidation, cause=cause, operation=number, pages=pages)
        if watcher is not None:
            watcher.invalidated(task)
        if operation is not None:
            operation.crosscalls += 1
            operation.crosscall_ps += task.now - start

    def wait_for_holders(
        self,
        task: Task,
        protocol: ShootdownProtocol,
        cause: int,
        pages: Pages,
        what: Dropped | None = None,
        holders: Sequence[CpuId] | None = None,
    ) -> Steps:
        """Have hardware that knows the holders tell them; counts as a cross-call.

        Parameters
        ----------
        task
            Who asks.
        protocol
            In which way.
        cause, pages, what
            As in `cross_call`.
        holders
            The other CPUs that hold it; None: all.
        """
        yield from task.boundary()
        start = task.now
        watcher = None if what is None else self.watcher
        if watcher is not None and what is not None:
            watcher.begins(task, what)
        operation = self._current.get(task)
        number = NO_OPERATION if operation is None else operation.id
        yield from task.wait_for_holders(
            protocol, pages, cause=cause, operation=number, holders=holders
        )
        if watcher is not None:
            watcher.invalidated(task)
        if operation is not None:
            operation.crosscalls += 1
            operation.crosscall_ps += task.now - start
