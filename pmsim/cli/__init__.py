"""Floor 11: the command line, one file per command, each of them thin."""

from __future__ import annotations

TYPE_CHECKING = False  # as `typing` has it, which takes longer to import than all else here
if TYPE_CHECKING:
    from typing import Any

    from pmsim.cli.start import command

__all__ = ["command", "main"]


def main() -> None:
    """Run the command line."""
    from pmsim.cli.app import main as app

    app()


def __getattr__(name: str) -> Any:
    if name != "command":
        raise AttributeError(f"module 'pmsim.cli' has no attribute '{name}'")
    from pmsim.cli.interrupts import hear_interrupts
    from pmsim.cli.start import command

    hear_interrupts()  # whoever takes the command up is the command
    return command
