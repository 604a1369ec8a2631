"""A Dask cluster as the place where replications run (the extra ``dask``)."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pmsim.errors import SchedulerError
from pmsim.experiments.replicate import tidy
from pmsim.experiments.workers import AHEAD
from pmsim.simulation.result.manifest import differences, made_by

if TYPE_CHECKING:
    from distributed import Client

ANSWER_S: Final = 10
"""Seconds in which a scheduler has to answer."""
ASK_S: Final = 1.0
"""How often the size of a cluster is asked for."""
LOCAL: Final = "local"
"""In the place of an address: a cluster of this computer alone, for as long as the sweep."""

_ADDRESS: Final = re.compile(r"[a-z]+://[^/\s]+:\d+")

T = TypeVar("T")


class Cluster:
    """Workers of a Dask cluster.

    Parameters
    ----------
    client
        The connection to its scheduler.
    owned
        What is to be closed with it.
    """

    def __init__(self, client: Client, *owned: Any) -> None:
        self._client = client
        self._owned = owned
        self._slots = 1
        self._ask_again = 0.0
        # A job whose worker dies is run on another one, again and again: it is never to blame.
        self._executor = client.get_executor(pure=False, retries=3)

    @property
    def slots(self) -> int:
        """Threads of all workers; a cluster may grow and shrink."""
        now = time.monotonic()
        if now >= self._ask_again:
            self._ask_again = now + ASK_S
            threads: dict[str, int] = self._client.nthreads()
            self._slots = max(1, sum(threads.values()))
        return self._slots

    @property
    def window(self) -> int:
        """How many jobs are handed in at the same time."""
        return AHEAD * self.slots

    @property
    def executor(self) -> Executor:
        """The cluster as an executor."""
        executor: Executor = self._executor
        return executor

    @property
    def deaths(self) -> tuple[type[BaseException], ...]:
        """What Dask raises of a job whose workers keep dying, or that it lost."""
        from distributed import KilledWorker

        return (KilledWorker, CancelledError)

    here = False

    def expect(self, _seconds: float | None) -> None:
        """Do nothing: a cluster has the workers that it has."""

    def ask_all(self, question: Callable[[], T]) -> dict[str, T]:
        """Return what every worker answers, by its address; one that dies over it is left out.

        Its place is taken by another, or by none, as when it dies over a job.
        """
        answers = self._client.run(question, on_error="return")
        failed = [one for one in answers.values() if isinstance(one, Exception)]
        for error in failed:
            if not isinstance(error, OSError):  # which a broken connection is
                raise error
        return {at: one for at, one in answers.items() if not isinstance(one, Exception)}

    def renew(self) -> None:
        """Do nothing: the scheduler replaces workers by itself."""

    def close(self) -> None:
        """Give up what is under way, and leave the cluster."""
        self._executor.shutdown(wait=False)
        for one in self._owned:
            one.close()


def cluster_workers(scheduler: str | Client, slots: int | None = None) -> Cluster:
    """Return the workers of a cluster.

    Parameters
    ----------
    scheduler
        The address of a scheduler (``tcp://host:8786``), `LOCAL`, or a client that is connected.
    slots
        Processes of a local cluster.

    Raises
    ------
    SchedulerError
        If Dask is not installed, the scheduler does not answer, or a worker's pmsim is another.
    """
    try:
        import distributed
    except ImportError as error:
        message = "a scheduler needs the package distributed: pip install 'pmsim[dask]'"
        raise SchedulerError(message) from error
    if not isinstance(scheduler, str):
        cluster = Cluster(scheduler)
    elif scheduler == LOCAL:
        cluster = _local(slots)
    else:
        client = _connected(scheduler, distributed.Client)
        cluster = Cluster(client, client)
    _check_versions(cluster)
    cluster.ask_all(tidy)
    return cluster


def _local(slots: int | None) -> Cluster:
    from distributed import Client, LocalCluster

    # Threads of one process would wait for each other: Python runs one at a time.
    cluster = LocalCluster(n_workers=slots, threads_per_worker=1, dashboard_address=None)
    client = Client(cluster)
    return Cluster(client, client, cluster)


def _connected(address: str, connect: Any) -> Client:
    if not _ADDRESS.fullmatch(address):
        raise SchedulerError(
            f"'{address}' is no address of a scheduler: one looks like tcp://host:8786;"
            f" '{LOCAL}' stands for a cluster of this computer"
        )
    try:
        client: Client = connect(address, timeout=ANSWER_S, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise SchedulerError(
            f"no scheduler answers at {address} within {ANSWER_S} s: is it running there?"
        ) from error
    return client


def _check_versions(cluster: Cluster) -> None:
    """Raise `SchedulerError` if a worker would compute something else than this process."""
    own = made_by()
    for worker, other in cluster.ask_all(made_by).items():
        changed = differences(own, other)
        if changed:
            cluster.close()
            raise SchedulerError(
                f"this process and the worker {worker} would give different numbers ({changed}):"
                " install the same on both"
            )
