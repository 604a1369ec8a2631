"""``pmsim sweep``."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pmsim.cli import completing
from pmsim.cli.drawing import draw_and_say
from pmsim.cli.interrupts import INTERRUPTED
from pmsim.cli.options import MaxReplications, NoFigures, Precision, Protocols, Quiet, Seed
from pmsim.cli.run import RESULTS, from_here
from pmsim.cli.status import (
    BAD_INPUT,
    RUN_FAILED,
    at_work,
    check_memory,
    leave,
    reporting,
    say,
)

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep

MOST_CELLS = 40
"""Cells that are shown at the end."""
MOST_FAILURES = 5
"""Failures that are told at the end."""


@reporting
def sweep(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE",
            help="A scenario file, or a shipped scenario's name.",
            autocompletion=completing.scenarios,
        ),
    ],
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=V1,V2,...",
            help="Values for a key, such as machine.cpus=8,64; or a range LOW..HIGH; may be"
            " repeated.",
        ),
    ] = None,
    _protocols: Protocols = None,
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="METHOD:N", help="Points of the space instead of a grid: lhs:N or sobol:N."
        ),
    ] = None,
    replications: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Runs of each cell.")
    ] = None,
    precision: Precision = None,
    max_replications: MaxReplications = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes. Default: as many as pay.")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="A Dask cluster: the address of its scheduler, or local for one of this computer.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Where the sweep goes. Default: results/NAME-sweep."),
    ] = None,
    seed: Seed = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace another sweep; run a huge grid all the same.")
    ] = False,
    quiet: Quiet = False,
    no_figures: NoFigures = False,
) -> None:
    """Run a scenario for many values of some keys.

    The same command goes on where an interrupted one was.
    """
    from pmsim.scenario.scenario import load

    given = _values(values or [])
    scenario = load(file)
    if seed is not None:
        scenario = scenario.with_(seed=seed)
    place = out or RESULTS / f"{scenario.name}-sweep"
    if not given and not scenario.sweep and not quiet:
        say(
            "pmsim: nothing is varied, so this is one cell: --set machine.cpus=8,64 varies the CPUs"
            " (and `pmsim run` shows one run in full)",
            err=True,
        )
    check_memory()
    if not quiet:
        from pmsim.cli.compiling import compile_passes
        from pmsim.experiments.plan import plan_of
        from pmsim.simulation.run.compiling import compiles_apart, may_compile_apart

        # What is wrong with the cells is told before anybody waits for the compiler.
        check = partial(plan_of, scenario, given, sample=sample, force=force)
        apart = may_compile_apart(f"{given} {scenario.sweep}") or compiles_apart(scenario.resolve())
        compile_passes(first=check, apart=apart)
    result = _run(
        place,
        scenario=scenario,
        values=given,
        replications=replications,
        sample=sample,
        precision=precision,
        max_replications=max_replications,
        workers=workers,
        scheduler=scheduler,
        force=force,
        progress=None if quiet else "auto",
    )
    if not quiet:
        _print(result)
    undrawn = "" if no_figures else draw_and_say(result, result.files, quiet=quiet)
    wrong = [_failed(result), _over_budget(result), undrawn]
    if any(wrong):
        leave(RUN_FAILED, "\n".join(filter(None, wrong)))


def _values(texts: list[str]) -> dict[str, Any]:
    """Return the values of each key, written as in a list of a scenario file."""
    from pmsim.scenario.read import parse

    values: dict[str, Any] = {}
    for text in texts:
        path, equals, several = text.partition("=")
        if not equals or not path or not several:
            leave(BAD_INPUT, f"--set wants PATH=V1,V2,..., such as machine.cpus=8,64, not '{text}'")
        listed = several if several.startswith("[") else f"[{several}]"
        read = parse(listed, f"--set {path}").value()
        values[path] = [from_here(path, one) for one in read] if isinstance(read, list) else read
    return values


def _run(place: Path, **options: Any) -> Sweep:
    """Run the sweep; say what is damaged, and where an interrupt leaves it."""
    import warnings

    from pmsim.experiments.results import Sweep
    from pmsim.experiments.sweep import sweep as run_sweep

    try:
        with at_work(), warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning = _say
            return run_sweep(out=place, **options)
    except KeyboardInterrupt:
        done = int(Sweep(place).cells["replications"].sum()) if place.exists() else 0
        leave(
            INTERRUPTED,
            f"interrupted, with {done:,} of the replications finished in {place};"
            " the same command goes on from there",
        )


def _say(message: Warning | str, *_: Any, **__: Any) -> None:
    say(f"pmsim: {message}", err=True)


def _print(result: Sweep) -> None:
    """Print the headline figures cell by cell, and where the rest is."""
    from rich.text import Text

    from pmsim.cli.console import Output
    from pmsim.escaping import visible
    from pmsim.report.sweep_answer import sweep_words
    from pmsim.report.sweep_tables import headlines

    console = Output()
    table = headlines(result, MOST_CELLS)
    console.print(Text(result.name, style="bold"))
    for sentence in sweep_words(result):
        console.print(Text(f"- {visible(sentence)}"))
    console.print()
    console.table(table)
    console.print(Text(table.note))
    console.print(Text(f"rows of all replications: {result.path} (pmsim.open reads it)"))


def _over_budget(result: Sweep) -> str:
    """Say which replications are over their budget, the first of them; empty if none is."""
    rows = result.over_budget
    if not len(rows):
        return ""
    said = [_found(row) for row in rows.head(MOST_FAILURES).to_dict("records")]
    more = [f"and {len(rows) - MOST_FAILURES:,} more"] if len(rows) > MOST_FAILURES else []
    are = f"{len(rows):,} replications are" if len(rows) > 1 else "1 replication is"
    return "\n    ".join([f"{are} over budget:", *said, *more])


def _found(row: dict[Any, Any]) -> str:
    from pmsim.formatting import rate, time

    longest = row["isolated_longest_ps"]
    text = f"cell {row['cell']}, replication {row['replication']}: an isolated CPU was interrupted"
    return f"{text} at {rate(row['isolated_interrupts_per_s'])}, for {time(longest)} at most"


def _failed(result: Sweep) -> str:
    """Say which replications failed, the first of them; empty if none did."""
    rows = result.failures
    if not len(rows):
        return ""
    said = [
        f"cell {row.cell}, replication {row.replication}: {row.error}"
        for row in rows.head(MOST_FAILURES).itertuples()
    ]
    more = [f"and {len(rows) - MOST_FAILURES:,} more"] if len(rows) > MOST_FAILURES else []
    count = f"{len(rows):,} replication{'s' if len(rows) > 1 else ''} failed"
    return "\n    ".join([f"{count}:", *said, *more])
