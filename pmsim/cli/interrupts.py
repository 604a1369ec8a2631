"""Ctrl-C, which is heard before anything else is imported."""

from __future__ import annotations

# `signal` itself, which makes enumerations of everything, takes longer than all else here.
from _signal import SIGINT, default_int_handler, getsignal, signal  # type: ignore[import-not-found]
from os import _exit, write

TYPE_CHECKING = False  # as `typing` has it, which takes as long
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

INTERRUPTED = 130
"""The exit status of a command that was interrupted: 128 and the number of the signal of Ctrl-C."""
GIVEN_UP = "interrupted: given up, and nothing half-done is left behind"
"""What is said where it had nothing to show yet."""


def hear_interrupts() -> None:
    """Let Ctrl-C end the process without a traceback, unless somebody wants it otherwise."""
    if getsignal(SIGINT) is default_int_handler:
        signal(SIGINT, _give_up)


def _give_up(_signal: int, _frame: FrameType | None) -> NoReturn:
    """End at once: nothing has been begun yet that would have to be tidied up."""
    write(2, f"pmsim: {GIVEN_UP}\n".encode())
    _exit(INTERRUPTED)
