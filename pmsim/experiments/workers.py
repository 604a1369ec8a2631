"""Who runs replications: this process, processes of this computer, or a Dask cluster.

All of them are `concurrent.futures` executors, and give the same rows bit for bit: a replication
depends on its scenario and its number alone.
"""

from __future__ import annotations

import os
from concurrent.futures import BrokenExecutor, Executor
from typing import Any, Final, Protocol

from pmsim.experiments.begin import begin
from pmsim.experiments.replicate import tidy

AHEAD: Final = 2
"""Jobs handed in for each that can run: no worker waits, and an interrupt gives few of them up."""
WORTH_S: Final = 5.0
"""Seconds of work from which on other processes pay for their start, which takes one or two."""


class Workers(Protocol):
    """Runs jobs somewhere, several at a time."""

    @property
    def here(self) -> bool:
        """Whether this process does jobs, too."""
        ...

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

    def expect(self, seconds: float | None) -> None:
        """Hear how long one process would have to work on what is left, as far as is known."""

    def renew(self) -> None:
        """Start anew after a worker died and took the executor with it."""

    def close(self) -> None:
        """End at once; jobs under way are given up."""


class Here:
    """The process itself, and others beside it as soon as there is work enough for them.

    Parameters
    ----------
    most
        How many processes there may be; as many as there are processors where not given.
    """

    here = True
    deaths: tuple[type[BaseException], ...] = (BrokenExecutor,)

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._others: Processes | None = None

    @property
    def slots(self) -> int:
        """The process itself and the others."""
        return 1 + (0 if self._others is None else self._others.slots)

    @property
    def window(self) -> int:
        """How many jobs the others have at the same time."""
        return 0 if self._others is None else self._others.window

    @property
    def executor(self) -> Executor:
        """The others."""
        assert self._others is not None
        return self._others.executor

    def expect(self, seconds: float | None) -> None:
        """Start others where so much work is left that they pay for their start."""
        if self._others is not None or self._most == 1 or seconds is None or seconds < WORTH_S:
            return
        self._most = cores() if self._most is None else self._most
        if self._most > 1:
            self._others = Processes(self._most - 1)

    def renew(self) -> None:
        """Start others in the place of those that are there."""
        if self._others is not None:
            self._others.renew()

    def close(self) -> None:
        """Kill the others."""
        if self._others is not None:
            self._others.close()


class Processes:
    """Processes of this computer.

    Parameters
    ----------
    slots
        How many.
    """

    here = False
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

    def expect(self, _seconds: float | None) -> None:
        """Do nothing: there are as many as were asked for."""

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

        return ProcessPoolExecutor(self.slots, initializer=begin, initargs=(os.getpid(),))


def cores() -> int:
    """Return how many processors this process may use, by affinity and control group."""
    from loky import cpu_count

    return max(1, int(cpu_count()))


def local_workers(slots: int | None = None) -> Here | Processes:
    """Return workers on this computer: as many as are asked for, or else as many as pay."""
    tidy()
    return Here(slots) if slots in (None, 1) else Processes(slots)
