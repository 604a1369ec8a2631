"""Doing what a plan says: jobs out to workers, rows to disk, until every cell has enough."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from heapq import heapify, heappop, heappush
from typing import Final

from pmsim.errors import OutputError, SchedulerError
from pmsim.experiments.axes import Cell
from pmsim.experiments.dataset import Dataset, Found
from pmsim.experiments.plan import Plan
from pmsim.experiments.replicate import Outcome, replicate, replicate_all
from pmsim.experiments.workers import Workers
from pmsim.simulation.run.stopping import Rows, Stopping

JOB_S: Final = 0.5
"""Seconds that a job takes at most, where its replications are shorter: handing it in costs some
milliseconds, and whoever interrupts a sweep loses what is under way."""
JOBS_EACH: Final = 4
"""Jobs that everybody gets of what is left at least, so that all end at about the same time."""
MOST_TOGETHER: Final = 1_000
"""Replications of a job at most."""
MOMENT_S: Final = 1e-4
"""Seconds that a replication takes at least, as far as jobs are planned."""
REPORT_S: Final = 0.2
"""How often progress is reported at most."""
MOST_DEATHS: Final = 3
"""How often workers may die without a replication finished between, before that is an error."""


@dataclass(frozen=True, slots=True)
class SweepProgress:
    """How far a sweep is.

    Attributes
    ----------
    done, total
        Replications on disk, and wanted; the second may grow where a precision is asked for.
    failed
        How many of them went wrong in simulated time.
    left_s
        Seconds that the rest will take; `None` where that is not known.
    """

    done: int
    total: int
    failed: int
    left_s: float | None


Report = Callable[[SweepProgress], None]


@dataclass(frozen=True, slots=True)
class Job:
    """Replications of one cell that one process does one after the other."""

    cell: Cell
    replications: tuple[int, ...]


class Driver:
    """Brings a sweep to its end.

    Parameters
    ----------
    plan
        What is to be done.
    dataset
        Where rows go.
    found
        What is there already.
    workers
        Who does it.
    stopping
        How many replications are enough.
    report
        Called now and then.
    """

    def __init__(
        self,
        plan: Plan,
        dataset: Dataset,
        found: Found,
        workers: Workers,
        stopping: Stopping,
        report: Report,
    ) -> None:
        self._plan = plan
        self._dataset = dataset
        self._done = found.done
        self._failed = found.failed
        self._workers = workers
        self._stopping = stopping
        self._report = report
        self._targets: dict[int, int] = {}
        self._left: dict[int, int] = {}
        self._pace = _Pace()
        self._next_report = 0.0

    def run(self) -> None:
        """Run what is missing; whatever ends it, what is finished is on disk in good order."""
        try:
            while self._missing():
                self._run(self._jobs())
        finally:
            self._workers.close()
            for cell in sorted(self._done):
                self._dataset.put_together(cell)

    def _missing(self) -> bool:
        """Ask how many replications each cell is to have; return whether any lacks one."""
        for cell in range(len(self._plan.cells)):
            if not self._left.get(cell):
                self._aim(cell)
        self._tell(always=True)
        return any(self._left.values())

    def _aim(self, cell: int) -> None:
        """Set a cell's target as far as its rows tell it: the first that it has not reached yet."""
        done = self._done.setdefault(cell, set())
        target = self._targets.get(cell, 0)
        while not (left := target - sum(number in done for number in range(target))):
            wanted = self._stopping.target(target, partial(self._rows, cell, target))
            if wanted <= target:
                break
            target = wanted
        self._targets[cell], self._left[cell] = target, left

    def _rows(self, cell: int, count: int) -> Rows:
        """Return what the first replications of a cell measured."""
        rows: Rows = self._dataset.cell(cell).slice(0, count).to_pylist()
        return rows

    def _jobs(self) -> Iterator[Job]:
        """Yield what is missing: the first replication of every cell, then the second, and so on.

        So a glance at an unfinished sweep sees all of it, and the time that is left is known early.
        Where replications are short, several of a cell come together.
        """
        missing = {
            cell: [number for number in range(target) if number not in self._done[cell]]
            for cell, target in self._targets.items()
        }
        queue = [(numbers[0], cell, 0) for cell, numbers in missing.items() if numbers]
        heapify(queue)
        while queue:
            number, cell, at = heappop(queue)
            # The first replication runs alone: it tells how long the others will take.
            several = self._together(cell) if number else 1
            numbers = missing[cell][at : at + several]
            yield Job(self._plan.cells[cell], tuple(numbers))
            at += len(numbers)
            if at < len(missing[cell]):
                heappush(queue, (missing[cell][at], cell, at))

    def _together(self, cell: int) -> int:
        """Return how many replications of a cell make a job: of some length, but several each."""
        seconds = self._pace.of(cell)
        left = self._pace.seconds(self._left)
        if seconds is None or left is None:
            return 1
        length = min(JOB_S, left / (JOBS_EACH * self._workers.slots))
        return max(1, min(MOST_TOGETHER, int(length / max(seconds, MOMENT_S))))

    def _run(self, jobs: Iterator[Job]) -> None:
        """Keep everybody busy until there is no job left, and none under way."""
        running: dict[Future[list[Outcome]], Job] = {}
        waiting: deque[Job] = deque()
        deaths = 0
        while True:
            try:
                self._workers.expect(self._pace.seconds(self._left))
                self._hand_in(running, waiting, jobs)
                mine = self._next(waiting, jobs) if self._workers.here else None
                if mine is not None:
                    self._work(mine)
                elif not running:
                    return
                else:
                    wait(running, timeout=REPORT_S, return_when=FIRST_COMPLETED)
                if self._save(running):
                    deaths = 0
                for future in running:
                    if future.done():
                        future.result()  # raises: those that went well are saved
            except self._workers.deaths as error:
                deaths += 1
                if deaths > MOST_DEATHS:
                    raise _dying(next(iter(running.values()), None)) from error
                waiting.extend(running.values())
                running.clear()
                self._workers.renew()
            except BaseException:
                with suppress(OutputError):
                    self._save(running)
                raise
            self._tell()

    def _next(self, waiting: deque[Job], jobs: Iterator[Job]) -> Job | None:
        """Return a job that a dead worker left, or else the next; `None` where there is none."""
        return waiting.popleft() if waiting else next(jobs, None)

    def _hand_in(
        self, running: dict[Future[list[Outcome]], Job], waiting: deque[Job], jobs: Iterator[Job]
    ) -> None:
        """Hand jobs in, as many as others want to have."""
        while len(running) < self._workers.window:
            job = self._next(waiting, jobs)
            if job is None:
                return
            waiting.appendleft(job)  # until it is handed in: that may fail
            scenario = self._plan.resolve(job.cell)
            submitted = self._workers.executor.submit(replicate_all, scenario, job.replications)
            running[submitted] = waiting.popleft()

    def _work(self, job: Job) -> None:
        """Do a job here, each of its replications on disk before the next."""
        scenario = self._plan.resolve(job.cell)
        for number in job.replications:
            self._finish(job.cell.number, number, replicate(scenario, number))
            self._tell()

    def _save(self, running: dict[Future[list[Outcome]], Job]) -> int:
        """Put the replications of finished jobs on disk; return how many jobs there were."""
        ended = [future for future in running if future.done() and not future.cancelled()]
        finished = [future for future in ended if future.exception() is None]
        for future in finished:
            job = running.pop(future)
            for number, outcome in zip(job.replications, future.result(), strict=True):
                self._finish(job.cell.number, number, outcome)
        return len(finished)

    def _finish(self, cell: int, replication: int, outcome: Outcome) -> None:
        self._dataset.add(cell, replication, outcome.values, outcome.error)
        self._done[cell].add(replication)
        self._left[cell] -= 1
        self._failed += outcome.error is not None
        self._pace.add(cell, outcome.wall_s)

    def _tell(self, *, always: bool = False) -> None:
        now = time.monotonic()
        if not always and now < self._next_report:
            return
        self._next_report = now + REPORT_S
        total = sum(self._targets.values())
        seconds = self._pace.seconds(self._left)
        left = None if seconds is None else seconds / self._workers.slots
        done = total - sum(self._left.values())
        self._report(SweepProgress(done, total, self._failed, left))


