"""Files that a user gives: read whole, if they are files at all and not too large."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Final

from pmsim.errors import Fault, ScenarioError

_KINDS: Final = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def status(path: Path) -> os.stat_result:
    """Return what the system says of a path; raise `OSError` where there is nothing."""
    try:
        return path.stat()
    except ValueError:  # a name that none can have, with a NUL in it
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from None


def is_file(path: Path) -> bool:
    """Return whether there is a file; no name that none can have (too long, with a NUL) is one."""
    try:
        return stat.S_ISREG(status(path).st_mode)
    except OSError:
        return False


def kind_of(path: Path) -> str:
    """Return what stands at a path that is no file, in words; empty for a file.

    Raises
    ------
    OSError
        If there is nothing, or it cannot be looked at.
    """
    mode = status(path).st_mode
    return next((words for test, words in _KINDS if test(mode)), "")


def read_whole(path: Path, name: str, most: int, hint: str) -> bytes:
    """Return what is in a file.

    Parameters
    ----------
    path, name
        The file, and what it is called in messages.
    most
        Bytes of the largest file that is read.
    hint
        What to do with a larger one.

    Raises
    ------
    OSError
        If it cannot be read.
    ScenarioError
        If it is no file: a pipe would be waited for, a device may never end. If it is too large.
    """
    kind = kind_of(path)
    if kind:
        raise ScenarioError([Fault(name, 0, 0, "no-file", f"this is {kind}, not a file")])
    # Whatever has come there since is not waited for.
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        content = stream.read(most + 1)
    if len(content) > most:
        told = f"the largest is {most:,} bytes; {hint}"
        raise ScenarioError([Fault(name, 0, 0, "too-large", "the file is too large", told)])
    return content
