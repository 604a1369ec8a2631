"""Who purges when too much address space has been freed lazily.

Stands for what ``free_vmap_area_noflush`` of mm/vmalloc.c does above ``lazy_max_pages``: up to 5.17
the task that freed the last area purges itself (``try_purge_vmap_area_lazy``), from 6.1 on a work
item does (``drain_vmap_area_work``).
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Protocol

from pmsim.kernel.workqueue import Work, Workqueue

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.purge import Purge
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.profile import KernelProfile


class Drain(Protocol):
    """How a purge comes about."""

    def ask(self, task: Task) -> Steps:
        """There is too much: see to it that it is purged."""

    def run(self, task: Task) -> Steps:
        """Purge, as whoever does it would."""


def drain_by(
    purge: Purge, profile: KernelProfile, operations: OperationLog, workqueue: Workqueue
) -> Drain:
    """Return how this kernel drains its lazy list."""
    if profile.purge_by == "task":
        return TaskDrain(purge, operations)
    until_below = profile.purge_passes == "until_below"
    return WorkDrain(purge, operations, workqueue, until_below)


class TaskDrain:
    """The freeing task purges, if nobody else is at it (up to 5.17).

    Parameters
    ----------
    purge, operations
        The list, and where time is charged.
    """

    def __init__(self, purge: Purge, operations: OperationLog) -> None:
        self._purge = purge
        self._operations = operations

    def ask(self, task: Task) -> Steps:
        """Purge now, unless somebody else holds the lock: ``try_purge_vmap_area_lazy``."""
        if self._purge.purge_lock.try_lock(task):
            yield from self._purge.purge_locked(task)
            self._purge.purge_lock.unlock(task)

    def run(self, task: Task) -> Steps:
        """Purge once, after whoever is at it."""
        return _purge_once(self._purge, self._operations, task)


class WorkDrain:
    """A work item purges (6.1 and later).

    Parameters
    ----------
    purge, operations, workqueue
        The list, where time is charged, and the workers.
    until_below
        Whether it purges on until no more is left than may gather (up to 6.8), or once.
    """

    def __init__(
        self, purge: Purge, operations: OperationLog, workqueue: Workqueue, until_below: bool
    ) -> None:
        self._purge = purge
        self._operations = operations
        self._workqueue = workqueue
        self._until_below = until_below
        self._work = Work(self.run)

    def ask(self, task: Task) -> Steps:
        """Queue the work item; the worker that purges runs before its caller goes on.

        Unless that is a worker itself: those of a CPU run one at a time, so that a work item which
        frees many areas has them all on the list by then.
        """
        if self._workqueue.schedule_work(task, self._work) and task.role != "daemon":
            yield from self._workqueue.give_way(task)

    def run(self, task: Task) -> Generator[Any, Any, None]:
        """Purge: ``drain_vmap_area_work``.

        What is freed while a purge waits for the other CPUs still counts on top of what is being
        purged, so that it asks for the work again, which then finds less than the limit.
        """
        yield from _purge_once(self._purge, self._operations, task)
        while self._until_below and self._purge.lazy_pages > self._purge.lazy_max_pages:
            yield from _purge_once(self._purge, self._operations, task)


def _purge_once(purge: Purge, operations: OperationLog, task: Task) -> Steps:
    yield from operations.lock(task, purge.purge_lock)
    yield from purge.purge_locked(task)
    purge.purge_lock.unlock(task)
