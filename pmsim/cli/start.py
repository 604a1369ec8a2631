"""The first moments of the command ``pmsim``: nothing is imported before Ctrl-C is heard."""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, which takes longer to import than all else here
if TYPE_CHECKING:
    from typing import NoReturn


def command() -> NoReturn:
    """Be the command ``pmsim``: run the command line, and end the process."""
    from pmsim.cli.app import main
    from pmsim.cli.process import run_and_exit

    run_and_exit(main)
