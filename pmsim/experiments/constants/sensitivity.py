"""On which constants a figure hangs: Morris' screening, then Sobol' indices of those that matter.

A sensitivity is a directory of three sweeps: ``screening`` (few runs for each constant that is
open), ``indices`` (many for each of the few that matter) and ``ends`` (one of these at each end of
its range, all others as they are). Each goes on where it was, as any sweep; from their rows follows
``sensitivity.json``.

How points are chosen and what follows from them is in `pmsim.experiments.constants.indices`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, Literal

import numpy as np

from pmsim.errors import Fault, OutputError, ResultError, ScenarioError
from pmsim.experiments.axes import Points
from pmsim.experiments.constants.found import (
    SCREENING,
    Found,
    FoundConstant,
    Sensitivity,
    write_found,
)
from pmsim.experiments.constants.indices import Effect, Index, Indices, Matrix, Screening
from pmsim.experiments.constants.ranges import Ranges, ranges_of
from pmsim.experiments.driver import Report
from pmsim.experiments.plan import Plan
from pmsim.experiments.progress import shown_progress
from pmsim.experiments.results import Sweep
from pmsim.experiments.sweep import run_plan, team_of
from pmsim.scenario.faults import did_you_mean
from pmsim.scenario.known import KnownConstant
from pmsim.scenario.scenario import Scenario, load
from pmsim.simulation.answer import metrics
from pmsim.simulation.answer.metrics import is_metric
from pmsim.simulation.run.stopping import Fixed
from pmsim.simulation.streams import MACHINE, stream

METRICS: Final = ("lost_share", "latency_mean_ps", "duration_ps")
"""What is looked at where nothing is asked for: the first that is known, and not zero."""
TRAJECTORIES: Final = 6
"""Ways through the screening, each of one run more than there are constants."""
POINTS: Final = 64
"""Points of the indices, each of two runs more than there are constants that matter."""
MOST_CONSTANTS: Final = 8
"""Constants whose indices are told, at most."""
MATTERS: Final = 0.05
"""A constant matters whose mean effect is so large a share of the largest one."""
PURPOSE: Final = "points of a sensitivity"
"""The purpose under which points are chosen, apart from all that is drawn in runs."""


@dataclass(frozen=True, slots=True)
class Effort:
    """How many runs there are: ways through the screening, points of the indices."""

    trajectories: int = TRAJECTORIES
    points: int = POINTS

    def check(self) -> None:
        """Raise `ScenarioError` if the numbers make no sense."""
        if not 2 <= self.trajectories <= 1000:
            raise _fault("trajectories", f"{self.trajectories} ways through", "2 to 1,000")
        if not 8 <= self.points <= 1 << 16 or self.points & (self.points - 1):
            raise _fault("points", f"{self.points} points", "a power of two, 8 to 65,536")


def check_asked(metric: str | None, effort: Effort) -> None:
    """Raise `ScenarioError` if there is no such metric, or the numbers of runs make no sense."""
    effort.check()
    if metric is not None and not is_metric(metric):
        hint = did_you_mean(metric, metrics.METRICS)
        few = f"for example {', '.join(METRICS)}; pmsim list metrics: all of them"
        near = hint if hint.endswith("?") else few
        message = f"no metric is called '{metric}'"
        raise ScenarioError([Fault("metric", 0, 0, "unknown-metric", message, near)])


def sensitivity(
    scenario: Scenario | str | Path,
    out: str | Path | None = None,
    *,
    metric: str | None = None,
    effort: Effort | None = None,
    workers: int | None = None,
    force: bool = False,
    progress: Report | Literal["auto"] | None = "auto",
) -> Sensitivity:
    """Find out on which constants a figure of a scenario hangs.

    If there is an unfinished one of the same scenario at ``out``, only what it lacks is run.

    Parameters
    ----------
    scenario
        A scenario, the path of one, or the name of one that pmsim ships.
    out
        Its directory; without it, a temporary one that goes with the result.
    metric
        The column of a metric; where not given, the share of CPU time that was lost, or the mean
        latency where none was.
    effort
        How many runs.
    workers
        Processes; where not given, as many as pay.
    force
        Whether that of another scenario at ``out`` is replaced.
    progress
        Called now and then; ``"auto"`` shows a bar in notebooks and terminals.

    Returns
    -------
    Sensitivity
        What came out.

    Raises
    ------
    ScenarioError
        If the scenario has faults, nothing is open, or no run knows the metric.
    OutputError
        If it cannot be written, or something else is at ``out``.
    """
    effort = effort or Effort()
    check_asked(metric, effort)
    base = scenario if isinstance(scenario, Scenario) else load(scenario)
    base = base.without_sweep().with_(replications=1)
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise OutputError(f"{out} is a file, and this wants a directory (--out DIR: elsewhere)")
    with ExitStack() as undo:
        temporary = None if out is not None else TemporaryDirectory(prefix="pmsim-")
        if temporary is not None:
            undo.callback(temporary.cleanup)
        place = Path(temporary.name if temporary is not None else out or "")
        with shown_progress(base.name, progress) as report:
            work = _Work(base, place, effort, workers, report, force)
            write_found(place, work.found(metric))
        undo.pop_all()
    return Sensitivity(place, temporary)


@dataclass(frozen=True, slots=True)
class _Work:
    """One sensitivity under way."""

    base: Scenario
    place: Path
    effort: Effort
    workers: int | None
    report: Report
    force: bool

    def found(self, metric: str | None) -> Found:
        """Run what is missing, and return what follows from all of it."""
        ranges = ranges_of(self.base)
        if not ranges.constants:
            raise _fault("scenario", "none of its constants is open", "give some of them a range")
        screen = Screening(len(ranges.constants), self.effort.trajectories, self._seed("screening"))
        middle = np.full((1, len(ranges.constants)), 0.5)
        rows = self._rows(SCREENING, ranges, np.vstack([middle, screen.points()]))
        metric = metric or _first_known(rows)
        values = _column(rows, metric)
        effects = screen.effects(values[1:])
        chosen = _matter([one.mean for one in effects])
        few = Ranges(tuple(ranges.constants[place] for place in chosen))
        ends = _column(self._rows("ends", few, _ends(len(chosen))), metric).reshape(-1, 2)
        indices = Indices(len(chosen), self.effort.points, self._seed("indices"))
        sampled = _column(self._rows("indices", few, indices.points()), metric)
        known = {place: (of, tuple(at)) for place, of, at in zip(
            chosen, indices.of(sampled), ends.tolist(), strict=True)}  # fmt: skip
        constants = [
            _constant(one, effect, *known.get(place, (None, (None, None))))
            for place, (one, effect) in enumerate(zip(ranges.constants, effects, strict=True))
        ]
        constants.sort(key=lambda one: (-(one.total or -1.0), -one.effect))
        low, middle_, high = np.quantile(indices.independent(sampled), (0.1, 0.5, 0.9)).tolist()
        resolved = self.base.resolve()
        return Found(
            name=resolved.name,
            description=resolved.description,
            machine=resolved.machine.name,
            kernel=resolved.kernel.name,
            seed=resolved.seed,
            metric=metric,
            value=float(values[0]),
            low=low,
            median=middle_,
            high=high,
            runs=len(values) + ends.size + len(sampled),
            constants=tuple(constants),
        )

    def _seed(self, purpose: str) -> int:
        """Return a seed for SALib, which takes a small number."""
        rng = stream(self.base.resolve().seed, 0, MACHINE, f"{PURPOSE}: {purpose}")
        return int(rng.integers(1 << 31))

    def _rows(self, part: str, ranges: Ranges, shares: Matrix) -> list[Mapping[Any, Any]]:
        """Run the points of one part that are missing; return what each measured, in order."""
        points = tuple(ranges.values(row) for row in shares.tolist())
        plan = Plan(self.base, Points(ranges.paths, points), 1)
        plan.check()
        path = self.place / part
        with closing(team_of(self.workers, None)) as team:
            run_plan(path, plan, Fixed(1), team, self.report, force=self.force)
        sweep = Sweep(path)
        if len(sweep.failures):
            first = sweep.failures.iloc[0]
            raise ResultError(f"{path}: cell {first['cell']} failed: {first['error']}")
        return list(sweep.frame.sort_values("cell").to_dict("records"))


def _constant(
    one: KnownConstant,
    effect: Effect,
    index: Index | None,
    ends: tuple[float | None, ...],
) -> FoundConstant:
    low, high = (str(one.written(end)) for end in one.ends)
    known = {} if index is None else index.as_dict()
    return FoundConstant(
        name=one.name,
        value=str(one.written(one.value)),
        low=low,
        high=high,
        basis=one.basis,
        source=one.source,
        effect=effect.mean,
        effect_half=effect.half,
        interplay=effect.deviation,
        at_low=ends[0],
        at_high=ends[1],
        **known,
    )


def _matter(effects: Sequence[float]) -> list[int]:
    """Return the places of the constants that matter, the most important first."""
    order = sorted(range(len(effects)), key=lambda place: -effects[place])
    least = MATTERS * effects[order[0]]
    return [
        place for place in order[:MOST_CONSTANTS] if effects[place] > 0 and effects[place] >= least
    ]


def _ends(constants: int) -> Matrix:
    """Return a point at the lower and one at the upper end of each, all others in the middle."""
    points = np.full((constants, 2, constants), 0.5)
    for place in range(constants):
        points[place, :, place] = (0.0, 1.0)
    return points.reshape(-1, constants)


def _first_known(rows: Sequence[Mapping[Any, Any]]) -> str:
    for name in METRICS:
        if all(row.get(name) is not None and row[name] == row[name] for row in rows) and any(
            row[name] for row in rows
        ):
            return name
    raise _fault("metric", "no run knows any of " + ", ".join(METRICS), "--metric NAME")


def _column(rows: Sequence[Mapping[Any, Any]], metric: str) -> Matrix:
    """Return a metric of every row."""
    values = np.array([row.get(metric, np.nan) for row in rows], dtype=np.float64)
    if np.isnan(values).any():
        known = [name for name in rows[0] if is_metric(str(name))]
        raise _fault("metric", f"some runs do not know {metric}", did_you_mean(metric, known))
    return values


def _fault(option: str, message: str, hint: str) -> ScenarioError:
    return ScenarioError([Fault(option, 0, 0, "out-of-range", message, hint)])
