"""Running a scenario: every replication, into tables, a summary and a manifest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pmsim.confidence import Estimate
from pmsim.scenario.model import IsolatedBudget
from pmsim.scenario.resolve import ResolvedScenario
from pmsim.scenario.scenario import Scenario, load
from pmsim.simulation.answer.estimates import over_replications, within
from pmsim.simulation.answer.isolation import Isolation
from pmsim.simulation.answer.metrics import measure
from pmsim.simulation.answer.summarize import summarize
from pmsim.simulation.answer.used import used_constants
from pmsim.simulation.result.manifest import own_codes, provenance, scenario_hash, write_json
from pmsim.simulation.result.place import MANIFEST, result_directory, writing
from pmsim.simulation.result.result import METRICS, SUMMARY, Result
from pmsim.simulation.result.rows import numbered, write_rows
from pmsim.simulation.run.build import build
from pmsim.simulation.run.ends import final_rows
from pmsim.simulation.run.observer import Progress, ProgressCallback, observe
from pmsim.simulation.run.recorder import Recorder
from pmsim.simulation.run.stopping import Stopping, stopping_of
from pmsim.simulation.tables.files import TableFiles
from pmsim.simulation.tables.memory import MemoryTables
from pmsim.simulation.tables.store import TableSink, TableStore


def run(
    scenario: Scenario | ResolvedScenario | str | Path,
    out: str | Path | None = None,
    *,
    force: bool = False,
    precision: float | str | None = None,
    max_replications: int | None = None,
    progress: ProgressCallback | None = None,
    finish: Callable[[Result], None] | None = None,
) -> Result:
    """Run all replications of a scenario.

    Parameters
    ----------
    scenario
        What to run: a scenario, the path of one, or the name of one that pmsim ships.
    out
        Where the result is to appear, whole or not at all; without it, in a temporary directory
        that goes with the result.
    force
        Whether a result that is at ``out`` already is replaced.
    precision
        Relative half width, such as ``"5%"`` or 0.05, that the interval of every headline figure is
        to have; replications are added until it has.
    max_replications
        Where adding ends all the same.
    progress
        Called now and then while it runs.
    finish
        Called with the result before it appears; what it writes into the result's directory
        appears with it.

    Returns
    -------
    Result
        What came out.

    Raises
    ------
    ScenarioError
        If the scenario has faults.
    SimulationError
        If something goes wrong in simulated time.
    OutputError
        If the result cannot be written.
    """
    resolved = _resolved(scenario)
    stopping = stopping_of(resolved.replications, precision, max_replications, resolved.seed)
    if out is None:
        return _run_in_temporary(resolved, stopping, progress, finish)
    with result_directory(Path(out), force=force) as work:
        run_into(work, resolved, stopping, progress)
        if finish is not None:
            finish(Result(work))
    return Result(Path(out))


def _resolved(scenario: Scenario | ResolvedScenario | str | Path) -> ResolvedScenario:
    if isinstance(scenario, ResolvedScenario):
        return scenario
    return (scenario if isinstance(scenario, Scenario) else load(scenario)).resolve()


def _run_in_temporary(
    scenario: ResolvedScenario,
    stopping: Stopping,
    progress: ProgressCallback | None,
    finish: Callable[[Result], None] | None,
) -> Result:
    """Run into a temporary directory that lives as long as the result."""
    temporary = TemporaryDirectory(prefix="pmsim-")
    try:
        with writing(Path(temporary.name)):
            run_into(Path(temporary.name), scenario, stopping, progress)
            if finish is not None:
                finish(Result(Path(temporary.name)))
        return Result(Path(temporary.name), temporary)
    except BaseException:
        temporary.cleanup()
        raise


def run_into(
    directory: Path,
    scenario: ResolvedScenario,
    stopping: Stopping,
    progress: ProgressCallback | None = None,
) -> None:
    """Run replications, and write everything that a result consists of into a directory."""
    started = time.time()
    known = provenance({}, scenario.seed, scenario.replications, scenario.inputs())
    asked: set[str] = set()
    with TableStore(directory) as store:
        durations, measured = _replications(directory, scenario, stopping, store, progress, asked)
        rows = store.rows
    files = TableFiles(directory)
    summary = summarize(files, durations, warmup_of(scenario), isolation=isolation_of(scenario))
    steady: dict[str, Estimate] = {}
    if not measured:
        measured = [measure(files, summary)]
        steady = within(files, summary)
    summary = replace(
        summary,
        intervals=over_replications(measured, scenario.seed) | steady,
        constants=used_constants(files, summary.cost, scenario.machine, asked),
    )
    write_rows(directory / METRICS, numbered(measured))
    write_json(directory / SUMMARY, summary.as_dict())
    as_run = replace(scenario, replications=len(durations)).as_dict()
    manifest = known | {
        "scenario": as_run,
        "scenario_sha256": scenario_hash(as_run),
        **({"protocols": own} if (own := own_codes(as_run)) else {}),
        **stopping.as_dict(),
        "replications": len(durations),
        "durations_ps": durations,
        "rows": rows,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "wall_s": round(time.time() - started, 3),
    }
    write_json(directory / MANIFEST, manifest)


def _replications(
    directory: Path,
    scenario: ResolvedScenario,
    stopping: Stopping,
    store: TableStore,
    progress: ProgressCallback | None,
    asked: set[str],
) -> tuple[list[int], list[dict[str, float]]]:
    """Run until there are enough; return the lengths, and of several also what they measured.

    Several replications are measured one by one, each from tables of its own, whose rows then go
    where those of all are. The costs that they ask for go to ``asked``.
    """
    durations: list[int] = []
    measured: list[dict[str, float]] = []
    while (target := stopping.target(len(durations), lambda: measured)) > len(durations):
        scenario = replace(scenario, replications=target)
        if target == 1:
            durations.append(run_once(scenario, 0, store, progress, asked))
            continue
        for number in range(len(durations), target):
            with MemoryTables(partial(_too_long, directory)) as tables:
                duration, values = run_measured(scenario, number, tables, progress, asked)
                store.append(tables.finished())
            durations.append(duration)
            measured.append(values)
    return durations, measured


@contextmanager
def _too_long(directory: Path) -> Iterator[Path]:
    """Give a place in the result's own directory for tables that memory does not hold."""
    with TemporaryDirectory(prefix=".replication-", dir=directory) as name:
        yield Path(name)


