"""Where a result goes: a directory that appears under its name whole, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pmsim.errors import OutputError
from pmsim.simulation.result.scratch import clear_away, scratch

MANIFEST = "manifest.json"
"""The file that makes a directory a result; without it ``--force`` replaces nothing."""
WRITTEN = ".written-by-pmsim"
"""The file that names all that pmsim wrote into a result, each on a line: what else lies there is
somebody's own."""


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
        a manifest, or a file, is never touched. What somebody else put into it stays in it.

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
    names = [WRITTEN, *(str(file.relative_to(work)) for file in _files(work))]
    (work / WRITTEN).write_text("\n".join(sorted(set(names))) + "\n", encoding="utf-8")
    if not path.exists():
        work.rename(path)
        return
    for name in left_by_force(path):
        _keep(path / name, work / name)
    old = work.with_suffix(".old")
    path.rename(old)
    try:
        work.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def left_by_force(path: Path) -> list[str]:
    """Return the files in a result that pmsim did not write, by their paths in it.

    They stay where they are when another result takes the place.
    """
    written = _written(path)
    names = (str(file.relative_to(path)) for file in _files(path))
    return [name for name in names if name not in written]


def note(file: Path) -> None:
    """Note that pmsim wrote a file, if it lies in a result."""
    for result in (file.parent, file.parent.parent):
        name = str(file.relative_to(result))
        with suppress(OSError):  # a result that nobody may write to stays as it is
            if (result / WRITTEN).is_file() and name not in _written(result):
                with (result / WRITTEN).open("a", encoding="utf-8") as names:
                    names.write(f"{name}\n")


def _written(path: Path) -> set[str]:
    """Return the names of what pmsim wrote into a result."""
    try:
        return {MANIFEST, *(path / WRITTEN).read_text(encoding="utf-8").splitlines()}
    except (OSError, UnicodeDecodeError):
        return {MANIFEST}


def _files(path: Path) -> list[Path]:
    """Return what lies in a directory and below it, but for directories."""
    return sorted(file for file in path.rglob("*") if file.is_symlink() or not file.is_dir())


def _keep(file: Path, place: Path) -> None:
    """Let somebody's file appear in another place too, unless something of that name is there."""
    if os.path.lexists(place):
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(file, place, follow_symlinks=False)
    except OSError:  # a file system without links
        shutil.copy2(file, place, follow_symlinks=False)


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
