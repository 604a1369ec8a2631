"""One replication of one cell: what a worker does, here or on another computer."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import gettempdir
from typing import Final

from pmsim.errors import SimulationError
from pmsim.scenario.resolve import ResolvedScenario
from pmsim.simulation.result.scratch import clear_away, scratch
from pmsim.simulation.run.replications import run_measured
from pmsim.simulation.tables.memory import MemoryTables

SCRATCH: Final = "pmsim-replication-"
"""How the names of the directories begin in which replications run."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came out of one replication.

    Attributes
    ----------
    values
        Its metrics by column; empty where it failed.
    error
        What went wrong in simulated time; it would go wrong again. `None` if nothing did.
    wall_s
        How long it took.
    """

    values: Mapping[str, float]
    error: str | None
    wall_s: float


def replicate(scenario: ResolvedScenario, replication: int) -> Outcome:
    """Run one replication, and return what it is measured by; its tables are not kept.

    It depends on nothing but its arguments, wherever it runs.
    """
    started = time.perf_counter()
    error: str | None = None
    values: dict[str, float] = {}
    with MemoryTables(partial(scratch, Path(gettempdir()), SCRATCH)) as tables:
        try:
            _, values = run_measured(scenario, replication, tables)
        except SimulationError as failure:
            error = str(failure)
    return Outcome(values, error, time.perf_counter() - started)


def replicate_all(scenario: ResolvedScenario, replications: Sequence[int]) -> list[Outcome]:
    """Run several replications one after the other; see `replicate`."""
    return replicate_each([(scenario, number) for number in replications])


def replicate_each(jobs: Sequence[tuple[ResolvedScenario, int]]) -> list[Outcome]:
    """Run replications of several scenarios one after the other; see `replicate`.

    A machine and its tasks know each other, so that they go only when they are looked for: once a
    job, or a worker grows by some 15 MB a run.
    """
    outcomes = [replicate(scenario, number) for scenario, number in jobs]
    gc.collect()
    return outcomes


def tidy() -> None:
    """Remove what replications left on this computer when their processes were killed."""
    clear_away(Path(gettempdir()), SCRATCH)