def run_measured(
    scenario: ResolvedScenario,
    replication: int,
    tables: MemoryTables,
    progress: ProgressCallback | None = None,
    asked: set[str] | None = None,
) -> tuple[int, dict[str, float]]:
    """Run one replication into tables of its own; return its length, and what it measured."""
    duration = run_once(scenario, replication, tables, progress, asked)
    source = tables.finished()
    isolation = isolation_of(scenario)
    summary = summarize(
        source, [duration], warmup_of(scenario), first=replication, isolation=isolation
    )
    return duration, measure(source, summary)


def warmup_of(scenario: ResolvedScenario) -> int | None:
    """Return where the scenario says that the transient ends; `None` where it is to be found."""
    warmup = scenario.measure.warmup
    return None if warmup == "auto" else warmup


def isolation_of(scenario: ResolvedScenario) -> Isolation | None:
    """Return the isolated CPUs and their budget; `None` where there are none."""
    cpus = scenario.machine.isolated
    if not cpus:
        return None
    budget = scenario.measure.budget
    limits = budget.isolated if budget is not None else IsolatedBudget()
    return Isolation(cpus, limits.interrupts, limits.longest)


def run_once(
    scenario: ResolvedScenario,
    replication: int,
    store: TableSink,
    progress: ProgressCallback | None = None,
    asked: set[str] | None = None,
) -> int:
    """Run one replication into the tables; return how long it was in simulated picoseconds.

    The names of the costs that it asks for are added to ``asked``.
    """
    interval = scenario.measure.timeline
    given = None if interval == "auto" else interval
    recorder = Recorder(store, replication, given)
    simulation = build(scenario, replication, recorder.operations)
    recorder.expect(scenario.duration or simulation.least_ps)
    machine, kernel = simulation.machine, simulation.kernel
    recorder.levels = lambda: kernel.levels
    recorder.windows = lambda: simulation.windows.until(machine.now)

    def report() -> None:
        if progress is not None:
            seen = recorder.crosscalls_seen
            total = scenario.replications
            progress(Progress(replication, total, machine.now, scenario.duration, seen))

    def record_and_report(calls: Any) -> None:
        recorder.crosscalls(calls)
        report()

    machine.on_crosscalls = record_and_report
    part = scenario.measure.detail
    if part is not None:
        machine.keep_detail(part.from_, part.to, recorder)
    if scenario.machine.isolated:
        machine.watch_interruptions(scenario.machine.isolated, recorder)
    report()
    machine.clock.process(observe(machine, recorder, report))
    end = machine.run(scenario.duration)
    machine.note_open_calls()
    kernel.operations.flush()
    recorder.cpus(machine)
    recorder.anatomy(machine)
    if machine.detail is not None:
        recorder.detail(machine.detail)
    for table, rows in final_rows(simulation, is_cut=scenario.duration is not None).items():
        recorder.rows(table, rows)
    report()
    if asked is not None:
        asked |= simulation.asked
    return end
