"""Floor 6: the command line, one file per command, each of them thin."""

from pmsim.cli.app import main

__all__ = ["main"]
