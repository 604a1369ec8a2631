"""``python -m pmsim``: the command line."""

from pmsim.cli.app import main

main()
