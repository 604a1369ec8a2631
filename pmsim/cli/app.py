"""The command ``pmsim``: its sub-commands put together."""

from __future__ import annotations

import typer

from pmsim.cli.check import check
from pmsim.cli.listing import list_
from pmsim.cli.plot import plot
from pmsim.cli.run import run
from pmsim.cli.schema import schema

app = typer.Typer(
    name="pmsim",
    help="What will page-table synchronization cost, on a machine you do not have?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: `pmsim --help` is there at once
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run)
app.command()(check)
app.command(name="list")(list_)
app.command()(plot)
app.command()(schema)


def main() -> None:
    """Run the command line."""
    app()
