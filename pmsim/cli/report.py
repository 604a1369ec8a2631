"""``pmsim report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pmsim.cli.status import at_work, reporting, say

PAGE = "report.html"
"""The file of a page that is not sent elsewhere."""


@reporting
@at_work()
def report(
    results: Annotated[
        list[Path],
        typer.Argument(
            metavar="RESULT...", help="Directories of results, sweeps or sensitivities."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FILE",
            help="Where the page goes. Default: RESULT/report.html; of several, report.html here.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is there already.")
    ] = False,
) -> None:
    """Write one HTML page about results, to show to others.

    It holds the answer in words, figures, tables and the scenario.
    """
    from pmsim.simulation.result.files import check_files

    page = output or (results[0] / PAGE if len(results) == 1 else Path(PAGE))
    # A file among the results is told as such, and not as where no page can go.
    if not any(path.is_file() for path in results):
        check_files([page], force=force)
    from pmsim.experiments.opening import open_path

    found = [open_path(path) for path in results]
    from pmsim.report.page import write_report

    say(write_report(found, page, force=force))
