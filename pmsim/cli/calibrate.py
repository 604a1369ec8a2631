"""``pmsim calibrate``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pmsim.cli.options import NoFigures, Quiet
from pmsim.cli.status import RUN_FAILED, at_work, check_memory, leave, reporting, say

if TYPE_CHECKING:
    from pmsim.calibration.calibration import Calibration

HOST = Path("host.yaml")


@reporting
def calibrate(
    out: Annotated[
        Path, typer.Option(metavar="FILE", help="Where the platform goes, its cells beside it.")
    ] = HOST,
    seconds: Annotated[
        float | None,
        typer.Option(metavar="N", help="How long is measured; some more to fit. Default: 15."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option(
            metavar="PLATFORM",
            help="Where what cannot be measured comes from. Default: the nearest platform.",
        ),
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            metavar="PROFILE", help="The kernel to simulate. Default: the nearest to this one."
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Where the figure goes. Default: beside, as .png."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    quiet: Quiet = False,
    no_figures: NoFigures = False,
) -> None:
    """Measure this machine, and write a platform file of it.

    It needs no privilege and no compiler, but a machine that does nothing else: under a minute.
    Then `pmsim run SCENARIO --set machine=host.yaml` runs on it, `pmsim reproduce host` compares.
    """
    from pmsim.calibration.calibrate import calibrate as measure
    from pmsim.calibration.calibration import cells_file
    from pmsim.calibration.platform_file import freezes
    from pmsim.simulation.result.files import check_files

    drawn = None if no_figures else figure or out.with_suffix(".png")
    check_files([out, cells_file(out), *([drawn] if drawn else [])], force=force)
    check_memory()
    if not quiet:
        from pmsim.cli.compiling import compile_passes

        compile_passes(apart=like is not None and freezes(like))
    length = {} if seconds is None else {"seconds": seconds}
    with at_work(), _shown(wanted=not quiet) as report:
        found = measure(like=like, kernel=kernel, report=report, **length)
    files = found.save(out, force=force)
    if not quiet:
        _print(found)
    if drawn is not None:
        _draw(found, drawn)
        files.append(drawn)
    if not quiet:
        say(f"platform, cells{' and figure' if drawn else ''}: {', '.join(map(str, files))}")


def _print(found: Calibration) -> None:
    """Print what it comes to, the constants, the cells, and what was left."""
    from rich.text import Text

    from pmsim.cli.console import Output
    from pmsim.report.calibration_tables import calibration_tables

    console = Output()
    processor, cpus = found.host.processor, len(found.host.topology.places)
    console.print(Text(f"{processor.model}, {cpus} CPUs, Linux {found.host.release}", style="bold"))
    for sentence in found.sentences():
        console.print(Text(f"- {sentence}"))
    for table in calibration_tables(found):
        console.print()
        console.table(table)
        if table.note:
            console.print(Text(table.note))
    console.print()


def _draw(found: Calibration, path: Path) -> None:
    from pmsim.errors import PmsimError
    from pmsim.figures.calibrated import calibration_drawing

    try:
        calibration_drawing(found.points, path.stem).save(path)
    except PmsimError as error:
        leave(RUN_FAILED, f"the figure could not be drawn: {error} (all else is there)")


@contextmanager
def _shown(*, wanted: bool) -> Iterator[Callable[[int, int], None] | None]:
    """Give a callback that shows how long is left to measure; no thread of it runs meanwhile."""
    import sys

    if not wanted or not sys.stderr.isatty():
        yield None
        return
    stream = sys.stderr

    def show(done: int, total: int) -> None:
        said = "fitting" if done >= total else f"measuring: {done / 10:.1f} of {total / 10:.1f} s"
        stream.write(f"\r\033[K{said}")
        stream.flush()

    try:
        yield show
    finally:
        stream.write("\r\033[K")
        stream.flush()
