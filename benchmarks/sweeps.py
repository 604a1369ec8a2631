"""How fast sweeps are: replications per second of wall time, in one process and in many."""

from __future__ import annotations

import time

import pmsim
from pmsim.experiments.driver import SweepProgress

REPLICATIONS = 20
"""Of each process."""


def sweep_rate(workers: int) -> float:
    """Return replications of `policy-load` on 16 CPUs per second, once all workers have begun."""
    scenario = pmsim.load("policy-load").with_(**{"machine.cpus": 16})
    seen: list[tuple[float, int]] = []

    def note(progress: SweepProgress) -> None:
        if progress.done >= workers:
            seen.append((time.perf_counter(), progress.done))

    pmsim.sweep(scenario, replications=REPLICATIONS * workers, workers=workers, progress=note)
    (begin, first), (end, last) = seen[0], seen[-1]
    return (last - first) / (end - begin)
