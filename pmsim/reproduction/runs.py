"""The runs of experiments: each distinct one once, on all processors; no measurement is read."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from pmsim.errors import ResultError, SimulationError
from pmsim.experiments.replicate import SCRATCH
from pmsim.experiments.workers import Processes, cores
from pmsim.reproduction.experiment import Changes, Experiment, Point
from pmsim.reproduction.observables import Observable
from pmsim.scenario.resolve import ResolvedScenario
from pmsim.scenario.scenario import Scenario
from pmsim.simulation.result.manifest import scenario_hash
from pmsim.simulation.result.scratch import scratch
from pmsim.simulation.run.replications import run_once
from pmsim.simulation.tables.memory import MemoryTables
from pmsim.units import S

WORTH_RUNS: Final = 12
"""Runs from which on other processes pay for their start."""

SELDOM: Final = S
"""Interval of the timeline, which nothing is read off: longer than most runs here (to keep a
usual one takes an eighth of a short run of 64 CPUs)."""

Report = Callable[[int, int], None]
"""Hears how many runs are done, and of how many."""


@dataclass(frozen=True, slots=True)
class RunKey:
    """One run, and what is read off it.

    Attributes
    ----------
    scenario
        The hash of what is run.
    observe
        What is read off.
    """

    scenario: str
    observe: Observable


@dataclass(slots=True)
class Runs:
    """Runs that are wanted, and what was read off those that are done."""

    _wanted: dict[RunKey, tuple[ResolvedScenario, str]] = field(default_factory=dict)
    _read: dict[RunKey, float] = field(default_factory=dict)

    def want(self, experiment: Experiment, point: Point, more: Changes = ()) -> dict[str, RunKey]:
        """Ask for the runs of a point; return their keys by the runs' names.

        Parameters
        ----------
        more
            What is changed in each of them besides.

        Raises
        ------
        ScenarioError
            If the point's values do not fit the scenario.
        """
        keys = {}
        for name, changes in point.runs.items():
            scenario = _changed(experiment.scenario, (*changes, *more)).resolve()
            observe = point.observed.get(name, experiment.observe)
            key = RunKey(scenario_hash(scenario.as_dict()), observe)
            self._wanted.setdefault(key, (scenario, f"{experiment.name}, {point.name}"))
            keys[name] = key
        return keys

    def run(self, workers: int | None = None, report: Report | None = None) -> None:
        """Do what is wanted and not yet done.

        Raises
        ------
        SimulationError, ResultError
            Of the first run that goes wrong, with its experiment and point.
        """
        left = {key: job for key, job in self._wanted.items() if key not in self._read}
        tell = report or _say_nothing
        tell(0, len(left))
        slots = cores() if workers is None else workers
        if slots == 1 or len(left) < WORTH_RUNS:
            for done, (key, job) in enumerate(left.items(), start=1):
                self._read[key] = _observed(*job, key.observe)
                tell(done, len(left))
            return
        self._run_beside(left, slots, tell)

    def read(self, keys: Mapping[str, RunKey]) -> dict[str, float]:
        """Return what was read off runs, by their names."""
        return {name: self._read[key] for name, key in keys.items()}

    def _run_beside(
        self, left: Mapping[RunKey, tuple[ResolvedScenario, str]], slots: int, tell: Report
    ) -> None:
        processes = Processes(slots)
        try:
            jobs: dict[Future[float], RunKey] = {
                processes.executor.submit(_observed, *job, key.observe): key
                for key, job in _longest_first(left)
            }
            for done, job in enumerate(as_completed(jobs), start=1):
                self._read[jobs[job]] = job.result()
                tell(done, len(jobs))
        finally:
            processes.close()


def _longest_first(
    left: Mapping[RunKey, tuple[ResolvedScenario, str]],
) -> Sequence[tuple[RunKey, tuple[ResolvedScenario, str]]]:
    """Return the runs, those on many CPUs first: one that is begun last is waited for by all."""
    return sorted(left.items(), key=lambda one: -one[1][0].machine.topology.n_cpus)


def _changed(scenario: Scenario, changes: Iterable[tuple[str, object]]) -> Scenario:
    values = list(changes)
    return scenario.with_nodes(values) if values else scenario  # type: ignore[arg-type]


def _observed(scenario: ResolvedScenario, what: str, observe: Observable) -> float:
    """Run a scenario, and return what is read off it; ``what`` it is for stands in errors."""
    measure = scenario.measure.model_copy(update={"timeline": SELDOM})
    scenario = replace(scenario, measure=measure)
    with MemoryTables(partial(scratch, Path(gettempdir()), SCRATCH)) as tables:
        try:
            duration = run_once(scenario, 0, tables)
            found = observe.read(tables.finished(), duration)
        except (SimulationError, ResultError) as error:
            raise type(error)(f"{what}: {error}") from error
    gc.collect()
    return found


def _say_nothing(_done: int, _total: int) -> None:
    pass
