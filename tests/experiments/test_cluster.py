"""A real Dask scheduler with real workers, on this computer."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import distributed
import pytest

import pmsim
from pmsim.errors import SchedulerError
from pmsim.experiments import cluster
from pmsim.experiments.driver import SweepProgress
from pmsim.simulation.result.manifest import made_by
from tests.experiments.small import entry, small
from tests.experiments.test_dataset import files

ROOT = str(Path(__file__).parents[2])
REPLICATIONS = 12


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the same sweep, run in this process."""
    path = tmp_path_factory.mktemp("local") / "sweep"
    return files(pmsim.sweep(small(), entry(), path, replications=REPLICATIONS, workers=1).path)


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": ROOT}
    return subprocess.Popen(
        [sys.executable, "-m", f"distributed.cli.{module}", *arguments],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def worker(address: str) -> subprocess.Popen[bytes]:
    return start("dask_worker", address, "--nthreads", "1", "--no-nanny", "--no-dashboard",
                 "--death-timeout", "60")  # fmt: skip


@pytest.fixture
def scheduler() -> Iterator[str]:
    port = free_port()
    process = start("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield f"tcp://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    process.wait(30)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_worker_killed_in_the_middle_loses_nothing_and_the_files_are_those_of_a_local_sweep(
    scheduler: str, tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    workers = [worker(scheduler), worker(scheduler)]

    def report(progress: SweepProgress) -> None:
        if progress.done >= 4 and workers[0].poll() is None:
            workers[0].kill()

    try:
        sweep = pmsim.sweep(
            small(), entry(), tmp_path / "s", replications=REPLICATIONS,
            scheduler=scheduler, progress=report,
        )  # fmt: skip
        assert workers[0].wait(10) == -signal.SIGKILL
    finally:
        for one in workers:
            one.kill()
            one.wait()
    assert sweep.complete
    assert files(tmp_path / "s") == wanted


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_cluster_of_this_computer_gives_the_same_files(
    tmp_path: Path, wanted: dict[str, bytes]
) -> None:
    pmsim.sweep(small(), entry(), tmp_path / "s", replications=REPLICATIONS,
                scheduler="local", workers=1)  # fmt: skip
    assert files(tmp_path / "s") == wanted


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")
def test_a_worker_that_dies_while_versions_are_compared_loses_nothing(
    scheduler: str, tmp_path: Path, wanted: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    here, first = os.getpid(), str(tmp_path / "first")

    def answered_by_the_second() -> object:
        if os.getpid() != here:
            try:
                os.mkdir(first)
            except FileExistsError:
                time.sleep(0.5)
            else:
                os.kill(os.getpid(), signal.SIGKILL)
        return made_by()

    monkeypatch.setattr(cluster, "made_by", answered_by_the_second)
    workers = [worker(scheduler), worker(scheduler)]
    try:
        with distributed.Client(scheduler, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        sweep = pmsim.sweep(
            small(), entry(), tmp_path / "s", replications=REPLICATIONS, scheduler=scheduler
        )
        assert sorted(one.poll() is None for one in workers) == [False, True]
    finally:
        for one in workers:
            one.kill()
            one.wait()
    assert sweep.complete
    assert files(tmp_path / "s") == wanted


def test_a_scheduler_that_does_not_answer_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "ANSWER_S", 0.5)
    with pytest.raises(
        SchedulerError, match=r"no scheduler answers at tcp://127\.0\.0\.1:9 within"
    ):
        pmsim.sweep(small(), out=tmp_path / "s", scheduler="tcp://127.0.0.1:9")
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("address", ["nowhere", "tcp://", "host:8786", "tcp://host"])
def test_what_is_no_address_is_told_at_once(address: str) -> None:
    with pytest.raises(SchedulerError, match=r"no address .* tcp://host:8786"):
        pmsim.sweep(small(), scheduler=address)


def test_without_dask_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SchedulerError, match=r"pip install 'pmsim\[dask\]'"):
        pmsim.sweep(small(), scheduler="local")


def test_a_worker_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherVersions:
        """A client whose only worker has an older NumPy."""

        closed = False

        def get_executor(self, **_: object) -> OtherVersions:
            return self

        def shutdown(self, **_: object) -> None:
            self.closed = True

        def run(self, _ask: object, on_error: str) -> dict[str, dict[str, object]]:
            own = made_by()
            return {"tcp://a:1": {**own, "versions": {**own["versions"], "numpy": "1.0"}}}

    client = OtherVersions()
    with pytest.raises(SchedulerError, match=r"tcp://a:1 would .* \(numpy .* and 1\.0\)"):
        pmsim.sweep(small(), scheduler=client)
    assert client.closed
