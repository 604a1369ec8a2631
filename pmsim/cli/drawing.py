"""The figures of a run or a sweep, in its directory, when all else is there and has been said."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pmsim.cli.interrupts import INTERRUPTED
from pmsim.cli.status import at_work, leave, say

if TYPE_CHECKING:
    from pmsim.experiments.constants.found import Sensitivity
    from pmsim.experiments.results import Sweep
    from pmsim.simulation.result.result import Result

FIGURES: Final = "figures"
"""The directory of the figures, in that of the result or the sweep."""


def draw_and_say(
    found: Result | Sweep | Sensitivity, rows: Iterable[Path] = (), *, quiet: bool = False
) -> str:
    """Draw the figures, and say where they are; return why they are not there if they are not.

    An interrupt ends the command; all that was written stays.

    Parameters
    ----------
    found
        The result or the sweep.
    rows
        The files that they are drawn from: where all figures are newer, nothing is drawn.
    quiet
        Whether to say nothing but errors.
    """
    again = f"`pmsim plot {found.path} --force` draws them"
    try:
        with at_work():
            place = draw(found, rows, shown=not quiet)
    except KeyboardInterrupt:
        leave(
            INTERRUPTED,
            f"interrupted while figures were drawn: all else is in {found.path}, and {again}",
        )
    except Exception as error:  # whatever it is, what was computed is worth more than its figures
        return f"the figures could not be drawn: {error} (all else is in {found.path}, and {again})"
    if place is not None and not quiet:
        say(f"figures: {place}")
    return ""


def draw(
    found: Result | Sweep | Sensitivity, rows: Iterable[Path] = (), *, shown: bool = False
) -> Path | None:
    """Draw the figures that say something, unless they are there and nothing was run since.

    Each figure is replaced as a whole, and what else lies beside them stays.

    Parameters
    ----------
    found
        The result or the sweep.
    rows
        The files that they are drawn from.
    shown
        Whether to say on a terminal which one is under way.

    Returns
    -------
    Path or None
        Where they are; `None` if there are none: nothing was varied, nothing happened.
    """
    from pmsim.cli.progress import shown_drawing
    from pmsim.figures.gallery import drawings

    place = found.path / FIGURES
    chosen = drawings(found)
    if not chosen:
        return None
    files = [place / f"{drawing.name}.png" for drawing in chosen]
    if _newest(rows) <= min(map(_drawn, files)):
        return place
    with shown_drawing(len(chosen), wanted=shown) as progress:
        for number, (drawing, file) in enumerate(zip(chosen, files, strict=True)):
            progress(number)
            drawing.save(file)
    return place


def _newest(files: Iterable[Path]) -> int:
    """Return when the last of some files was written."""
    return max((file.stat().st_mtime_ns for file in files), default=0)


def _drawn(figure: Path) -> int:
    """Return when a figure was drawn; before everything if it was not."""
    return figure.stat().st_mtime_ns if figure.is_file() else -1
