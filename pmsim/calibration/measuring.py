"""Measuring cells: threads on their CPUs, rounds through all cells, interrupts counted beside."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from pmsim.calibration import libc, loops
from pmsim.calibration.cells import MOST_PAGES, Call, Cell
from pmsim.calibration.interrupts import Counts, read_counts
from pmsim.calibration.load import Load, read_load
from pmsim.calibration.measured import Measured, judged

Report = Callable[[int, int], None]
"""Hears how many tenths of a second are over, and of how many."""

CALLS: Final[dict[Call, int]] = {
    "membarrier": loops.MEMBARRIER,
    "mprotect": loops.MPROTECT,
    "madvise": loops.MADVISE,
    "munmap": loops.MUNMAP,
    "munmap_tables": loops.MUNMAP_TABLES,
}
AT_ONCE: Final = 24
"""Samples of a cell in a round; of many pages, and of sleepers, fewer."""
AT_ONCE_LONG: Final = 8
LONG_PAGES: Final = 64
LEAST_ROUNDS: Final = 3
PATIENCE: Final = 1.5
"""How much longer than asked for it may take until there were so few rounds."""
FAR: Final = 1 << 36
"""An address that nothing is near: programs begin below or far above, libraries far above."""
START_S: Final = 2.0
"""How long other threads may take to be there."""


@dataclass(frozen=True, slots=True)
class Session:
    """What measuring came to.

    Attributes
    ----------
    cells
        All that was measured, in the order of the plan.
    clock_ns
        What reading the clock takes.
    rounds, seconds
        How often all cells were gone through, and how long that took.
    load
        What part of the CPUs' time other programs took, and the host; `None` where hidden.
    """

    cells: tuple[Measured, ...]
    clock_ns: int
    rounds: int
    seconds: float
    load: Load | None


@dataclass(slots=True)
class _Job:
    """Cells that are read off the same samples."""

    cells: list[Cell]
    times: list[Any] = field(default_factory=list)
    lost: list[Any] = field(default_factory=list)
    interrupts: dict[int, int] = field(default_factory=dict)
    counted: bool = True

    @property
    def first(self) -> Cell:
        return self.cells[0]

    @property
    def at_once(self) -> int:
        long = self.first.pages > LONG_PAGES or self.first.others == "idle"
        return AT_ONCE_LONG if long else AT_ONCE


def measure(
    cells: Sequence[Cell],
    cpu: int,
    seconds: float,
    *,
    silent: bool = False,
    report: Report | None = None,
) -> Session:
    """Measure cells on this machine.

    Parameters
    ----------
    cells
        What to measure.
    cpu
        The CPU that calls.
    seconds
        How long, about.
    silent
        Whether flushes are told without interrupts (Arm's broadcasts, RISC-V's firmware).
    report
        Called now and then.
    """
    settings = _grouped(cells)
    with _on_cpu(cpu), _Memory() as memory:
        clock_ns = _compile(memory)
        libc.register_membarrier()
        started, load_before = time.monotonic(), read_load()
        rounds = 0
        while rounds < LEAST_ROUNDS or time.monotonic() - started < seconds:
            for jobs in settings.values():
                with _Others(jobs[0].first) as others:
                    for job in jobs:
                        _visit(job, memory, others)
                spent = time.monotonic() - started
                if report is not None:
                    report(min(round(10 * spent), round(10 * seconds)), round(10 * seconds))
                if spent > PATIENCE * seconds:
                    break
            rounds += 1
            if time.monotonic() - started > PATIENCE * seconds:
                break
    load = read_load()
    found = {
        cell: _judged(cell, job, clock_ns, silent=silent and cell.call != "membarrier")
        for jobs in settings.values()
        for job in jobs
        for cell in job.cells
    }
    return Session(
        cells=tuple(found[cell] for cell in cells),
        clock_ns=clock_ns,
        rounds=rounds,
        seconds=time.monotonic() - started,
        load=None if load is None or load_before is None else load.since(load_before),
    )


def _grouped(cells: Sequence[Cell]) -> dict[Any, list[_Job]]:
    """Return jobs by what the other threads do in them."""
    found: dict[Any, dict[Any, _Job]] = {}
    for cell in cells:
        jobs = found.setdefault(cell.setting, {})
        jobs.setdefault((cell.call, cell.pages), _Job([])).cells.append(cell)
    return {setting: list(jobs.values()) for setting, jobs in found.items()}


def _judged(cell: Cell, job: _Job, clock_ns: int, *, silent: bool) -> Measured:
    rows = np.concatenate(job.times) if job.times else np.zeros((0, 4), np.int64)
    samples = {
        "call": rows[:, 1] - rows[:, 0],
        "mmap": rows[:, 2],
        "touch": rows[:, 3],
        "lost": np.concatenate(job.lost) if job.lost else np.zeros(0, np.int64),
    }[cell.figure] - clock_ns
    interrupts = None
    if job.counted and cell.told and len(rows):
        interrupts = min(job.interrupts.get(cpu, 0) for cpu in cell.told) / len(rows)
    return judged(cell, samples.tolist(), interrupts, silent=silent)


def _visit(job: _Job, memory: _Memory, others: _Others) -> None:
    """Take some samples of a job."""
    cell = job.first
    times = np.zeros((job.at_once, 4), np.int64)
    address = memory.alone if cell.call == "munmap_tables" else memory.inside
    others.found[:] = 0
    before = read_counts()
    done = loops.sample(
        CALLS[cell.call], cell.pages, address, others.hearts, others.beating, cell.idle_ns, times
    )
    _count(job, before, read_counts())
    job.times.append(times[:done])
    if cell.others == "spinning":
        job.lost.append(_lost(times[:done], others))


def _count(job: _Job, before: Counts | None, after: Counts | None) -> None:
    if before is None or after is None:
        job.counted = False
        return
    for cpu, count in after.since(before).items():
        job.interrupts[cpu] = job.interrupts.get(cpu, 0) + count


def _lost(times: Any, others: _Others) -> Any:
    """Return what the nearest spinner lost in each sample: its longest gap that overlaps it."""
    count = min(int(others.found[0, 0]), loops.RING)
    ends, gaps = others.ends[0, :count], others.gaps[0, :count]
    starts, stops = times[:, 0, None], times[:, 1, None]
    overlaps = (ends[None] > starts) & (ends[None] - gaps[None] < stops)
    longest = np.where(overlaps, gaps[None], 0).max(axis=1, initial=0)
    return longest[longest > 0]


def _compile(memory: _Memory) -> int:
    """Compile all loops by running each for a moment; return what reading the clock takes."""
    stop, numbers = np.ones(1, np.int64), np.zeros(loops.APART, np.int64)
    loops.spin(stop, numbers, 0, numbers, numbers, numbers)
    loops.nap(stop, numbers, 0, 0)
    for call in CALLS.values():
        address = memory.alone if call == loops.MUNMAP_TABLES else memory.inside
        loops.sample(call, 1, address, numbers, 0, 0, np.zeros((2, 4), np.int64))
    lengths = np.zeros(1001, np.int64)
    loops.clock_costs(lengths)
    return int(np.median(lengths))


@contextmanager
def _on_cpu(cpu: int) -> Iterator[None]:
    """Stay on a CPU while the block runs."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class _Memory:
    """Memory to change, while its block runs: small pages, with neighbours; and a page alone.

    Attributes
    ----------
    inside
        Pages in the middle of a mapping: changing some of them splits it, and no page table goes.
    alone
        Where nothing else is mapped in all that a page table spans, so that it goes with the page.
    """

    def __init__(self) -> None:
        around = 64
        self._size = (MOST_PAGES + 1 + 2 * around) * libc.PAGE
        self._base = libc.map_memory(0, self._size, libc.READ_WRITE, libc.PRIVATE, -1, 0)
        libc.madvise(self._base, self._size, libc.MADV_NOHUGEPAGE)
        libc.memset(self._base, 1, self._size)
        self.inside = self._base + around * libc.PAGE
        table = libc.PAGE * (libc.PAGE // 8)
        self.alone = FAR + table // 2

    def __enter__(self) -> _Memory:
        return self

    def __exit__(self, *_: object) -> None:
        libc.munmap(self._base, self._size)


class _Others:
    """The other threads of one setting, while its block runs.

    Parameters
    ----------
    cell
        A cell with that setting.

    Attributes
    ----------
    hearts, beating
        Their heartbeats, and how many have one.
    ends, gaps, found
        When each spinner's gaps ended, how long they were, and how many there were.
    """

    def __init__(self, cell: Cell) -> None:
        count = len(cell.cpus)
        self._cell = cell
        self._stop = np.zeros(1, np.int64)
        self._awake = threading.Event()
        spinners = count if cell.others == "spinning" else 0
        self.beating = 0 if cell.others == "asleep" else count
        self.hearts = np.zeros(max(count, 1) * loops.APART, np.int64)
        self.ends = np.zeros((spinners, loops.RING), np.int64)
        self.gaps = np.zeros((spinners, loops.RING), np.int64)
        self.found = np.zeros((spinners, loops.APART), np.int64)
        self._threads = [
            threading.Thread(target=self._run, args=(place,), daemon=True) for place in range(count)
        ]

    def __enter__(self) -> _Others:
        for thread in self._threads:
            thread.start()
        until = time.monotonic() + START_S
        waiting = self.hearts[: self.beating * loops.APART : loops.APART]
        while not waiting.all() and time.monotonic() < until:
            time.sleep(0.001)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop[0] = 1
        self._awake.set()
        for thread in self._threads:
            thread.join()

    def _run(self, place: int) -> None:
        os.sched_setaffinity(0, {self._cell.cpus[place]})
        at = place * loops.APART
        match self._cell.others:
            case "spinning":
                loops.spin(
                    self._stop, self.hearts, at,
                    self.ends[place], self.gaps[place], self.found[place],
                )  # fmt: skip
            case "idle":
                loops.nap(self._stop, self.hearts, at, 2 * self._cell.idle_ns)
            case _:
                self._awake.wait()
