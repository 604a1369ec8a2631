"""Print tables of speed. Only ratios within one run mean something: machines are noisy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Annotated

import typer
from rich.console import Console

from benchmarks import checker, churn, fabric, growth, kernel, protocols, shares, sweeps

Measure = Callable[[Console], None]
"""Measures a part, and prints its table."""

PARTS: Mapping[str, Measure] = MappingProxyType(
    {
        "fabric": fabric.compare,
        "protocols": protocols.compare,
        "shares": shares.compare,
        "sweeps": sweeps.compare,
        "churn": churn.compare,
        "kernel": kernel.measure,
        "checker": checker.compare,
        "growth": growth.compare,
    }
)


def main(
    parts: Annotated[
        list[str] | None,
        typer.Argument(metavar="PART...", help=f"Of {', '.join(PARTS)}; none: all."),
    ] = None,
    ten_million: Annotated[
        bool,
        typer.Option("--ten-million", help="Measure ten million operations; minutes longer."),
    ] = False,
) -> None:
    """Measure how fast pmsim is, part by part."""
    chosen = parts or list(PARTS)
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise typer.BadParameter(f"there is no part {', '.join(unknown)}: {', '.join(PARTS)}")
    console = Console(width=130)
    measures: dict[str, Measure] = {**PARTS, "churn": partial(churn.compare, measured=ten_million)}
    for name in chosen:
        measures[name](console)


if __name__ == "__main__":
    typer.run(main)
