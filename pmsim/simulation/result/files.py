"""New files that appear whole, all of them or none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pmsim.errors import OutputError
from pmsim.inputs import kind_of
from pmsim.simulation.result.place import note, writing


@contextmanager
def new_files(paths: Sequence[Path], *, force: bool = False) -> Iterator[list[Path]]:
    """Give files to write into, and put them at ``paths`` once all went well.

    What is written stands beside each path under a hidden name until the block ends. If the block
    raises, nothing is left of it, and what was at ``paths`` before is still there.

    Parameters
    ----------
    paths
        Where the files are to be; directories that are missing are made.
    force
        Whether files that are there already are replaced.

    Raises
    ------
    OutputError
        If there is something at one of ``paths``, or the file system refuses or is full.
    """
    check_files(paths, force=force)
    halves = [path.with_name(f".{path.name}.{os.getpid()}.partial") for path in paths]
    with writing(paths[0]):
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield halves
            check_files(paths, force=force)  # something may have come there meanwhile
            for half, path in zip(halves, paths, strict=True):
                half.replace(path)
                note(path)
        finally:
            for half in halves:
                half.unlink(missing_ok=True)


def check_files(paths: Sequence[Path], *, force: bool = False) -> None:
    """Raise `OutputError` if no file may be put at one of ``paths``."""
    for path in paths:
        kind = kind_of(path) if path.exists() else ""
        if kind:
            raise OutputError(f"{path} is {kind}, and a file is to be written there")
        above = next(one for one in path.absolute().parents if one.exists())
        if not above.is_dir():
            raise OutputError(f"{path} cannot be written: {above} is not a directory")
    there = [str(path) for path in paths if os.path.lexists(path)]
    if there and not force:
        one = len(there) == 1
        raise OutputError(
            f"{', '.join(there)} {'exists' if one else 'exist'} already, and nothing is overwritten"
            f" unless asked for (--force replaces {'it' if one else 'them'})"
        )
