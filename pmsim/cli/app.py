"""The command ``pmsim``: its sub-commands put together."""

from __future__ import annotations

import codecs
import sys
from io import TextIOWrapper
from typing import Annotated

import typer

from pmsim.cli.calibrate import calibrate
from pmsim.cli.check import check
from pmsim.cli.command import Command
from pmsim.cli.compare import compare
from pmsim.cli.costs import costs
from pmsim.cli.export import export
from pmsim.cli.importing import import_
from pmsim.cli.listing import list_
from pmsim.cli.plot import plot
from pmsim.cli.report import report
from pmsim.cli.reproduce import reproduce
from pmsim.cli.run import run
from pmsim.cli.schema import schema
from pmsim.cli.sensitivity import sensitivity
from pmsim.cli.status import give_up
from pmsim.cli.sweep import sweep

app = typer.Typer(
    name="pmsim",
    help="What will page-table synchronization cost, on a machine you do not have?",
    epilog="To begin: pmsim list scenarios, and pmsim run with one of their names.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: `pmsim --help` is there at once
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"pmsim {version('pmsim')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_print_version, help="Print the version, and stop."
        ),
    ] = False,
) -> None:
    """Take the options that stand before a command."""


app.command(cls=Command)(run)
app.command(cls=Command)(sweep)
app.command(cls=Command)(compare)
app.command(cls=Command)(sensitivity)
app.command(cls=Command)(check)
app.command(name="list", cls=Command)(list_)
app.command(cls=Command)(costs)
app.command(cls=Command)(reproduce)
app.command(cls=Command)(calibrate)
app.command(cls=Command)(plot)
app.command(cls=Command)(report)
app.command(cls=Command)(export)
app.command(name="import", cls=Command)(import_)
app.command(cls=Command)(schema)


def main() -> None:
    """Run the command line."""
    _let_outputs_spell_out()
    try:
        app(prog_name="pmsim")
    except OSError as error:  # not even help can be printed
        sys.exit(give_up(error))


def _let_outputs_spell_out() -> None:
    """Let what an output's encoding cannot show appear in ASCII: ``us`` for ``µs``."""
    codecs.register_error("pmsim", _spelled_out)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="pmsim")


def _spelled_out(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    from pmsim.formatting import spelled_out

    return spelled_out(error.object[error.start : error.end]), error.end
