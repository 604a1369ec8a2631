"""``pmsim plot``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pmsim.cli.status import reporting
from pmsim.errors import OutputError


@reporting
def plot(
    result: Annotated[Path, typer.Argument(metavar="RESULT", help="A result directory.")],
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
    force: Annotated[bool, typer.Option(help="Replace figures that are there already.")] = False,
) -> None:
    """Draw the figures of a result again, in any format that Matplotlib writes."""
    from pmsim.simulation.result import open_result

    found = open_result(result)
    from pmsim.figures.gallery import GALLERY, draw_all

    directory = out or result / "figures"
    endings = formats or ["png"]
    files = [directory / f"{name}.{ending}" for name in GALLERY for ending in endings]
    there = [str(file) for file in files if file.exists()]
    if there and not force:
        raise OutputError(f"{', '.join(there)} exist already (--force replaces them)")
    for file in draw_all(found, directory, endings):
        typer.echo(file)
