"""Floor 10: the command line, one file per command, each of them thin."""

from typing import NoReturn

from pmsim.cli.process import run_and_exit

__all__ = ["command", "main"]


def main() -> None:
    """Run the command line."""
    from pmsim.cli.app import main as app

    app()


def command() -> NoReturn:
    """Be the command ``pmsim``: run the command line, and end the process."""
    run_and_exit(main)
