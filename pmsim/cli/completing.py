"""What Tab completes: names of what pmsim ships, and files beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def scenarios(incomplete: str) -> list[str]:
    """Return shipped scenarios, and files and directories, that begin so."""
    from pmsim.scenario.shipped import scenario_names

    return [*beginning(scenario_names(), incomplete), *_paths(incomplete)]


def experiments(incomplete: str) -> list[str]:
    """Return shipped experiments, and files, that begin so."""
    from pmsim.reproduction.experiment import experiment_names

    return [*beginning(experiment_names(), incomplete), *_paths(incomplete)]


def beginning(names: Iterable[str], incomplete: str) -> list[str]:
    """Return the names that begin with what is there."""
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str) -> list[str]:
    folder = incomplete.rpartition("/")[0]
    try:
        found = sorted(Path(folder or ".").iterdir())
    except OSError:
        return []
    written = [f"{path}/" if path.is_dir() else str(path) for path in found]
    return [
        one
        for one in written
        if one.startswith(incomplete) and (one.endswith((".yaml", ".yml", "/")))
    ]
