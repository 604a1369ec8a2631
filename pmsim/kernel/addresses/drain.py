"""Freeing address space lazily, and who purges when too much of it has gathered.

Stands for ``free_vmap_area_noflush`` of mm/vmalloc.c and what it does above ``lazy_max_pages``: up
to 5.17 the task that freed the last area purges itself (``try_purge_vmap_area_lazy``), from 6.1 on
a work item does (``drain_vmap_area_work``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pmsim.kernel.addresses.area_locks import AreaLocks
from pmsim.kernel.addresses.purge import Purge
from pmsim.kernel.addresses.search import AddressSpace
from pmsim.kernel.calls import call
from pmsim.kernel.workqueue import Work

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.ranges import FreedArea
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.operations import OperationLog
    from pmsim.steps import Steps
    from pmsim.units import Picoseconds


class Drain(Protocol):
    """How a purge comes about."""

    def ask(self, task: Task) -> Steps:
        """There is too much: see to it that it is purged."""

    def run(self, task: Task) -> Steps:
        """Purge, as whoever does it would."""


class LazyFree:
    """What frees address space and leaves its flush to others.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._operations = context.operations
        self._locks = context.part(AreaLocks)
        self._search = context.part(AddressSpace).search
        self._purge = context.part(Purge)
        self._drain: Drain = (
            TaskDrain(context) if context.profile.purge_by == "task" else WorkDrain(context)
        )

    def free(self, task: Task, freed: FreedArea) -> Steps:
        """Count an area, put it on the list, and have that purged when there is too much on it."""
        yield from self._operations.fetch(task, self._purge.counter)
        lock = self._search.lazy_lock(freed.page)
        if lock is not None:
            yield from self._locks.stay(task, lock)
        if self._purge.put(task.cpu, freed):
            yield from self._drain.ask(task)

    def free_at_once(self, task: Task, freed: FreedArea) -> Picoseconds:
        """Do the same for a task that is alone, and return how long it takes.

        There must be room for it on the list.
        """
        lock = self._search.lazy_lock(freed.page)
        time = self._purge.counter.fetch(task.cpu)
        self._purge.put(task.cpu, freed)
        if lock is not None:
            time += self._locks.stays(1) + self._locks.fetch(task, lock)
        return time

    @call
    def drain_vmap_area(self, task: Task) -> Steps:
        """Do what is done when there is too much on the list: ``drain_vmap_area_work``."""
        operation = self._operations.begin(task, "drain_vmap_area")
        yield from self._drain.run(task)
        self._operations.end(operation)


class TaskDrain:
    """The freeing task purges, if nobody else is at it (up to 5.17).

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._operations = context.operations
        self._purge = context.part(Purge)

    def ask(self, task: Task) -> Steps:
        """Purge now, unless somebody else holds the lock: ``try_purge_vmap_area_lazy``."""
        if self._purge.purge_lock.try_lock(task):
            yield from self._operations.fetch(task, self._purge.purge_lock.data)
            yield from self._purge.purge_locked(task)
            self._purge.purge_lock.unlock(task)

    def run(self, task: Task) -> Steps:
        """Purge once, after whoever is at it."""
        return _purge_once(self._purge, self._operations, task)


class WorkDrain:
    """A work item purges (6.1 and later).

    Up to 6.8 it purges on until no more is left than may gather, later once.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._operations = context.operations
        self._workqueue = context.workqueue
        self._until_below = context.profile.purge_passes == "until_below"
        self._purge = context.part(Purge)
        self._work = Work(self.run)

    def ask(self, task: Task) -> Steps:
        """Queue the work item; the worker that purges runs before its caller goes on.

        Unless that is a worker itself: those of a CPU run one at a time, so that a work item which
        frees many areas has them all on the list by then.
        """
        if self._workqueue.schedule_work(task, self._work) and task.role != "daemon":
            yield from self._workqueue.give_way(task)

    def run(self, task: Task) -> Steps:
        """Purge: ``drain_vmap_area_work``.

        What is freed while a purge waits for the other CPUs still counts on top of what is being
        purged, so that it asks for the work again, which then finds less than the limit.
        """
        yield from _purge_once(self._purge, self._operations, task)
        while self._until_below and self._purge.due:
            yield from _purge_once(self._purge, self._operations, task)


def _purge_once(purge: Purge, operations: OperationLog, task: Task) -> Steps:
    yield from operations.lock(task, purge.purge_lock)
    yield from purge.purge_locked(task)
    purge.purge_lock.unlock(task)
