"""The figures of a sweep, in its directory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep

FIGURES: Final = "figures"
"""The directory of the figures, in that of the sweep."""


def draw_sweep(sweep: Sweep) -> Path | None:
    """Draw the figures of a sweep, unless they are there and nothing was run since.

    Each figure is replaced as a whole, and what else lies beside them stays.

    Returns
    -------
    Path or None
        Where they are; `None` if the sweep has none, for it varies nothing.
    """
    from pmsim.figures.gallery import draw_all, figures_of
    from pmsim.simulation.result.place import writing
    from pmsim.simulation.result.scratch import clear_away, scratch

    place = sweep.path / FIGURES
    names = [f"{name}.png" for name in figures_of(sweep)]
    if not names:
        return None
    if _newest(sweep.files) <= min(map(_drawn, (place / name for name in names))):
        return place
    with writing(place):
        clear_away(sweep.path, f".{FIGURES}-")
        with scratch(sweep.path, f".{FIGURES}-") as half:
            drawn = draw_all(sweep, half)
            place.mkdir(exist_ok=True)
            for file in drawn:
                os.replace(file, place / file.name)
    return place


def _newest(files: Iterable[Path]) -> int:
    """Return when the last of some files was written."""
    return max((file.stat().st_mtime_ns for file in files), default=0)


def _drawn(figure: Path) -> int:
    """Return when a figure was drawn; before everything if it was not."""
    return figure.stat().st_mtime_ns if figure.is_file() else -1
