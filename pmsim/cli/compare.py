"""``pmsim compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pmsim.cli.status import reporting, termination_as_interrupt

if TYPE_CHECKING:
    from rich.table import Table

    from pmsim.experiments.comparison import Comparison


@reporting
def compare(
    given: Annotated[
        list[str],
        typer.Argument(
            metavar="A B...",
            help="Result directories, a sweep's (each cell is a side), or scenarios, which are run."
            " All others are compared with the first.",
        ),
    ],
    replications: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Runs of each scenario. Default: 10.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes. Default: one per processor.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every metric, those of single operations and causes too.")
    ] = False,
) -> None:
    """Say what differs between results, pair by pair of replications, and how sure that is."""
    from rich.text import Text

    from pmsim.cli.console import Output
    from pmsim.experiments.comparison import compare as compared

    with termination_as_interrupt():
        found = compared(*given, replications=replications, workers=workers)
    console = Output()
    console.print(Text(f"compared with {found.base}", style="bold"))
    metrics = {one.metric for one in found.differences} if everything else ()
    for sentence in found.sentences(*metrics):
        console.print(Text(f"- {sentence}"))
    console.print()
    console.print(_table(found, everything=everything))


def _table(found: Comparison, *, everything: bool) -> Table:
    from rich.table import Table
    from rich.text import Text

    from pmsim.experiments.said import quantity, signed
    from pmsim.simulation.metrics import metric_of

    table = Table(box=None, pad_edge=False)
    for name in ("side", "metric", "first", "this", "difference", "interval", "effect", "n"):
        table.add_column(
            name, justify="left" if name in ("side", "metric") else "right", overflow="fold"
        )
    for one in found.differences:
        metric, label = metric_of(one.metric)
        if label and not everything:
            continue
        low, high = (signed(metric, end) for end in (one.difference.low, one.difference.high))
        table.add_row(
            Text(one.arm),
            Text(one.metric),
            quantity(metric, one.base),
            quantity(metric, one.other),
            signed(metric, one.difference.mean),
            f"{low} to {high}" if one.difference.low is not None else "not enough data",
            "" if one.effect is None else f"{one.effect:+.2g}",
            f"{one.difference.n:,}",
        )
    return table
