"""``pmsim compare``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pmsim.cli.options import Protocols
from pmsim.cli.status import at_work, reporting

if TYPE_CHECKING:
    from rich.table import Table

    from pmsim.experiments.comparison import Difference


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
        int | None, typer.Option(min=1, metavar="N", help="Processes. Default: as many as pay.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Every metric, those of single operations and causes too.")
    ] = False,
    _protocols: Protocols = None,
) -> None:
    """Say what differs between results, and how sure that is.

    They are compared pair by pair of replications.
    """
    from rich.text import Text

    from pmsim.cli.console import Output
    from pmsim.experiments.comparison import compare as compared
    from pmsim.simulation.answer.metrics import metric_of

    with at_work():
        found = compared(*given, replications=replications, workers=workers)
    console = Output()
    console.print(Text(f"compared with {found.base}", style="bold"))
    for doubt in found.doubts:
        console.print(Text(f"- {doubt}"))
    metrics = {one.metric for one in found.differences} if everything else ()
    for sentence in found.sentences(*metrics):
        console.print(Text(f"- {sentence}"))
    for arm in dict.fromkeys(one.arm for one in found.differences):
        mine = [one for one in found.differences if one.arm == arm]
        shown = [one for one in mine if everything or not metric_of(one.metric)[1]]
        console.print()
        changed = [one for one in shown if not one.same]
        whole = console.has_room(one.metric for one in changed)
        console.print(_table(found.base, arm, changed, whole=whole))
        same = ", ".join(one.metric for one in shown if one.same)
        if same:
            console.print(Text(f"exactly the same: {same}"))


def _table(base: str, arm: str, differences: Sequence[Difference], *, whole: bool) -> Table:
    """Return the table of one side: what differs from the first, metric by metric.

    Names of metrics are not broken where they are to stay ``whole``. How many replications were
    compared stands above where they are as many for all.
    """
    from rich.table import Table
    from rich.text import Text

    from pmsim import formatting
    from pmsim.confidence import LEVEL
    from pmsim.simulation.answer.metrics import metric_of

    numbers = {one.difference.n for one in differences}
    title = f"{arm}, n = {numbers.pop():,}" if len(numbers) == 1 else arm
    several = [] if title != arm else ["n"]
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("metric", overflow="fold", no_wrap=whole)
    interval = f"{formatting.share(LEVEL)} interval"
    for name in (base, arm, "difference", interval, "effect", *several):
        table.add_column(name, justify="right", overflow="fold", no_wrap=name == "difference")
    for one in differences:
        form = metric_of(one.metric)[0].form
        table.add_row(
            Text(one.metric),
            formatting.quantity(one.base, form),
            formatting.quantity(one.other, form),
            formatting.difference(one.difference.mean, form),
            formatting.difference_interval(one.difference, form),
            "" if one.effect is None else formatting.difference(one.effect, "1"),
            *([f"{one.difference.n:,}"] if several else []),
        )
    return table
