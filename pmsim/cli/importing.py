"""``pmsim import``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmsim.cli.status import BAD_INPUT, at_work, leave, reporting, say

if TYPE_CHECKING:
    from pmsim.imports.found import Imported


REPORTS = ("report.html", "report.md", "report.json")
"""The files of a report."""


@reporting
@at_work()
def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="What there is: a trace, /proc/interrupts (once, or before and after), ...",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="DIR",
            help="Where the report goes (HTML, Markdown, JSON), and the pieces of scenarios.",
        ),
    ] = None,
    isolated: Annotated[
        str, typer.Option("--isolated", metavar="CPUS", help="CPUs to show apart, such as 2-7,16.")
    ] = "",
    tick: Annotated[
        str,
        typer.Option(
            "--tick", metavar="TIME", help="What a step stands for of a clock that counts events."
        ),
    ] = "1us",
    between: Annotated[
        str | None,
        typer.Option(
            "--between",
            metavar="TIME",
            help="The time between two readings of /proc/interrupts.",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are there already.")
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, and no report on the terminal.")
    ] = False,
) -> None:
    """Read traces, counts of interrupts, areas, topologies."""
    from pmsim.imports.importer import Wishes, import_files
    from pmsim.units import parse_time

    if out is not None:
        from pmsim.simulation.result.files import check_files

        check_files([out / name for name in REPORTS], force=force)
    with _shown_reading(files[0].name, wanted=not quiet) as progress:
        apart = None if between is None else parse_time(between)
        wishes = Wishes(_cpus(isolated), parse_time(tick), apart, progress)
        found = import_files(files, wishes)
    if out is not None:
        _write(found, out, force=force)
    if not quiet:
        _print(found, out)


def _cpus(listed: str) -> frozenset[int]:
    from pmsim.cpulist import cpus_of
    from pmsim.errors import CpuListError
    from pmsim.readers.formats import MOST_CPUS

    try:
        return frozenset(cpus_of(listed, MOST_CPUS))
    except CpuListError as error:
        leave(BAD_INPUT, f"--isolated: {error}")


def _write(found: Imported, out: Path, *, force: bool) -> None:
    """Write the report and all pieces into a directory: all of them or none."""
    from pmsim.imports.documents import reports
    from pmsim.simulation.result.files import new_files

    files = {**reports(found), **found.files}
    with new_files([out / name for name in files], force=force) as halves:
        for write, half in zip(files.values(), halves, strict=True):
            write(half)


def _print(found: Imported, out: Path | None) -> None:
    from rich.text import Text

    from pmsim.cli.console import Output

    console = Output()
    console.print(Text(f"{found.name}: {found.format}", style="bold"))
    for sentence in found.words:
        console.print(Text(f"- {sentence}"))
    for table in found.tables:
        console.print()
        console.table(table)
    console.print()
    if out is not None:
        say(f"report{''.join(f', {name}' for name in found.files)}: {out}")
    elif found.files:
        say(f"--out DIR writes the report, and {', '.join(found.files)}")


@contextmanager
def _shown_reading(name: str, *, wanted: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a callback that shows how much of a file is read, where somebody sees it."""
    if not wanted or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), TimeRemainingColumn())
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task(f"reading {name}", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
