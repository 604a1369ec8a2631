"""Whether the compiled passes have to be compiled first, which takes a while, once."""

from __future__ import annotations

import os
import sys

import typer

SECONDS = 10
"""CPU time that compiling takes on a slow machine, to a round number."""


def compile_passes() -> None:
    """Compile the passes where that was not done before, and show how far that is."""
    from pmsim.hardware.passes import cache

    if os.environ.get("NUMBA_DISABLE_JIT") == "1" or cache.is_complete():
        return
    message = f"pmsim: the first run compiles the simulated machine, once: about {SECONDS} s"
    typer.echo(message, err=True)
    cache.forget_others()
    _compile(cache.functions(), shown=sys.stderr.isatty())


def _compile(functions: int, *, shown: bool) -> None:
    """Compile everything; a bar counts the functions."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    bars = Progress(
        TextColumn("compiling"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        disable=not shown,
    )
    task = bars.add_task("compiling", total=functions)
    if shown:
        bars.start()
    try:
        from pmsim.hardware.passes import jit, steps

        with jit.watched(lambda: bars.advance(task)):
            steps.prepare(invalidates=True)
    finally:
        if shown:
            bars.stop()
