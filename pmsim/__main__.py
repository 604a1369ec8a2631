"""``python -m pmsim``: the command line."""

from pmsim.cli import command

command()
