from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import pmsim
from pmsim.errors import OutputError, ScenarioError, SchedulerError
from pmsim.experiments import driver, workers
from pmsim.experiments.driver import SweepProgress
from pmsim.experiments.replicate import Outcome
from pmsim.experiments.results import Sweep
from pmsim.experiments.workers import WORTH_S, Processes, local_workers
from pmsim.simulation.answer.metrics import METRICS, is_metric
from tests.experiments.small import MEASURE, WORK, entry, small
from tests.experiments.test_dataset import files
from tests.machines import scenario


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    """A sweep of two cells with three replications, run in this process."""
    path = tmp_path_factory.mktemp("done") / "sweep"
    return pmsim.sweep(small(), entry(), path, replications=3, workers=1)


def test_there_is_a_row_for_each_replication_of_each_cell(done: Sweep) -> None:
    assert done.complete
    rows = done.frame[["cell", "replication"]].to_numpy().tolist()
    assert rows == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]


def test_a_row_is_what_a_run_of_its_cell_and_replication_gives(done: Sweep) -> None:
    run = pmsim.run(small(replications=3).with_(
        **{"machine.costs.ipi.entry": "2us"}
    ))  # fmt: skip
    calls = run.crosscalls.assign(latency=run.crosscalls["end_ps"] - run.crosscalls["start_ps"])
    rows = done.frame[done.frame["cell"] == 1].set_index("replication")
    for number, some in calls.groupby("replication"):
        assert rows.loc[number, "broadcasts"] == len(some)
        assert rows.loc[number, "latency_mean_ps"] == pytest.approx(some["latency"].mean())
        assert rows.loc[number, "duration_ps"] == run.manifest["durations_ps"][number]
    ends = run.operations.query("kind == 'pmalloc_destroy_pool'")
    assert rows["operation_count[pmalloc_destroy_pool]"].tolist() == [3.0] * 3
    mean = (ends["end_ps"] - ends["start_ps"]).groupby(ends["replication"]).mean()
    assert rows["operation_mean_ps[pmalloc_destroy_pool]"].to_numpy() == pytest.approx(
        mean.to_numpy()
    )


def test_cells_share_their_random_draws(done: Sweep) -> None:
    # With cheap and with dear handlers the same pools come at the same times: far more alike
    # than two replications of one cell.
    lengths = done.frame.pivot(index="replication", columns="cell", values="duration_ps")
    assert lengths[0].nunique() == 3
    between = np.abs(lengths[0] - lengths[1]).max()
    assert between < lengths[0].std() / 3


def test_the_same_sweep_again_gives_the_same_files(done: Sweep, tmp_path: Path) -> None:
    pmsim.sweep(small(), entry(), tmp_path / "again", replications=3, workers=1)
    assert files(tmp_path / "again") == files(done.path)


@pytest.mark.slow
def test_several_processes_give_the_same_files(done: Sweep, tmp_path: Path) -> None:
    pmsim.sweep(small(), entry(), tmp_path / "again", replications=3, workers=2)
    assert files(tmp_path / "again") == files(done.path)


def test_more_replications_are_added_to_those_that_are_there(done: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "sweep"
    reports: list[SweepProgress] = []
    pmsim.sweep(small(), entry(), path, replications=1, workers=1)
    pmsim.sweep(small(), entry(), path, replications=3, workers=1, progress=reports.append)
    assert (reports[0].done, reports[0].total) == (2, 6)
    assert files(path) == files(done.path)


def test_the_value_of_replications_in_the_file_counts() -> None:
    assert len(pmsim.sweep(small(replications=2), workers=1).frame) == 2


class StoppedError(Exception):
    """Stands for anything that ends a sweep from outside."""


def stopping_after(count: int) -> Callable[[SweepProgress], None]:
    def report(progress: SweepProgress) -> None:
        if progress.done >= count:
            raise StoppedError

    return report


def test_an_interrupted_sweep_goes_on_where_it_was(
    done: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "REPORT_S", 0.0)
    path = tmp_path / "sweep"
    for count in (1, 2, 5):
        with pytest.raises(StoppedError):
            pmsim.sweep(small(), entry(), path, replications=3, workers=1,
                        progress=stopping_after(count))  # fmt: skip
        unfinished = pmsim.open(path)
        assert isinstance(unfinished, Sweep)
        assert not unfinished.complete
        assert len(unfinished.frame) >= count
    pmsim.sweep(small(), entry(), path, replications=3, workers=1)
    assert files(path) == files(done.path)


def test_the_first_replication_of_every_cell_comes_before_the_second_of_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "REPORT_S", 0.0)
    with pytest.raises(StoppedError):
        pmsim.sweep(small(), entry(), tmp_path, replications=3, workers=1,
                    progress=stopping_after(2))  # fmt: skip
    assert Sweep(tmp_path).frame["replication"].tolist() == [0, 0]


