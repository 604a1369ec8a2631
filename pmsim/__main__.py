"""``python -m pmsim``: the command line."""

from pmsim.cli.app import app

app(prog_name="pmsim")
