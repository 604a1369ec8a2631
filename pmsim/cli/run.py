"""``pmsim run``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pmsim.cli.options import MaxReplications, Precision, Seed
from pmsim.cli.status import BAD_INPUT, leave, reporting, termination_as_interrupt
from pmsim.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from pmsim.scenario.scenario import Scenario
    from pmsim.simulation.result.result import Result

RESULTS = Path("results")
"""Where results go that are not sent elsewhere."""


@reporting
def run(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Scenario files, or names of shipped scenarios."),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where the result goes; with several files, one below it each."
            " Default: results/NAME.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a result that is there already.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False,
    no_figures: Annotated[bool, typer.Option("--no-figures", help="Draw no figures.")] = False,
    seed: Seed = None,
    values: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="PATH=VALUE",
            help="Another value for a key, such as machine.cpus=8; may be repeated.",
        ),
    ] = None,
    replications: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many runs.")
    ] = None,
    precision: Precision = None,
    max_replications: MaxReplications = None,
) -> None:
    """Run scenarios, and answer in words, tables, files and figures."""
    changes = _changes(values or [], {"seed": seed, "replications": replications})
    scenarios = _loaded(files, changes)
    places = _places(scenarios, out)
    if not quiet:
        from pmsim.cli.compiling import compile_passes

        compile_passes()
    from pmsim.simulation.result.place import check_place

    for place in places:
        check_place(place, force=force)
    with termination_as_interrupt():
        for scenario, place in zip(scenarios, places, strict=True):
            _run_one(
                scenario,
                place,
                quiet=quiet,
                figures=not no_figures,
                force=force,
                precision=precision,
                max_replications=max_replications,
            )


def _changes(values: list[str], keys: dict[str, int | None]) -> dict[str, Any]:
    """Return the values that the options change, by dotted path."""
    from pmsim.scenario.read import parse

    changes: dict[str, Any] = {}
    for text in values:
        path, equals, value = text.partition("=")
        if not equals or not path or not value:
            leave(BAD_INPUT, f"--set wants PATH=VALUE, such as machine.cpus=8, not '{text}'")
        changes[path] = parse(value, f"--set {path}").value()
    return changes | {key: value for key, value in keys.items() if value is not None}


def _loaded(files: list[str], changes: dict[str, Any]) -> list[Scenario]:
    """Return all scenarios, or raise `ScenarioError` with the faults of all of them."""
    from pmsim.scenario.scenario import load

    scenarios: list[Scenario] = []
    faults: list[Fault] = []
    for file in files:
        try:
            scenario = load(file)
            scenarios.append(scenario.with_(**changes) if changes else scenario)
        except ScenarioError as error:
            faults += error.faults
    if faults:
        raise ScenarioError(faults)
    return scenarios


def _places(scenarios: list[Scenario], out: Path | None) -> list[Path]:
    """Return where the result of each scenario goes."""
    if out is not None and len(scenarios) == 1:
        return [out]
    places = [(out or RESULTS) / scenario.name for scenario in scenarios]
    twice = next((place for place in places if places.count(place) > 1), None)
    if twice is not None:
        leave(BAD_INPUT, f"two of the scenarios would go to {twice}: give them different names")
    return places


def _run_one(
    scenario: Scenario, place: Path, *, quiet: bool, figures: bool, **options: Any
) -> None:
    from pmsim.cli.progress import Bar
    from pmsim.simulation.run.replications import run as simulate

    if scenario.sweep and not quiet:
        paths = ", ".join(scenario.sweep)
        typer.echo(f"pmsim: {scenario.name}: one run; `pmsim sweep` varies {paths}", err=True)

    with Bar(scenario.name, shown=not quiet and sys.stderr.isatty()) as bar:
        result = simulate(
            scenario,
            place,
            progress=bar.update,
            finish=_draw if figures else None,
            **options,
        )
    if not quiet:
        from pmsim.cli.answer import print_answer

        print_answer(result)


def _draw(result: Result) -> None:
    """Draw the figures of a result into its directory."""
    from pmsim.figures.gallery import draw_all

    draw_all(result, result.path / "figures")
