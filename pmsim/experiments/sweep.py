"""Running a sweep, or going on with one that was interrupted."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import TYPE_CHECKING, Any, Literal

from pmsim.errors import Fault, OutputError, ScenarioError
from pmsim.experiments.dataset import GOES_ON, Dataset
from pmsim.experiments.directory import alone, finish, prepare
from pmsim.experiments.driver import Driver, Report
from pmsim.experiments.plan import Plan, plan_of
from pmsim.experiments.progress import shown_progress
from pmsim.experiments.results import Sweep
from pmsim.experiments.workers import Workers, local_workers
from pmsim.scenario.scenario import Scenario, load
from pmsim.simulation.run.stopping import Stopping, stopping_of

if TYPE_CHECKING:
    from distributed import Client


def sweep(
    scenario: Scenario | str | Path,
    values: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    *,
    replications: int | None = None,
    sample: str | None = None,
    precision: float | str | None = None,
    max_replications: int | None = None,
    workers: int | None = None,
    scheduler: str | Client | None = None,
    force: bool = False,
    progress: Report | Literal["auto"] | None = "auto",
) -> Sweep:
    """Run a scenario for many values of some of its keys, each several times.

    Cells share their random draws as far as they share workloads (common random numbers). If there
    is an unfinished sweep of the same plan at ``out``, only what it lacks is run.

    Parameters
    ----------
    scenario
        What to vary: a scenario, the path of one, or the name of one that pmsim ships.
    values
        Values by dotted path, beside those of the scenario's own ``sweep``. A text ``LOW..HIGH``
        is a range to choose points from.
    out
        The sweep's directory; without it, a temporary one that goes with the result.
    replications
        Runs of each cell; those of the scenario where not given. With a precision, the first.
    sample
        ``lhs:N`` or ``sobol:N``: points of the space instead of every combination.
    precision
        Relative half width, such as ``"5%"`` or 0.05, that the interval of every headline figure
        is to have in every cell; replications are added until it has.
    max_replications
        Where adding ends all the same.
    workers
        Processes. Where not given the sweep begins in this one, and starts others, one for each
        further processor, if more than a few seconds of work are left.
    scheduler
        A Dask cluster instead: the address of its scheduler, ``"local"``, or a connected client.
    force
        Whether the sweep of another plan at ``out`` is replaced, and a huge grid run.
    progress
        Called now and then; ``"auto"`` shows a bar in notebooks and terminals.

    Returns
    -------
    Sweep
        What came out.

    Raises
    ------
    ScenarioError
        If a path names nothing, a cell is no valid scenario, or ``values``, ``sample``,
        ``workers``, ``precision`` or one of the numbers are of another type.
    OutputError
        If the sweep cannot be written, or something else is at ``out``.
    SchedulerError
        If a cluster does not answer, or workers keep dying.
    """
    base = scenario if isinstance(scenario, Scenario) else load(scenario)
    plan = plan_of(base, values or {}, replications=replications, sample=sample, force=force)
    stopping = stopping_of(plan.replications, precision, max_replications, plan.seed)
    with closing(team_of(workers, scheduler)) as team, ExitStack() as undo:
        temporary = None if out is not None else TemporaryDirectory(prefix="pmsim-")
        if temporary is not None:
            undo.callback(temporary.cleanup)
        path = Path(temporary.name if temporary is not None else out or "")
        with shown_progress(base.name, progress) as report:
            run_plan(path, plan, stopping, team, report, force=force)
        undo.pop_all()
    return Sweep(path, temporary)


def run_plan(
    path: Path,
    plan: Plan,
    stopping: Stopping,
    team: Workers,
    report: Report,
    *,
    force: bool = False,
) -> None:
    """Bring the sweep of a plan in a directory to its end, from where it is.

    Parameters
    ----------
    path
        The directory.
    plan, stopping
        What is to be done, and how often.
    team, report
        Who does it, and who is told.
    force
        Whether the sweep of another plan that is there is replaced.
    """
    with alone(path):
        prepare(path, plan, stopping.as_dict(), force=force)
        _work(path, plan, stopping, team, report)
        finish(path)


def _work(path: Path, plan: Plan, stopping: Stopping, team: Workers, report: Report) -> None:
    dataset = Dataset(path)
    found = dataset.examine()
    for damage in found.damage:
        warnings.warn(str(damage), stacklevel=3)
    try:
        Driver(plan, dataset, found, team, stopping, report).run()
    except OSError as error:
        reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise OutputError(
            f"a replication could not be run in {gettempdir()}: {reason}; {GOES_ON}"
        ) from error


def team_of(workers: int | None, scheduler: str | Client | None) -> Workers:
    """Return who does the work."""
    if workers is not None and not isinstance(workers, int):
        raise ScenarioError(
            [Fault("sweep", 0, 0, "wrong-type", f"{workers!r} is no number of workers", "say 2")]
        )
    if workers is not None and workers < 1:
        fault = Fault("sweep", 0, 0, "out-of-range", f"{workers} workers do nothing", "at least 1")
        raise ScenarioError([fault])
    if scheduler is None:
        return local_workers(workers)
    from pmsim.experiments.cluster import cluster_workers

    return cluster_workers(scheduler, workers)
