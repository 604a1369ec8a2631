"""Where a result goes: a directory that appears under its name whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pmsim.errors import OutputError
from pmsim.simulation.result.scratch import clear_away, scratch

MANIFEST = "manifest.json"
"""The file that makes a directory a result; without it ``--force`` replaces nothing."""


@contextmanager
def result_directory(path: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a directory to write into, and put it at ``path`` once all went well.

    What is written stands in a hidden directory beside ``path``, on the same file system, until
    the block ends; then it is renamed, in one step. If the block raises, it is removed.

    Parameters
    ----------
    path
        Where the result is to be.
    force
        Whether a result that is there already is replaced. Only a result is: a directory without
        a manifest, or a file, is never touched.

    Raises
    ------
    OutputError
        If there is something at ``path``, or the file system refuses or is full.
    """
    check_place(path, force=force)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        place = (path.parent, f".{path.name}.", ".partial")
        clear_away(*place)
        with scratch(*place) as work:
            work.chmod(0o777 & ~_umask())  # until now it was its owner's alone
            yield work
            _put(work, path, force=force)


def check_place(path: Path, *, force: bool = False) -> None:
    """Raise `OutputError` if no result may be put at ``path``."""
    if not os.path.lexists(path):
        return
    if not force:
        raise OutputError(
            f"{path} exists already, and nothing is overwritten unless asked for"
            " (--force replaces a result; --out DIR puts it elsewhere)"
        )
    if path.is_symlink() or not (path / MANIFEST).is_file():
        raise OutputError(
            f"{path} exists and is no result of pmsim: not even --force replaces it"
            " (--out DIR puts the result elsewhere)"
        )


def _put(work: Path, path: Path, *, force: bool) -> None:
    check_place(path, force=force)  # something may have come there meanwhile
    if not path.exists():
        work.rename(path)
        return
    old = work.with_suffix(".old")
    path.rename(old)
    try:
        work.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def writing(path: Path, left: str = "nothing was left behind there") -> Iterator[None]:
    """Turn what the file system says about ``path`` into an `OutputError` for people.

    Parameters
    ----------
    path
        What is written.
    left
        What becomes of it where the file system is full.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(_in_words(path, error, left)) from error


def _in_words(path: Path, error: OSError, left: str) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"no space left for {path}; {left}"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"{path} cannot be written: one of the directories above it is a file"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{path} cannot be written: {os.strerror(error.errno).lower()}"
    return f"{path} cannot be written: {error.strerror or error}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
