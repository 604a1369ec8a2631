"""What Tab completes: names of what pmsim ships, and files beside them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer


def scenarios(incomplete: str) -> list[str]:
    """Return shipped scenarios, and files and directories, that begin so."""
    from pmsim.scenario.shipped import scenario_names

    return [*_begin(scenario_names(), incomplete), *_paths(incomplete)]


def listed(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return names of the kind of thing that `pmsim list` was given."""
    from pmsim.cli.listing import names_of

    return _begin(names_of(str(ctx.params.get("what", ""))), incomplete)


def experiments(incomplete: str) -> list[str]:
    """Return shipped experiments, and files, that begin so."""
    from pmsim.reproduction.experiment import experiment_names

    return [*_begin(experiment_names(), incomplete), *_paths(incomplete)]


def _begin(names: Iterable[str], incomplete: str) -> list[str]:
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
