"""``pmsim plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pmsim.cli.status import BAD_INPUT, leave, reporting
from pmsim.errors import OutputError


@reporting
def plot(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="The directory of a result or a sweep.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the figures go. Default: RESULT/figures."),
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="FORMAT", help="png, svg, pdf, ...; may be repeated. Default: png."
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
    force: Annotated[bool, typer.Option(help="Replace figures that are there already.")] = False,
) -> None:
    """Draw the figures of a result or a sweep again, in any format that Matplotlib writes."""
    from pmsim.experiments.opening import open_path

    found = open_path(result)
    from pmsim.figures.gallery import draw_all, figures_of
    from pmsim.simulation.result import Result

    if metrics and isinstance(found, Result):
        leave(BAD_INPUT, f"--metric is for sweeps, and {result} is the result of a run")
    directory = out or result / "figures"
    endings = formats or ["png"]
    names = figures_of(found, metrics)
    files = [directory / f"{name}.{ending}" for name in names for ending in endings]
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise OutputError(f"{', '.join(there)} exist already (--force replaces them)")
    for file in draw_all(found, directory, endings, metrics):
        typer.echo(file)
