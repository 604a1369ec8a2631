"""Whether the compiled passes have to be compiled first, which takes a while, once."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

SECONDS = 10
"""CPU time that compiling takes, all entry points together: 9 s as measured on a quiet core of a
cloud machine with Numba 0.68, up to 13 s where others share the core."""


def compile_passes(first: Callable[[], object] = lambda: None, *, apart: bool = False) -> None:
    """Compile the passes where that was not done before, and show how far that is.

    Parameters
    ----------
    first
        Called before, if anything is to be compiled: what may be refused should be at once.
    apart
        Whether CPUs of what is to run take turns (guests with overcommit), or its protocol calls
        others and does not wait for them: for these all is compiled apart.
    """
    from pmsim.simulation.run.compiling import is_compiled

    if is_compiled(apart=apart):
        return
    first()
    what, seconds = "the first run compiles the simulated machine", SECONDS * (1 + apart)
    if is_compiled():
        of = "of CPUs that take turns, or of a protocol that does not wait for calls,"
        what, seconds = f"the first run {of} compiles the machine anew", SECONDS
    typer.echo(f"pmsim: {what}, once: about {seconds} s", err=True)
    _compile(shown=sys.stderr.isatty(), apart=apart)


def _compile(*, shown: bool, apart: bool) -> None:
    """Compile everything; a bar counts the functions."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    from pmsim.simulation.run.compiling import compile_machine, functions_to_compile

    bars = Progress(
        TextColumn("compiling"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        disable=not shown,
    )
    task = bars.add_task("compiling", total=functions_to_compile(apart=apart))
    if shown:
        bars.start()
    try:
        compile_machine(lambda: bars.advance(task), apart=apart)
    finally:
        if shown:
            bars.stop()
