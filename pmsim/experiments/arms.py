"""The arms of a comparison: what each replication of a scenario measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from pmsim.confidence import LEAST
from pmsim.errors import ResultError, ScenarioError
from pmsim.experiments.directory import is_sweep
from pmsim.experiments.results import Sweep
from pmsim.experiments.sweep import sweep
from pmsim.scenario.scenario import Scenario, load
from pmsim.simulation.result.result import Result, open_result

Comparable = Result | Sweep | Scenario | str | Path
"""What an arm can be given as: a result, a sweep, a scenario, or where one of them is."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of a comparison.

    Attributes
    ----------
    name
        What sentences call it.
    seed
        Arms of one seed share their random draws, replication by replication.
    rows
        The metrics by column, indexed by replication; failed replications left out.
    program
        What made them, as `made_by` tells it.
    """

    name: str
    seed: int
    rows: pd.DataFrame
    program: Mapping[str, Any]


def arms_of(
    given: Sequence[Comparable], *, replications: int | None = None, workers: int | None = None
) -> list[Arm]:
    """Return the arms of a comparison, each with a name of its own.

    Parameters
    ----------
    given
        Results, sweeps (each of whose cells is an arm), or scenarios, which are run.
    replications
        Runs of each scenario; where not given, its own number, or as many as an interval needs.
    workers
        Processes that run them.

    Raises
    ------
    ResultError
        If there are fewer than two arms.
    TypeError
        If one of them is something else.
    """
    arms = [arm for one in given for arm in _arms(one, replications, workers)]
    if len(arms) < 2:
        raise ResultError(
            "a comparison has two sides or more: results, scenarios, cells of a sweep"
        )
    names = names_apart([arm.name for arm in arms])
    return [replace(arm, name=name) for name, arm in zip(names, arms, strict=True)]


def names_apart(names: Sequence[str]) -> list[str]:
    """Return names, with their places where several are the same: ``claim (1)``, ``claim (2)``."""
    return [
        name if names.count(name) == 1 else f"{name} ({place})"
        for place, name in enumerate(names, 1)
    ]


def _arms(given: Comparable, replications: int | None, workers: int | None) -> list[Arm]:
    if isinstance(given, Result):
        return [_of_result(given, given.name)]
    if isinstance(given, Sweep):
        return _of_sweep(given)
    if isinstance(given, Scenario):
        return [_of_scenario(given, replications, workers)]
    if not isinstance(given, str | Path):
        raise TypeError(
            "a comparison takes results, sweeps, scenarios, or where they are, one after the other,"
            f" not {type(given).__name__}: compare(a, b)"
        )
    path = Path(given)
    if is_sweep(path):
        return _of_sweep(Sweep(path))
    if path.is_dir():
        return [_of_result(open_result(path), str(path))]
    return [_of_scenario(_loaded(path, given), replications, workers)]


def _loaded(path: Path, given: str | Path) -> Scenario:
    try:
        return load(given)
    except ScenarioError as error:
        if path.exists() or error.faults[0].code != "no-such-file":
            raise
        message = f"there is no result, no sweep and no scenario '{given}'"
        raise ResultError(message) from error


def _of_result(result: Result, name: str) -> Arm:
    rows = result.replications.set_index("replication").drop(columns="error")
    return Arm(name, int(result.manifest["seed"]), rows, result.manifest)


def _of_sweep(found: Sweep) -> list[Arm]:
    """Return an arm for each cell, named by what it varies."""
    frame = found.frame[found.frame["error"].isna()]
    arms = []
    for cell, rows in frame.groupby("cell"):
        place = found.cells.loc[cell].drop("replications")
        name = ", ".join(f"{path}={value}" for path, value in place.items()) or found.name
        seed = int(place.get("seed", found.manifest["seed"]))
        metrics = rows.set_index("replication").drop(columns=["cell", "error", *place.index])
        arms.append(Arm(name, seed, metrics, found.manifest))
    return arms


def _of_scenario(scenario: Scenario, replications: int | None, workers: int | None) -> Arm:
    alone = scenario.without_sweep()
    wanted = replications or max(alone.resolve().replications, 2 * LEAST)
    return _of_sweep(sweep(alone, replications=wanted, workers=workers))[0]
