"""Options that mean the same on several commands."""

from __future__ import annotations

from typing import Annotated

import typer

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
