"""Directories for work that is under way, which a process that was killed does not leave for good.

Each is locked by the process that works in it, and the lock goes with the process. So whoever comes
next can tell what is in use from what was left behind.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def scratch(parent: Path, prefix: str, suffix: str = "") -> Iterator[Path]:
    """Give a directory for as long as the block runs, and remove it then, unless it was moved.

    Parameters
    ----------
    parent
        Where it is made.
    prefix, suffix
        How its name begins and ends.
    """
    # It gets its name only when it is locked: nobody takes it for one that was left behind.
    unnamed = Path(tempfile.mkdtemp(prefix=".pmsim-", dir=parent))
    lock = os.open(unnamed, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks; then nothing is ever cleared away
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path = parent / f"{prefix}{unnamed.name.removeprefix('.pmsim-')}{suffix}"
        unnamed.rename(path)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)


def clear_away(parent: Path, prefix: str, suffix: str = "") -> None:
    """Remove the directories that processes left when they were killed.

    Parameters
    ----------
    parent, prefix, suffix
        As they were given to `scratch`.
    """
    with suppress(OSError):  # it is for tidiness alone: nobody is to fail for it
        for path in sorted(parent.iterdir()):
            if path.name.startswith(prefix) and path.name.endswith(suffix) and path.is_dir():
                _remove_if_left(path)


def _remove_if_left(path: Path) -> None:
    with suppress(OSError):
        lock = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if somebody works there
            shutil.rmtree(path)
        finally:
            os.close(lock)