def test_short_replications_of_a_cell_are_done_together_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together: list[tuple[int, tuple[int, ...]]] = []
    work = driver.Driver._work

    def noted(one: driver.Driver, job: driver.Job) -> None:
        together.append((job.cell.number, job.replications))
        work(one, job)

    monkeypatch.setattr(driver.Driver, "_work", noted)
    outcome = Outcome({"duration_ps": 1.0}, None, 0.125)
    monkeypatch.setattr(driver, "replicate", lambda *_: outcome)
    pmsim.sweep(small(), entry(), tmp_path, replications=31, workers=1)
    # Half a second holds four of an eighth; towards the end, a quarter of what is left.
    assert together[:2] == [(0, (0,)), (1, (0,))]
    assert together[2:4] == [(0, (1, 2, 3, 4)), (1, (1, 2, 3, 4))]
    assert len(together[-1][1]) == 1
    assert max(len(numbers) for _, numbers in together) == 4
    for cell in (0, 1):
        done = [number for one, numbers in together if one == cell for number in numbers]
        assert done == list(range(31))


@pytest.mark.slow
def test_a_long_sweep_that_starts_others_by_itself_gives_the_same_files(
    done: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "WORTH_S", 0.0)
    monkeypatch.setattr(workers, "cores", lambda: 2)
    pmsim.sweep(small(), entry(), tmp_path / "again", replications=3)
    assert files(tmp_path / "again") == files(done.path)


def test_a_damaged_file_is_done_again_alone_and_said(done: Sweep, tmp_path: Path) -> None:
    path = tmp_path / "sweep"
    pmsim.sweep(small(), entry(), path, replications=3, workers=1)
    whole = path / "replications" / "cell=1" / "all.parquet"
    whole.write_bytes(whole.read_bytes()[:-100])
    reports: list[SweepProgress] = []
    with pytest.warns(UserWarning, match="cell 1 alone is done again"):
        pmsim.sweep(small(), entry(), path, replications=3, workers=1, progress=reports.append)
    assert (reports[0].done, reports[0].total) == (3, 6)
    assert files(path) == files(done.path)


def test_a_replication_that_fails_is_a_row_that_says_so_and_is_not_tried_again(
    tmp_path: Path,
) -> None:
    program = tmp_path / "program.csv"
    program.write_text("cpu,op,arg\n1,mutex_unlock,1\n")
    base = scenario({"kind": "trace", "file": str(program)}, WORK, cpus=2, measure=MEASURE)
    sweep = pmsim.sweep(base, {"seed": [1, 2]}, tmp_path / "s", replications=2, workers=1)
    assert sweep.complete
    assert sweep.failures[["cell", "replication"]].to_numpy().tolist() == [
        [0, 0], [0, 1], [1, 0], [1, 1]
    ]  # fmt: skip
    assert "releases" in sweep.failures["error"].iloc[0]
    reports: list[SweepProgress] = []
    pmsim.sweep(base, {"seed": [1, 2]}, tmp_path / "s", replications=2, workers=1,
                progress=reports.append)  # fmt: skip
    assert (reports[0].done, reports[0].failed) == (4, 4)


def test_a_count_that_does_not_occur_is_zero_and_a_mean_that_does_not_is_unknown() -> None:
    base = scenario(
        {"kind": "pool_churn", "name": "pools", "pools": 1, "allocations": 1}, WORK,
        cpus=2, measure=MEASURE,
    )  # fmt: skip
    sweep = pmsim.sweep(base, {"workloads.pools.protect": ["end", "never"]}, workers=1)
    frame = sweep.frame.set_index("workloads.pools.protect")
    assert frame.loc["end", "operation_count[pmalloc_protect_pool]"] == 1
    assert frame.loc["never", "operation_count[pmalloc_protect_pool]"] == 0
    assert np.isnan(frame.loc["never", "operation_mean_ps[pmalloc_protect_pool]"])


def test_every_column_of_metrics_is_declared(done: Sweep) -> None:
    assert {name.partition("[")[0] for name in filter(is_metric, done.frame.columns)} <= set(
        METRICS
    )
    assert (
        done.metrics.loc["operation_mean_ps[pmalloc_destroy_pool]", "of"] == "pmalloc_destroy_pool"
    )


