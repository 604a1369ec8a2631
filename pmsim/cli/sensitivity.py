"""``pmsim sensitivity``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pmsim.cli import completing
from pmsim.cli.drawing import draw_and_say
from pmsim.cli.interrupts import INTERRUPTED
from pmsim.cli.options import NoFigures, Protocols, Quiet, Seed, Values
from pmsim.cli.run import RESULTS, changes_of
from pmsim.cli.status import (
    RUN_FAILED,
    at_work,
    check_memory,
    leave,
    reporting,
    say,
)

if TYPE_CHECKING:
    from pmsim.experiments.constants.found import Sensitivity


@reporting
def sensitivity(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A scenario file, or a shipped scenario's name.",
            autocompletion=completing.scenarios,
        ),
    ],
    values: Values = None,
    _protocols: Protocols = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The figure that is looked at, such as latency_p99_ps. Default: lost_share, or"
            " latency_mean_ps where nothing was lost.",
        ),
    ] = None,
    trajectories: Annotated[int, typer.Option(metavar="N", help="Ways through the screening.")] = 6,
    points: Annotated[
        int, typer.Option(metavar="N", help="Points of the indices, a power of two.")
    ] = 64,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes. Default: as many as pay.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where it goes. Default: results/NAME-sensitivity."),
    ] = None,
    seed: Seed = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace that of another scenario.")
    ] = False,
    quiet: Quiet = False,
    no_figures: NoFigures = False,
) -> None:
    """Find out on which constants a figure hangs.

    All constants that the run uses and whose values are open are varied in their ranges: a few runs
    for each (Morris), then many for those that matter (Sobol'). The same command goes on where an
    interrupted one was.
    """
    from pmsim.scenario.scenario import load

    changes = changes_of(values or [], {"seed": seed})
    scenario = load(file)
    if changes:
        scenario = scenario.with_(**changes)
    place = out or RESULTS / f"{scenario.name}-sensitivity"
    check_memory()
    from pmsim.experiments.constants.sensitivity import Effort, check_asked

    effort = Effort(trajectories, points)
    check_asked(metric, effort)
    if not quiet:
        from pmsim.cli.compiling import compile_passes
        from pmsim.simulation.run.compiling import compiles_apart

        compile_passes(apart=compiles_apart(scenario.resolve()))
    found = _run(
        place,
        scenario=scenario,
        metric=metric,
        effort=effort,
        workers=workers,
        force=force,
        progress=None if quiet else "auto",
    )
    if not quiet:
        _print(found)
    undrawn = "" if no_figures else draw_and_say(found, found.files, quiet=quiet)
    if undrawn:
        leave(RUN_FAILED, undrawn)


def _run(place: Path, **options: Any) -> Sensitivity:
    """Find it out; say where an interrupt leaves it."""
    from pmsim.experiments.constants.sensitivity import sensitivity as find_out

    try:
        with at_work():
            return find_out(out=place, **options)
    except KeyboardInterrupt:
        leave(INTERRUPTED, f"interrupted: the same command goes on from what is in {place}")


def _print(found: Sensitivity) -> None:
    """Print the answer in words, the constants that do anything, and where the rest is."""
    from rich.text import Text

    from pmsim.cli.console import Output
    from pmsim.report.sensitivity_tables import constants_that_matter

    console = Output()
    table = constants_that_matter(found.found)
    console.print(Text(found.name, style="bold"))
    for sentence in found.sentences():
        console.print(Text(f"- {sentence}"))
    console.print()
    console.table(table)
    console.print(Text(table.note))
    say(f"table and sweeps: {found.path} (pmsim report makes a page of it)")
