"""A short file, read whole: what is in /proc, or what a tool prints once."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pmsim.errors import Fault, ScenarioError
from pmsim.readers.stream import TextStream

MOST: Final = 64 << 20
"""Bytes of the largest: some 600,000 areas of /proc/vmallocinfo."""


def text_of(path: Path) -> str:
    """Return the text of a file, unpacked.

    Raises
    ------
    ScenarioError
        If it cannot be read, is no text, or is larger than any such file.
    """
    pieces: list[bytes] = []
    size = 0
    for block in TextStream(path).blocks():
        size += len(block)
        if size > MOST:
            hint = f"the largest is {MOST:,} bytes"
            raise ScenarioError([Fault(str(path), 0, 0, "too-large", "too large", hint)])
        pieces.append(block)
    return b"".join(pieces).decode("utf-8", "replace")


def unreadable(path: Path, line: int, message: str, hint: str) -> ScenarioError:
    """Return the fault of a line that says something else than its file should."""
    return ScenarioError([Fault(str(path), line, 1, "bad-line", message, hint)])
