"""``pmsim costs``."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from pmsim.cli.status import at_work, reporting


class Format(StrEnum):
    """How the list is written."""

    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


@reporting
@at_work()
def costs(
    kernels: Annotated[
        list[str] | None,
        typer.Option(
            "--kernel",
            metavar="NAME[,KEY=VALUE]...",
            help="A kernel profile, some of its keys changed; may be repeated. Default: all.",
        ),
    ] = None,
    platforms: Annotated[
        list[str] | None,
        typer.Option(
            "--platform",
            metavar="NAME",
            help="A platform, or a file of one; may be repeated. Default: one per architecture.",
        ),
    ] = None,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="CPUs of each machine. Default: all of them.")
    ] = None,
    areas: Annotated[int, typer.Option(min=1, help="Areas of the pool that is protected.")] = 10,
    pages: Annotated[int, typer.Option(min=1, help="Pages of each area.")] = 4,
    sites: Annotated[int, typer.Option(min=0, help="Branches of the static key.")] = 8,
    working_set: Annotated[
        int, typer.Option(min=0, help="TLB entries that the work on the other CPUs needs.")
    ] = 512,
    format_: Annotated[Format, typer.Option("--format", help="How.")] = Format.MARKDOWN,
) -> None:
    """Print the price list: what one kernel operation costs alone."""
    from pmsim.prices.catalogue import Sizes
    from pmsim.prices.formats import FORMATS
    from pmsim.prices.listing import price_list
    from pmsim.prices.offers import offers

    sizes = Sizes(areas, pages, sites)
    lists = [
        price_list(one.machine, one.profile, sizes, working_set, one.label)
        for one in offers(kernels or [], platforms or [], cpus)
    ]
    typer.echo(FORMATS[format_](lists), nl=False)
