"""Options that mean the same on several commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pmsim.cli.status import BAD_INPUT, leave
from pmsim.errors import ScenarioError


def _load(files: list[Path] | None) -> list[Path]:
    """Register the protocols of some files, before anything of the command is done."""
    for file in files or ():
        from pmsim.scenario.protocol_files import load_protocols

        try:
            load_protocols(file)
        except ScenarioError as error:
            leave(BAD_INPUT, f"{error}\n1 fault")
    return files or []


Seed = Annotated[int | None, typer.Option(help="Another seed.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
NoFigures = Annotated[bool, typer.Option("--no-figures", help="Draw no figures.")]
Values = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="PATH=VALUE",
        help="Another value for a key, such as machine.cpus=8; may be repeated.",
    ),
]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="P%", help="Add replications until every headline figure is known so well."
    ),
]
MaxReplications = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Where adding ends. Default: 100.")
]
Protocols = Annotated[
    list[Path] | None,
    typer.Option(
        "--protocols",
        metavar="FILE",
        callback=_load,
        help="A Python file with shootdown protocols of your own; may be repeated.",
    ),
]
