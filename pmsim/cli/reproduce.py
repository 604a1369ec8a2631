"""``pmsim reproduce``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmsim.cli import completing
from pmsim.cli.calibrate import HOST
from pmsim.cli.options import Quiet
from pmsim.cli.run import RESULTS
from pmsim.cli.status import at_work, check_memory, reporting, say, say_what_stays
from pmsim.errors import Fault, ScenarioError

if TYPE_CHECKING:
    from pmsim.reproduction.experiment import Experiment
    from pmsim.reproduction.reproduction import Reproduction

PAGE = "report.html"
MARKDOWN = "truth.md"


@reporting
def reproduce(
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Experiments, as `pmsim list experiments` shows them, or files of your own; host:"
            " the cells of `pmsim calibrate`. Default: all that pmsim ships.",
            autocompletion=completing.experiments,
        ),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Processes. Default: one a processor.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where tables, page and figures go. Default: results/reproduce."
        ),
    ] = None,
    intervals: Annotated[
        bool,
        typer.Option(
            "--intervals",
            help="Also predict with constants from their ranges: intervals, and how many hold."
            " Nine times the runs.",
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    quiet: Quiet = False,
    no_figures: Annotated[
        bool, typer.Option("--no-figures", help="No figures and no page.")
    ] = False,
) -> None:
    """Predict published experiments, and compare.

    Raw predictions read no measurement; scaled ones read one point of each experiment.
    """
    from pmsim.reproduction.experiment import experiment_names, load_experiment
    from pmsim.reproduction.reproduce import reproduce as run
    from pmsim.simulation.result.place import check_place, result_directory

    place = out or RESULTS / "reproduce"
    check_place(place, force=force)
    say_what_stays(place)
    check_memory()
    named = [one for name in experiments or experiment_names() for one in _chosen(name)]
    chosen = [load_experiment(one) if isinstance(one, str) else one for one in named]
    if not quiet:
        from pmsim.cli.compiling import compile_passes

        compile_passes(apart=any(one.compiles_apart for one in chosen))
    with at_work():
        with _shown(wanted=not quiet) as progress:
            found = run(*chosen, workers=workers, progress=progress, intervals=intervals)
        with result_directory(place, force=force) as work:
            _write(found, work, figures=not no_figures)
    if not quiet:
        _print(found)
        say(f"tables{'' if no_figures else ', page and figures'}: {place}")


def _chosen(name: str) -> Sequence[str | Experiment]:
    """Return the experiments of a name: one of that name, or those of a calibration."""
    from pmsim.calibration.experiments import calibrated_experiments, calibration_at

    path = calibration_at(name)
    if path is None and name == HOST.stem and not HOST.is_file():
        hint = f"`pmsim calibrate` measures this machine, and writes {HOST}"
        fault = Fault(name, 0, 0, "no-cells", f"there is no {HOST}, nor cells beside it", hint)
        raise ScenarioError([fault])
    return [name] if path is None else calibrated_experiments(path)


def _write(found: Reproduction, work: Path, *, figures: bool) -> None:
    """Write everything into a directory."""
    found.save(work)
    if not figures:
        return
    from pmsim.figures.published import truth_drawings
    from pmsim.report.truth import truth_html
    from pmsim.report.truth_markdown import truth_markdown

    (work / PAGE).write_text(truth_html(found), encoding="utf-8")
    drawings = truth_drawings(found.points)
    places = [f"{drawing.name}.png" for drawing in drawings]
    for drawing, place in zip(drawings, places, strict=True):
        drawing.save(work / place)
    (work / MARKDOWN).write_text(truth_markdown(found, places), encoding="utf-8")


def _print(found: Reproduction) -> None:
    """Print a table for each experiment, and what they come to together."""
    from rich.text import Text

    from pmsim.cli.console import Output
    from pmsim.report.truth_tables import experiment_table, truth_tables, truth_words

    console = Output()
    scores = found.scores
    for one in found.experiments:
        console.print(Text(one.name, style="bold"))
        console.print(Text(one.title))
        console.table(experiment_table(one, [s for s in scores if s.experiment == one.name]))
    if len(found.experiments) > 1:
        for table in truth_tables(found):
            console.print()
            console.table(table)
    for sentence in truth_words(found):
        console.print(Text(f"- {sentence}"))


@contextmanager
def _shown(*, wanted: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a callback that shows how many runs are done, where somebody sees it."""
    import sys

    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True, highlight=False).status("running") as status:
        yield lambda done, total: status.update(f"{done} of {total} runs")
