"""``pmsim export``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmsim.cli.status import BAD_INPUT, at_work, leave, reporting, say

if TYPE_CHECKING:
    from pmsim.experiments.results import Sweep
    from pmsim.report.spans import Window
    from pmsim.simulation.result.result import Result

TIMELINE = "timeline.pftrace"
"""The file of a timeline that is not sent elsewhere."""

TRACE = "trace.txt"
"""The same of the text of a kernel trace."""

WITHOUT_DETAIL = (
    "of most shootdowns this shows the slowest target alone; a run with --set"
    " 'measure.detail={from: 0ms, to: 5ms}' keeps all of that part"
)
"""What is said of a timeline whose run was not asked to keep everything."""


@reporting
@at_work()
def export(
    result: Annotated[
        Path, typer.Argument(metavar="RESULT", help="The directory of a result, or of a sweep.")
    ],
    perfetto: Annotated[
        bool, typer.Option("--perfetto", help="A timeline for ui.perfetto.dev, of one replication.")
    ] = False,
    csv: Annotated[
        Path | None,
        typer.Option("--csv", metavar="DIR", help="Tables as CSV: a directory for TABLE.csv."),
    ] = None,
    json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="All tables as one JSON file.")
    ] = None,
    ftrace: Annotated[
        bool,
        typer.Option("--ftrace", help="The text of a kernel trace, which pmsim import reads."),
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help=f"Where it goes. Default: RESULT/{TIMELINE}, or {TRACE}.",
        ),
    ] = None,
    tables: Annotated[
        list[str] | None,
        typer.Option("--table", metavar="NAME", help="This table alone; may be repeated."),
    ] = None,
    replication: Annotated[int, typer.Option(min=0, metavar="N", help="Whose timeline.")] = 0,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Where a timeline begins.")
    ] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TIME", help="Where it ends.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there already.")
    ] = False,
) -> None:
    """Write a result as a Perfetto or kernel trace, as CSV or JSON."""
    if perfetto + ftrace + (csv is not None) + (json is not None) != 1:
        leave(BAD_INPUT, "export wants one of --perfetto, --ftrace, --csv DIR and --json FILE")
    timed = perfetto or ftrace
    if timed and tables:
        leave(BAD_INPUT, "--table goes with --csv and --json; a timeline is made of several tables")
    if not timed and (output or replication or from_ or to):
        leave(BAD_INPUT, "--output, --replication, --from and --to go with --perfetto and --ftrace")
    from pmsim.experiments.constants.found import TABLE, Sensitivity
    from pmsim.experiments.opening import open_path

    found = open_path(result)
    if isinstance(found, Sensitivity):
        leave(
            BAD_INPUT,
            f"{result} holds a sensitivity: its table is {result / TABLE}, and its runs are the"
            f" sweeps in {result / 'screening'}, {result / 'ends'} and {result / 'indices'}",
        )
    if timed:
        window = _window(replication, from_, to)
        default = TIMELINE if perfetto else TRACE
        _export_timeline(found, output or result / default, window, force, ftrace=ftrace)
        return
    from pmsim.report.csv_json import write_csv, write_json

    if csv is not None:
        for path in write_csv(found, csv, tables or (), force=force):
            say(path)
    elif json is not None:
        say(write_json(found, json, tables or (), force=force))


def _window(replication: int, start: str | None, end: str | None) -> Window:
    from pmsim.report.spans import Window
    from pmsim.units import parse_time

    window = Window(
        replication, parse_time(start) if start else 0, parse_time(end) if end else None
    )
    if window.end_ps is not None and window.end_ps < window.start_ps:
        leave(BAD_INPUT, f"a timeline from {start} to {end} ends before it begins")
    return window


def _export_timeline(
    found: Result | Sweep, path: Path, window: Window, force: bool, *, ftrace: bool
) -> None:
    from pmsim.report.ftrace_text import write_ftrace
    from pmsim.report.perfetto import write_perfetto
    from pmsim.simulation.result.result import Result

    if not isinstance(found, Result):
        leave(
            BAD_INPUT,
            f"{found.path} holds a sweep, which keeps no rows to draw a timeline of:"
            " run one of its cells (pmsim run --set ...)",
        )
    _check_window(found, window)
    write = write_ftrace if ftrace else write_perfetto
    say(write(found, path, window, force=force))
    missing = _missing(found, window)
    if missing:
        say(f"pmsim: {missing}", err=True)


def _check_window(found: Result, window: Window) -> None:
    """End the command where nothing of the run lies in the window."""
    from pmsim import formatting

    lengths = found.manifest["durations_ps"]
    if window.replication >= len(lengths):
        return  # which `write_perfetto` says
    if window.start_ps >= lengths[window.replication]:
        leave(
            BAD_INPUT,
            f"the run ends at {formatting.time(lengths[window.replication])}, before"
            f" {formatting.time(window.start_ps)}: nothing is there to show (--from, --to)",
        )


def _missing(found: Result, window: Window) -> str:
    """Say what a timeline does not show because the run did not keep it."""
    from pmsim import formatting

    kept = [one for one in found.summary.detail if one.replication == window.replication]
    if not kept:
        return WITHOUT_DETAIL
    cut = kept[0].cut_ps
    if cut is None or (window.end_ps is not None and window.end_ps <= cut):
        return ""
    return f"there was no room to keep everything after {formatting.time(cut)}"