def test_a_sweep_without_a_place_disappears_with_its_object() -> None:
    sweep = pmsim.sweep(small(), workers=1)
    path = sweep.path
    assert len(sweep.frame) == 1
    del sweep
    gc.collect()
    assert not path.exists()


def test_a_full_disk_ends_the_sweep_and_the_same_command_goes_on(
    done: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "sweep"
    write = os.replace
    left = iter(range(3))

    def replace(source: Any, target: Any) -> None:
        if (
            str(target)[-5:] in (".json", "rquet")
            and "cell=" in str(target)
            and next(left, None) is None
        ):
            raise OSError(28, "No space left on device")
        write(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        with pytest.raises(OutputError, match="no space left"):
            pmsim.sweep(small(), entry(), path, replications=3, workers=1)
    assert len(Sweep(path).frame) == 3
    pmsim.sweep(small(), entry(), path, replications=3, workers=1)
    assert files(path) == files(done.path)


def dying(monkeypatch: pytest.MonkeyPatch, times: int) -> None:
    """Kill a worker with each of the first so many jobs that are handed in."""
    left = iter(range(times))
    start = Processes._started

    def started(workers: Processes) -> Any:
        executor = start(workers)
        hand_in = executor.submit

        def submit(*job: Any) -> Any:
            future = hand_in(*job)
            if next(left, None) is not None:
                hand_in(os._exit, 1)
            return future

        executor.submit = submit
        return executor

    monkeypatch.setattr(Processes, "_started", started)


@pytest.mark.slow
def test_a_worker_that_dies_loses_nothing(
    done: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dying(monkeypatch, 2)
    pmsim.sweep(small(), entry(), tmp_path / "s", replications=3, workers=2)
    assert files(tmp_path / "s") == files(done.path)


@pytest.mark.slow
def test_workers_that_die_again_and_again_are_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "replicate_all", lambda *_: os._exit(1))
    with pytest.raises(SchedulerError, match="died 4 times in a row, while one ran replication"):
        pmsim.sweep(small(), entry(), tmp_path / "s", replications=3, workers=2)


class Team:
    """Stands for processes: notes how many were started, and that they were ended."""

    started: ClassVar[list[int]] = []
    window = 2

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.started.append(slots)

    def close(self) -> None:
        self.started.remove(self.slots)


def test_workers_are_as_many_as_asked_for_or_as_many_as_pay(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert local_workers(3).slots == 3
    monkeypatch.setattr(workers, "Processes", Team)
    monkeypatch.setattr(workers, "cores", lambda: 4)
    alone, several = local_workers(1), local_workers()
    for team in (alone, several):
        assert (team.here, team.slots, team.window) == (True, 1, 0)
        for seconds in (None, 0.0, WORTH_S - 0.1):
            team.expect(seconds)
        assert team.slots == 1
        team.expect(WORTH_S)
    assert alone.slots == 1
    assert (several.slots, several.window, Team.started) == (4, 2, [3])
    several.expect(100.0)
    assert Team.started == [3]
    several.close()
    assert Team.started == []
    with pytest.raises(ScenarioError, match="0 workers"):
        pmsim.sweep(small(), workers=0)


def test_an_interrupt_reaches_the_caller_with_all_that_is_finished_on_disk(tmp_path: Path) -> None:
    def report(progress: SweepProgress) -> None:
        if progress.done >= 1:
            os.kill(os.getpid(), signal.SIGINT)

    assert threading.current_thread() is threading.main_thread()
    with pytest.raises(KeyboardInterrupt):
        pmsim.sweep(small(), entry(), tmp_path / "s", replications=50, workers=1, progress=report)
    sweep = Sweep(tmp_path / "s")
    assert 1 <= len(sweep.frame) < 100
    assert not list((tmp_path / "s").rglob("*.tmp"))


@pytest.mark.slow
def test_a_workload_that_was_defined_here_runs_in_other_processes(
    tmp_path: Path, scoped_kinds: None
) -> None:

    @pmsim.workload("sleeper")
    class Sleeper:
        """Sleeps for a random time; only this process knows it."""

        def run(self, _kernel: Any, cpu: Any) -> Any:
            yield from cpu.sleep(round(cpu.rng("time").exponential(10**6)))

    base = scenario({"kind": "sleeper"}, measure=MEASURE)
    for number in (1, 2):
        pmsim.sweep(base, {"seed": [1, 2]}, tmp_path / f"{number}", replications=2, workers=number)
    assert files(tmp_path / "1") == files(tmp_path / "2")
    assert Sweep(tmp_path / "2").frame["duration_ps"].nunique() == 4
