"""Replays a burst of loads by one task: when the worker freed init areas is read off the row.

Which area of a module is flushed when depends on the loads alone, except for the init areas, which
a worker frees when it gets to it: before the file's buffer of some module is freed, or between that
and its purge, which it then takes along. `schedule` finds a place for each of the worker's flushes
(all of them reach from the direct map to the modules) such that the purges of files stand in the
order of the modules; `replay` runs the loads with the worker held to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pmsim.hardware.locks import Completion
from pmsim.hardware.task import Task
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.modules.memory import ModuleArea
from pmsim.kernel.modules.module import Module
from pmsim.kernel.modules.segments import segments_of
from tests.ground_truth.noise import SEVERAL_STACKS, STACK, Counts, UnexplainedError
from tests.ground_truth.observed import HUGE, LINUX_6_1
from tests.ground_truth.simulated import GUARD, Calls, Simulation

MOST_STACKS = 4
"""Purges of a burst that stacks may be in; the most that was seen is 3."""

FAILED = 2
"""Flushes of a module whose init fails: of its init area and of its core, by the loader itself."""


@dataclass(frozen=True)
class Visit:
    """What the worker frees around one load: areas before it, and areas after its file's buffer."""

    before: int
    within: int


Schedule = tuple[Visit, ...]


def schedule(modules: Sequence[str], spans: Sequence[int]) -> Schedule:
    """Return where the worker came.

    Parameters
    ----------
    modules
        Names in the order of loading.
    spans
        The spans of the burst's flushes in order, of the direct map up to the modules as `HUGE`.

    Raises
    ------
    UnexplainedError
        If the purges of files are not in the order of the modules, even where up to `MOST_STACKS`
        purges of stacks stand among them or took some of them along.
    """
    for stacks in range(MOST_STACKS + 1):
        found = _placed(tuple(modules), tuple(spans), 0, stacks)
        if found is not None:
            return found
    raise UnexplainedError("the purges are not in the order of the loads")


@cache
def _placed(
    modules: tuple[str, ...], spans: tuple[int, ...], waiting: int, stacks: int
) -> Schedule | None:
    """Place the flushes around the loads that are left.

    ``waiting`` areas can be freed by now, and ``stacks`` purges may be of stacks. What is left over
    when all modules are loaded was freed after the last of them.
    """
    if not modules:
        return () if sum(span != HUGE for span in spans) <= stacks else None
    name, later = modules[0], modules[1:]
    for before in range(min(_leading(spans), waiting) + 1):
        rest, left = spans[before:], waiting - before
        for visit, used, waits, noisy in _ways(name, rest, left):
            after = None
            if noisy <= stacks:
                after = _placed(later, rest[used:], waits, stacks - noisy)
            if after is not None:
                return (Visit(before, visit), *after)
    huge = _leading(spans)
    if stacks and huge < len(spans) and _is_stack(spans[huge]):
        return _placed(modules, spans[:huge] + spans[huge + 1 :], waiting, stacks - 1)
    return None


def _ways(name: str, spans: tuple[int, ...], waiting: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield how the next load can have purged its file.

    Each as the areas that the worker frees within it, the flushes that it accounts for, the areas
    that can be freed after it, and how many of its flushes have stacks in them.
    """
    huge = _leading(spans)
    if segments_of(name, LINUX_6_1.modules).init_fails:
        if huge >= FAILED:
            yield 0, FAILED, waiting, 0
        return
    file = segments_of(name, LINUX_6_1.modules).file_pages + GUARD
    if spans and spans[0] != HUGE and spans[0] == file:
        yield 0, 1, waiting + 1, 0
    elif spans and spans[0] != HUGE and spans[0] >= file + STACK:
        yield 0, 1, waiting + 1, 1
    for freed in range(1, min(huge, waiting) + 1):
        yield freed, freed, waiting - freed + 1, 0


def _leading(spans: tuple[int, ...]) -> int:
    """Count the flushes up to the modules at the beginning."""
    return next((at for at, span in enumerate(spans) if span != HUGE), len(spans))


def _is_stack(span: int) -> bool:
    return span == STACK or span >= SEVERAL_STACKS


@dataclass
class HeldWorker:
    """Frees init areas when it is told to, oldest first, as a kernel worker.

    Stands in for `pmsim.kernel.modules.init_free.FreeByWork`.
    """

    simulation: Simulation
    areas: list[ModuleArea] = field(default_factory=list)

    def start(self) -> None:
        machine, modules = self.simulation.kernel.machine, self.simulation.kernel.modules
        self._told, self._done = Completion(machine), Completion(machine)
        machine.spawn(0, self._work, name="kworker", role="daemon")
        modules._init_free = self

    def give(self, _task: Task, areas: Sequence[ModuleArea]) -> None:
        self.areas += areas

    def free(self, task: Task, count: int) -> Calls:
        """Let it free some areas, and wait."""
        self.free_later(count)
        for _ in range(count):
            yield from self._done.wait(task)

    def free_later(self, count: int) -> None:
        """Let it free some areas once the loader gives up the CPU."""
        for _ in range(count):
            self._told.complete()

    def _work(self, task: Task) -> Calls:
        memory = self.simulation.kernel.modules._memory
        while True:
            yield from self._told.wait(task)
            yield from memory.free(task, self.areas.pop(0))
            self._done.complete()


@cache
def replay(cpus: int, modules: tuple[str, ...], visits: Schedule) -> Counts:
    """Load modules one after the other, the worker held to a schedule, and return the counts."""
    simulation = Simulation(cpus)
    worker = HeldWorker(simulation)
    within: list[int] = []

    def burst(kernel: KernelHandle) -> Calls:
        worker.start()
        _come_before_the_second_pass(kernel, worker, within)
        for name, visit in zip(modules, visits, strict=True):
            yield from worker.free(kernel.task, visit.before)
            within[:] = [visit.within]
            yield from kernel.load_module(segments_of(name, LINUX_6_1.modules))
        worker.free_later(len(worker.areas))

    simulation.run([burst])
    return simulation.counts(0)


def _come_before_the_second_pass(
    kernel: KernelHandle, worker: HeldWorker, within: list[int]
) -> None:
    """Let the worker come when a module has run its init function and is not yet protected."""
    modules: Any = kernel.kernel.modules
    settle = modules._settle

    def visited(task: Task, module: Module) -> Calls:
        yield from worker.free(task, within[0])
        yield from settle(task, module)

    modules._settle = visited
