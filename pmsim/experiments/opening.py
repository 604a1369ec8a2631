"""What a directory holds: the result of a run, a sweep, or a sensitivity."""

from __future__ import annotations

from pathlib import Path

from pmsim.experiments.constants.found import Sensitivity, is_sensitivity
from pmsim.experiments.directory import is_sweep
from pmsim.experiments.results import Sweep
from pmsim.simulation.result.result import Result, open_result


def open_path(directory: str | Path) -> Result | Sweep | Sensitivity:
    """Return the result, the sweep or the sensitivity in a directory.

    Raises
    ------
    ResultError
        If there is none of them, or not a whole one, or one of another format.
    TypeError
        For anything but a directory's path.
    """
    if not isinstance(directory, str | Path):
        raise TypeError(f"a result is opened by its directory, not from {type(directory).__name__}")
    path = Path(directory)
    if is_sensitivity(path):
        return Sensitivity(path)
    return Sweep(path) if is_sweep(path) else open_result(path)