class _Pace:
    """How long replications take, cell by cell: large machines take longer than small ones."""

    def __init__(self) -> None:
        self._seconds: dict[int, float] = {}
        self._count: dict[int, int] = {}

    def add(self, cell: int, seconds: float) -> None:
        self._seconds[cell] = self._seconds.get(cell, 0.0) + seconds
        self._count[cell] = self._count.get(cell, 0) + 1

    def of(self, cell: int) -> float | None:
        """Return how long a replication of a cell takes; `None` before any is known."""
        if not self._count:
            return None
        if cell in self._count:
            return self._seconds[cell] / self._count[cell]
        return sum(self._seconds.values()) / sum(self._count.values())

    def seconds(self, left: dict[int, int]) -> float | None:
        """Return how long one process has to work on so many replications of each cell."""
        if not self._count:
            return None
        mean = sum(self._seconds.values()) / sum(self._count.values())
        each = {cell: self._seconds[cell] / count for cell, count in self._count.items()}
        return sum(count * each.get(cell, mean) for cell, count in left.items())


def _dying(job: Job | None) -> SchedulerError:
    where = f", while one ran replication {job.replications[0]} of {job.cell}" if job else ""
    return SchedulerError(
        f"workers died {MOST_DEATHS + 1} times in a row{where}: killed, or out of memory?"
        " What is finished stays, and the same command goes on from there"
    )
