"""Who runs replications: this process, processes of this computer, or a Dask cluster.

All of them are `concurrent.futures` executors, and give the same rows bit for bit: a replication
depends on its scenario and its number alone.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Executor, Future
from typing import Any, Final, ParamSpec, Protocol, TypeVar

from pmsim.experiments.replicate import tidy

P = ParamSpec("P")
T = TypeVar("T")

AHEAD: Final = 2
"""Jobs handed in for each that can run: no worker waits, and an interrupt gives few of them up."""
WATCH_S: Final = 1.0
"""How often a worker looks whether the process that it works for is still there."""


class Workers(Protocol):
    """Runs jobs somewhere, several at a time."""

    @property
    def slots(self) -> int:
        """How many jobs run at the same time; it may change while they do."""
        ...

    @property
    def window(self) -> int:
        """How many jobs are handed in at the same time."""
        ...

    @property
    def executor(self) -> Executor:
        """Where jobs are handed in."""
        ...

    @property
    def deaths(self) -> tuple[type[BaseException], ...]:
        """The exceptions that say that a worker died, and not that a job failed."""
        ...

    def renew(self) -> None:
        """Start anew after a worker died and took the executor with it."""

    def close(self) -> None:
        """End at once; jobs under way are given up."""


class Here:
    """The process itself: one job at a time."""

    slots = 1
    window = 1
    deaths: tuple[type[BaseException], ...] = ()

    def __init__(self) -> None:
        self.executor: Executor = _Serial()

    def renew(self) -> None:
        """Do nothing: this process does not survive its own death."""

    def close(self) -> None:
        """Do nothing: a job ends before the next begins."""


class Processes:
    """Processes of this computer.

    Parameters
    ----------
    slots
        How many.
    """

    deaths: tuple[type[BaseException], ...] = (BrokenExecutor,)

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.window = AHEAD * slots
        self._executor = self._started()

    @property
    def executor(self) -> Executor:
        """The pool of processes."""
        executor: Executor = self._executor
        return executor

    def renew(self) -> None:
        """Start other processes in the place of all of them."""
        self.close()
        self._executor = self._started()

    def close(self) -> None:
        """Kill the processes, and remove what they had under way."""
        self._executor.shutdown(wait=True, kill_workers=True)
        tidy()

    def _started(self) -> Any:
        # loky's workers need no guard around the main module, and take workloads that were defined
        # in a script or a notebook, which the standard library's do not.
        from loky import ProcessPoolExecutor

        return ProcessPoolExecutor(self.slots, initializer=_begin, initargs=(os.getpid(),))


def cores() -> int:
    """Return how many processors this process may use, by affinity and control group."""
    from loky import cpu_count

    return max(1, int(cpu_count()))


def local_workers(slots: int | None = None) -> Here | Processes:
    """Return workers on this computer: as many as it has processors, or as are asked for."""
    tidy()
    wanted = cores() if slots is None else slots
    return Here() if wanted == 1 else Processes(wanted)


class _Serial(Executor):
    """Runs each job when it is handed in."""

    def submit(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(job(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def _begin(parent: int) -> None:
    """Prepare a worker process: the parent decides when it ends, and nobody else."""
    # Ctrl-C reaches all processes of a terminal; the parent alone answers it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    """End this process when its parent is gone, killed perhaps, and cannot end it itself."""
    while os.getppid() == parent:
        time.sleep(WATCH_S)
    os._exit(1)
