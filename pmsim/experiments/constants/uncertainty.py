"""Intervals that hold what the constants leave open: a run again, with values from their ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from pmsim.errors import Fault, ScenarioError
from pmsim.experiments.constants.ranges import Ranges, alike, section
from pmsim.experiments.replicate import Outcome, replicate_each
from pmsim.experiments.workers import Workers, local_workers
from pmsim.scenario.resolve import ResolvedScenario
from pmsim.scenario.scenario import Scenario, load
from pmsim.simulation.answer.metrics import HEADLINES
from pmsim.simulation.answer.summary import LeftOpen, Summary
from pmsim.simulation.result.manifest import write_json
from pmsim.simulation.result.result import SUMMARY, Result
from pmsim.simulation.run.observer import ProgressCallback
from pmsim.simulation.run.replications import run
from pmsim.simulation.streams import MACHINE, stream

LEVEL: Final = 0.8
"""The probability with which such an interval is to hold the truth."""
RUNS: Final = 64
"""Runs where no number is asked for: the ends of an 80 % interval stand to some per cent."""
LEAST: Final = 10
"""Runs at least: of fewer there is no tenth below an interval."""
MOST: Final = 10_000
"""Runs at most."""
TOGETHER: Final = 8
"""Runs that a process does before it hands them in."""
PURPOSE: Final = "values of constants"
"""The purpose under which values are drawn, apart from all that is drawn in runs."""

Report = Callable[[int, int], None]
"""Told how many runs are done, and of how many."""


def run_with_uncertainty(
    scenario: Scenario | str | Path,
    out: str | Path | None = None,
    *,
    runs: int = RUNS,
    workers: int | None = None,
    told: Report | None = None,
    progress: ProgressCallback | None = None,
    **options: Any,
) -> Result:
    """Run a scenario, and again with other values of its constants.

    Parameters
    ----------
    scenario, out
        As for `pmsim.run`.
    runs
        How many runs with other values there are. Where the scenario has replications, they take
        turns, so that intervals hold what seeds leave open, too.
    workers
        Processes. Where not given, as many as pay.
    told
        Told now and then how many of those runs are done.
    progress, options
        As for `pmsim.run`.

    Returns
    -------
    Result
        That of the run as it is, its summary with `left_open`.

    Raises
    ------
    ScenarioError
        If the number of runs makes no sense, or the scenario has faults.
    """
    if not LEAST <= runs <= MOST:
        fault = f"{runs} runs with other constants"
        hint = f"{LEAST} to {MOST:,}"
        raise ScenarioError([Fault("uncertainty", 0, 0, "out-of-range", fault, hint)])
    base = scenario if isinstance(scenario, Scenario) else load(scenario)
    note = partial(_note, base, runs, workers, told)
    return run(base, out, progress=progress, finish=note, **options)


def left_open(
    base: Scenario, summary: Summary, runs: int, workers: int | None, told: Report | None = None
) -> dict[str, LeftOpen]:
    """Return what the constants that a run used leave open of its headline figures.

    Parameters
    ----------
    base
        The scenario.
    summary
        That of its run: which constants it used, and its figures.
    runs, workers, told
        See `run_with_uncertainty`.
    """
    used = {one.name for one in summary.constants}
    resolved = base.resolve()
    ranges = Ranges(
        tuple(one for one in resolved.machine.constants if one.name in used and one.open)
    )
    rows = list(_rows(base, ranges, runs, summary.replications, workers, told))
    found = {}
    for name in HEADLINES:
        values = np.array([row[name] for row in rows if name in row])
        as_run = summary.intervals[name].mean if name in summary.intervals else None
        if len(values) >= LEAST and as_run is not None:
            found[name] = interval(as_run, values, summary.replications)
    return found


def interval(value: float, values: npt.NDArray[np.float64], seeds: int) -> LeftOpen:
    """Return the interval that the middle of some values makes, the tails on both sides alike."""
    tail = (1 - LEVEL) / 2
    low, middle, high = np.quantile(values, (tail, 0.5, 1 - tail)).tolist()
    return LeftOpen(value, low, middle, high, LEVEL, len(values), seeds)


def drawn(ranges: Ranges, runs: int, seed: int) -> npt.NDArray[np.float64]:
    """Return points of the ranges, shape ``(runs, constants)``.

    A Latin hypercube over the sections and the constants; each constant errs with its section.
    """
    from scipy.stats import qmc

    if not ranges.constants:
        return np.full((runs, 0), 0.5)
    sections = [section(one.path) for one in ranges.constants]
    places = {name: place for place, name in enumerate(dict.fromkeys(sections))}
    rng = stream(seed, 0, MACHINE, PURPOSE)
    shares = qmc.LatinHypercube(len(places) + len(sections), rng=rng).random(runs).tolist()
    return np.array(
        [
            [
                alike(row[places[name]], own)
                for name, own in zip(sections, row[len(places) :], strict=True)
            ]
            for row in shares
        ]
    )


def _rows(
    base: Scenario,
    ranges: Ranges,
    runs: int,
    replications: int,
    workers: int | None,
    told: Report | None,
) -> Iterator[Mapping[str, float]]:
    """Yield what each run measured, in order."""
    points = drawn(ranges, runs, base.resolve().seed).tolist()
    jobs = [
        (base.with_(**ranges.changes(point)).resolve() if point else base.resolve(),
         number % replications)
        for number, point in enumerate(points)
    ]  # fmt: skip
    pieces = [jobs[start : start + TOGETHER] for start in range(0, runs, TOGETHER)]
    with closing(local_workers(workers)) as team:
        for outcome in _outcomes(pieces, team, told or (lambda _done, _of: None)):
            yield outcome.values


Piece = Sequence[tuple[ResolvedScenario, int]]
"""Scenarios with the number of a replication, run by one process one after the other."""


def _outcomes(pieces: Sequence[Piece], team: Workers, told: Report) -> Iterator[Outcome]:
    """Run all pieces, here and by the others that a team has; yield what came out, in order."""
    found: dict[int, list[Outcome]] = {}
    running: dict[Future[list[Outcome]], int] = {}
    waiting = list(reversed(range(len(pieces))))
    while len(found) < len(pieces):
        seconds = sum(one.wall_s for several in found.values() for one in several)
        team.expect(seconds / len(found) * len(waiting) if found else None)
        while waiting and len(running) < team.window:
            number = waiting.pop()
            running[team.executor.submit(replicate_each, pieces[number])] = number
        if team.here and waiting:
            number = waiting.pop()
            found[number] = replicate_each(pieces[number])
        elif running:
            wait(running, return_when=FIRST_COMPLETED)
        for future in [one for one in running if one.done()]:
            found[running.pop(future)] = future.result()
        told(sum(map(len, found.values())), sum(map(len, pieces)))
    for number in range(len(pieces)):
        yield from found[number]


def _note(
    base: Scenario, runs: int, workers: int | None, told: Report | None, result: Result
) -> None:
    """Add to a result's summary what the constants leave open."""
    summary = result.summary
    found = left_open(base, summary, runs, workers, told)
    write_json(result.path / SUMMARY, replace(summary, left_open=found).as_dict())
