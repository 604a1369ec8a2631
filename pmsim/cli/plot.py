"""``pmsim plot``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pmsim.cli.status import BAD_INPUT, at_work, leave, reporting, say
from pmsim.errors import OutputError


@reporting
@at_work()
def plot(
    result: Annotated[
        Path,
        typer.Argument(
            metavar="RESULT", help="The directory of a result, a sweep or a sensitivity."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the figures go. Default: RESULT/figures."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="FORMAT", help="png, svg, pdf, or several: png,svg. Default: png."
        ),
    ] = None,
    metrics: Annotated[
        list[str] | None,
        typer.Option(
            "--metric",
            metavar="NAME",
            help="What is drawn of a sweep, such as lost_share; may be repeated. Default: the"
            " headline metrics.",
        ),
    ] = None,
    threshold: Annotated[
        str | None,
        typer.Option(
            metavar="VALUE",
            help="Where the line of a phase diagram is drawn, in the unit of --metric: 1%, 20us,"
            " 100/s. Default: 1% of a share.",
        ),
    ] = None,
    width: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTH",
            help="How wide each figure is, such as 3.3in or 84mm, with letters of 7 or 8 points:"
            " for a paper. Default: as suits a screen.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace figures that are there already.")
    ] = False,
) -> None:
    """Draw the figures of a result again, to fit a paper.

    With --width each figure is told with a caption for it.
    """
    endings = endings_of(formats or ["png"])
    from pmsim.experiments.opening import open_path

    found = open_path(result)
    from pmsim.experiments.results import Sweep
    from pmsim.figures.form import SCREEN, form_of, formed
    from pmsim.figures.gallery import drawings

    form = SCREEN if width is None else form_of(width)
    if not isinstance(found, Sweep):
        for option, value in (("--metric", metrics), ("--threshold", threshold)):
            if value:
                leave(BAD_INPUT, f"{option} is for sweeps, and {result} is no sweep")
    if threshold is not None and not metrics:
        leave(BAD_INPUT, "--threshold needs --metric: a threshold of what?")
    directory = out or result / "figures"
    with formed(form):
        chosen = drawings(found, metrics, threshold)
    if not chosen:
        nothing = "varies nothing" if isinstance(found, Sweep) else "tells of no operation"
        what = "sweep" if isinstance(found, Sweep) else "result"
        leave(BAD_INPUT, f"the {what} {result} {nothing}: there is nothing to draw")
    files = {
        drawing: [directory / f"{drawing.name}.{ending}" for ending in endings]
        for drawing in chosen
    }
    there = [str(file) for several in files.values() for file in several if file.exists()]
    if there and not force:
        raise OutputError(f"{', '.join(there)} exist already (--force replaces them)")
    for drawing, several in files.items():
        with formed(form):
            caption = drawing.save(*several)
        for file in several:
            say(file)
        if form.width is not None:
            say(f"    {caption}")


def endings_of(formats: Sequence[str]) -> list[str]:
    """Return the endings of files, each once: written ``svg`` or ``.svg``, alone or in lists."""
    written = [one.strip().removeprefix(".").lower() for text in formats for one in text.split(",")]
    return list(dict.fromkeys(filter(None, written))) or ["png"]
