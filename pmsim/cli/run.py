"""``pmsim run``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pmsim.cli import completing
from pmsim.cli.drawing import draw_and_say
from pmsim.cli.options import MaxReplications, NoFigures, Precision, Protocols, Quiet, Seed, Values
from pmsim.cli.status import (
    BAD_INPUT,
    RUN_FAILED,
    at_work,
    check_memory,
    leave,
    reporting,
    say,
    say_what_stays,
    stop_talking,
)
from pmsim.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from pmsim.scenario.scenario import Scenario
    from pmsim.simulation.result.result import Result

RESULTS = Path("results")
MACHINES = ("machine", "machine.platform")
"""Keys that a machine's file may stand behind."""
"""Where results go that are not sent elsewhere."""


@reporting
def run(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Scenario files, or names of shipped scenarios.",
            autocompletion=completing.scenarios,
        ),
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
    quiet: Quiet = False,
    no_figures: NoFigures = False,
    seed: Seed = None,
    values: Values = None,
    _protocols: Protocols = None,
    replications: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How many runs.")
    ] = None,
    precision: Precision = None,
    max_replications: MaxReplications = None,
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Also run it with constants from their ranges, for intervals that hold what these"
            " leave open.",
        ),
    ] = False,
    uncertainty_runs: Annotated[
        int | None,
        typer.Option(metavar="N", help="How many such runs; implies --uncertainty. Default: 64."),
    ] = None,
) -> None:
    """Run scenarios; answer in words, tables and figures.

    A result is whole before the first figure of it is drawn.
    """
    changes = changes_of(values or [], {"seed": seed, "replications": replications})
    scenarios = _loaded(files, changes)
    places = _places(scenarios, out)
    check_memory()
    if not quiet:
        from pmsim.cli.compiling import compile_passes
        from pmsim.simulation.run.compiling import compiles_apart

        compile_passes(apart=any(compiles_apart(one.resolve()) for one in scenarios))
    from pmsim.simulation.result.place import check_place

    for place in places:
        check_place(place, force=force)
        say_what_stays(place)
    wrong = []
    for scenario, place in zip(scenarios, places, strict=True):
        result = _run_one(
            scenario,
            place,
            quiet=quiet,
            force=force,
            precision=precision,
            max_replications=max_replications,
            **_uncertainty(uncertainty, uncertainty_runs),
        )
        if not quiet:
            _print(result)
        wrong += _over_budget(result) + _unsafe(result)
        if not no_figures:
            wrong.append(draw_and_say(result, quiet=quiet))
    if any(wrong):
        leave(RUN_FAILED, "\n".join(filter(None, wrong)))


def _over_budget(result: Result) -> list[str]:
    """Say which limits of the scenario's budget were not kept."""
    isolated = result.summary.isolated
    violations = () if isolated is None else isolated.violations
    return [f"{result.name} is over budget: {one}" for one in violations]


def _unsafe(result: Result) -> list[str]:
    """Say that CPUs could use what they must not, unless the kernel is meant to be unsafe."""
    found = result.summary.safety
    if found is None or not found.violations or result.manifest["scenario"]["kernel"]["unsafe"]:
        return []
    return [f"{result.name} is unsafe: {', '.join(found.by_kind)}"]


def _uncertainty(wanted: bool, runs: int | None) -> dict[str, int]:
    """Return the runs with other constants that are asked for, as an option."""
    if not wanted and runs is None:
        return {}
    from pmsim.experiments.constants.uncertainty import RUNS

    return {"uncertainty": RUNS if runs is None else runs}


def changes_of(values: list[str], keys: dict[str, int | None]) -> dict[str, Any]:
    """Return the values that the options change, by dotted path."""
    from pmsim.scenario.read import parse

    changes: dict[str, Any] = {}
    for text in values:
        path, equals, value = text.partition("=")
        if not equals or not path or not value:
            leave(BAD_INPUT, f"--set wants PATH=VALUE, such as machine.cpus=8, not '{text}'")
        changes[path] = from_here(path, parse(value, f"--set {path}").value())
    return changes | {key: value for key, value in keys.items() if value is not None}


def from_here(path: str, value: Any) -> Any:
    """Return a value as it is; a machine's file where the command is given, by its whole path.

    In a scenario such a path starts from the scenario's own directory.
    """
    from pmsim.scenario.platform import is_path

    if path not in MACHINES or not isinstance(value, str) or not is_path(value):
        return value
    return str(Path(value).absolute()) if Path(value).is_file() else value


def _sweep_meant(fault: Fault, changes: dict[str, Any]) -> Fault:
    """Return a fault, with a hint where the value of a key looks like those of a sweep."""
    for path, value in changes.items():
        several = isinstance(value, str) and "," in value and "=" not in value
        if several and f"{path}:" in str(fault):
            return replace(
                fault, hint=f"one value; `pmsim sweep FILE --set {path}={value}` runs each of them"
            )
    return fault


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
            faults += [_sweep_meant(fault, changes) for fault in error.faults]
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
    scenario: Scenario, place: Path, *, quiet: bool, uncertainty: int | None = None, **options: Any
) -> Result:
    """Run a scenario into a directory, with a bar where somebody can see it."""
    from pmsim.cli.progress import shown_bar

    if scenario.sweep and not quiet:
        paths = ", ".join(scenario.sweep)
        say(f"pmsim: {scenario.name}: one run; `pmsim sweep` varies {paths}", err=True)
    if uncertainty is not None:
        from pmsim.experiments.constants.uncertainty import run_with_uncertainty

        with at_work(), shown_bar(scenario.name, wanted=not quiet) as progress:
            return run_with_uncertainty(
                scenario, place, runs=uncertainty, progress=progress, **options
            )
    from pmsim.simulation.run.replications import run as simulate

    with at_work(), shown_bar(scenario.name, wanted=not quiet) as progress:
        return simulate(scenario, place, progress=progress, **options)


def _print(result: Result) -> None:
    """Print what a result says, to whoever still listens."""
    from pmsim.cli.answer import print_answer

    try:
        print_answer(result)
    except BrokenPipeError:
        stop_talking()  # the figures are drawn all the same
