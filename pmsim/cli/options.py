"""Options that mean the same on several commands."""

from __future__ import annotations

from typing import Annotated

import typer

Seed = Annotated[int | None, typer.Option(help="Another seed.")]
Precision = Annotated[
    str | None,
    typer.Option(
        metavar="P%", help="Add replications until every headline figure is known so well."
    ),
]
MaxReplications = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Where adding ends. Default: 100.")
]
