"""Opening whatever pmsim left in a directory: the result of a run, or a sweep."""

from __future__ import annotations

from pathlib import Path

from pmsim.experiments.directory import is_sweep
from pmsim.experiments.results import Sweep
from pmsim.simulation.result.result import Result, open_result


def open_path(directory: str | Path) -> Result | Sweep:
    """Return the result or the sweep in a directory.

    Raises
    ------
    ResultError
        If there is neither, or not a whole one, or one of another format.
    """
    path = Path(directory)
    return Sweep(path) if is_sweep(path) else open_result(path)
