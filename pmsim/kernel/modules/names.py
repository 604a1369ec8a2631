"""Who has the name of a module: one that is loaded, or one that is being loaded.

Stands for ``add_unformed_module`` and ``finished_loading`` (kernel/module.c, Linux 4.16;
kernel/module/main.c, 6.1), for ``module_patient_check_exists`` (6.6), and for ``idempotent`` (6.5
and later), by which those who ask for a file that is being loaded wait for that load and share what
becomes of it.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from pmsim.hardware.locks import Completion

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.locks import KernelMutex
    from pmsim.kernel.operations import OperationLog
    from pmsim.steps import Steps

_Outcome = TypeVar("_Outcome")

EBUSY: Final = 16
"""Device or resource busy (include/uapi/asm-generic/errno-base.h); calls return it negated."""
EEXIST: Final = 17
"""File exists."""


class Event:
    """Something that happens once, for which any number of tasks may wait.

    Parameters
    ----------
    machine
        Where they sleep.
    name
        What error messages call it.

    Attributes
    ----------
    happened
        Whether it has happened.
    """

    __slots__ = ("_completion", "_waiting", "happened")

    def __init__(self, machine: Machine, name: str) -> None:
        self.happened = False
        self._completion = Completion(machine, name)
        self._waiting = 0

    def wait(self, task: Task) -> Steps:
        """Return once it has happened."""
        if not self.happened:
            self._waiting += 1
            yield from self._completion.wait(task)

    def happen(self) -> None:
        """Wake everybody who waits, in the order in which they came."""
        self.happened = True
        for _ in range(self._waiting):
            self._completion.complete()
        self._waiting = 0


class ModuleNames:
    """The names that are taken.

    Parameters
    ----------
    machine
        Where tasks wait for each other.
    module_mutex
        Held while the list of modules is looked at.
    operations
        Where waiting for the mutex is charged.
    retries
        Whether who waited for a load that failed tries again; if not, it fails too.
    """

    def __init__(
        self,
        machine: Machine,
        module_mutex: KernelMutex,
        operations: OperationLog,
        *,
        retries: bool,
    ) -> None:
        self._machine = machine
        self._mutex = module_mutex
        self._operations = operations
        self._retries = retries
        self._loading: dict[str, Event] = {}
        self._live: set[str] = set()

    def check(self, task: Task, name: str | None) -> Generator[Any, Any, int]:
        """Wait until nobody is loading a module of this name.

        Returns
        -------
        int
            0 if the name is free; -`EEXIST` if the module is live; -`EBUSY` if the load that this
            one waited for has failed.
        """
        return self._look(task, name, claim=False)

    def claim(self, task: Task, name: str | None) -> Generator[Any, Any, int]:
        """Take a name for a module that is being loaded; see `check`.

        A module without a name takes none, but the list is locked for it like for any other.
        """
        return self._look(task, name, claim=True)

    def loaded(self, name: str | None, *, live: bool) -> None:
        """Note that a load is over, and wake those who wait for that."""
        if name is not None:
            if live:
                self._live.add(name)
            self._loading.pop(name).happen()

    def unloaded(self, name: str | None) -> None:
        """Note that a live module is gone."""
        if name is not None:
            self._live.discard(name)

    def _look(self, task: Task, name: str | None, *, claim: bool) -> Generator[Any, Any, int]:
        status = 0
        yield from self._operations.lock(task, self._mutex)
        if name is not None:
            status = yield from self._wait(task, name)
            if claim and not status:
                self._loading[name] = Event(self._machine, f"the loading of {name}")
        self._mutex.unlock(task)
        return status

    def _wait(self, task: Task, name: str) -> Generator[Any, Any, int]:
        """Wait for a load of this name that is under way; the mutex is held before and after."""
        waited = False
        while name in self._loading and (self._retries or not waited):
            loading = self._loading[name]
            self._mutex.unlock(task)
            yield from loading.wait(task)
            yield from self._operations.lock(task, self._mutex)
            waited = True
        if name in self._live:
            return -EEXIST
        return -EBUSY if waited and not self._retries else 0


@dataclass(slots=True)
class _SharedLoad(Generic[_Outcome]):
    """A load that others may wait for: its end, and then its one outcome."""

    end: Event
    outcomes: list[_Outcome]


class SharedLoads(Generic[_Outcome]):
    """Loads of files that are under way, for others to wait for.

    Parameters
    ----------
    machine
        Where tasks wait for each other.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._under_way: dict[str, _SharedLoad[_Outcome]] = {}

    def run(
        self, task: Task, name: str, load: Generator[Any, Any, _Outcome]
    ) -> Generator[Any, Any, tuple[_Outcome, bool]]:
        """Do what ``load`` does, unless that is under way for this name: then wait for its end.

        Returns
        -------
        tuple
            The outcome, and whether it is another task's (``idempotent_wait_for_completion``).
        """
        other = self._under_way.get(name)
        if other is not None:
            load.close()
            yield from other.end.wait(task)
            return other.outcomes[0], True
        mine = _SharedLoad[_Outcome](Event(self._machine, f"the end of loading {name}"), [])
        self._under_way[name] = mine
        mine.outcomes.append((yield from load))
        del self._under_way[name]
        mine.end.happen()
        return mine.outcomes[0], False
