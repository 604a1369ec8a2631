"""Where commands print."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console


class Output(Console):
    """Standard output, with tables and line breaks that fit the terminal."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> NoReturn:
        """Leave it to `pmsim.cli.status` that nobody reads on; rich would end with status 1."""
        raise BrokenPipeError
