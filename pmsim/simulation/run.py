"""Running a scenario: every replication, into tables, a summary and a manifest."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pmsim.scenario.resolve import ResolvedScenario
from pmsim.scenario.scenario import Scenario, load
from pmsim.simulation.build import build
from pmsim.simulation.ends import final_rows
from pmsim.simulation.files import TableFiles
from pmsim.simulation.manifest import provenance, write_json
from pmsim.simulation.observer import Progress, ProgressCallback, observe
from pmsim.simulation.place import MANIFEST, result_directory, writing
from pmsim.simulation.recorder import Recorder
from pmsim.simulation.result import SUMMARY, Result
from pmsim.simulation.store import TableStore
from pmsim.simulation.summary import summarize


def run(
    scenario: Scenario | ResolvedScenario | str | Path,
    out: str | Path | None = None,
    *,
    force: bool = False,
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
    progress
        Called now and then while it runs.
    finish
        Called with the result before it appears at ``out``; what it writes into the result's
        directory appears with it.

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
    if out is None:
        return _run_in_temporary(resolved, progress)
    with result_directory(Path(out), force=force) as work:
        run_into(work, resolved, progress)
        if finish is not None:
            finish(Result(work))
    return Result(Path(out))


def _resolved(scenario: Scenario | ResolvedScenario | str | Path) -> ResolvedScenario:
    if isinstance(scenario, str | Path):
        scenario = load(scenario)
    return scenario.resolve() if isinstance(scenario, Scenario) else scenario


def _run_in_temporary(scenario: ResolvedScenario, progress: ProgressCallback | None) -> Result:
    """Run into a temporary directory that lives as long as the result."""
    temporary = TemporaryDirectory(prefix="pmsim-")
    try:
        with writing(Path(temporary.name)):
            run_into(Path(temporary.name), scenario, progress)
        return Result(Path(temporary.name), temporary)
    except BaseException:
        temporary.cleanup()
        raise


def run_into(
    directory: Path, scenario: ResolvedScenario, progress: ProgressCallback | None = None
) -> None:
    """Run all replications, and write everything that a result consists of into a directory."""
    started = time.time()
    manifest = provenance(
        scenario.as_dict(), scenario.seed, scenario.replications, scenario.inputs()
    )
    durations = []
    with TableStore(directory) as store:
        for replication in range(scenario.replications):
            durations.append(run_once(scenario, replication, store, progress))
        rows = store.rows
    warmup = scenario.measure.warmup
    summary = summarize(TableFiles(directory), durations, None if warmup == "auto" else warmup)
    write_json(directory / SUMMARY, summary)
    manifest |= {
        "durations_ps": durations,
        "rows": rows,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)),
        "wall_s": round(time.time() - started, 3),
    }
    write_json(directory / MANIFEST, manifest)


def run_once(
    scenario: ResolvedScenario,
    replication: int,
    store: TableStore,
    progress: ProgressCallback | None = None,
) -> int:
    """Run one replication into the tables; return how long it was in simulated picoseconds."""
    interval = scenario.measure.timeline
    recorder = Recorder(store, replication, None if interval == "auto" else interval)
    simulation = build(scenario, replication, recorder.operations)
    machine, kernel = simulation.machine, simulation.kernel

    def report() -> None:
        if progress is not None:
            seen = recorder.crosscalls_seen
            total = scenario.replications
            progress(Progress(replication, total, machine.now, scenario.duration, seen))

    def record_and_report(calls: Any) -> None:
        recorder.crosscalls(calls)
        report()

    machine.on_crosscalls = record_and_report
    report()
    machine.clock.process(observe(machine, recorder, report))
    end = machine.run(scenario.duration)
    kernel.operations.flush()
    recorder.cpus(machine)
    for table, rows in final_rows(simulation).items():
        recorder.rows(table, rows)
    report()
    return end
