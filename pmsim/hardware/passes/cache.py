"""Where the machine code of the passes is kept: a directory named by all that it was made from.

Numba keeps an index per function, which knows when that function's own file has changed, and of no
other file. A pass calls passes in other rooms, so here one hash over every source file of the
package, and over the versions of what compiles them, names a directory: code that does not belong
to the sources as they stand is never found. Nothing here needs Numba.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOM = Path(__file__).parent
"""The package whose code is kept."""

IN_USE = 3600
"""Seconds since code was written in which a process may still be compiling; an estimate, as all of
it takes a minute on a busy machine."""

_PREFIX = f"passes-py{sys.version_info.major}{sys.version_info.minor}-"

_APART = "apart"


@cache
def fingerprint() -> str:
    """Return a name for the sources as they stand, and for what compiles them."""
    made_from = hashlib.sha256()
    for tool in ("numba", "llvmlite", "numpy"):
        made_from.update(f"{tool} {version(tool)};".encode())
    made_from.update(f"{sys.version} {platform.machine()}".encode())
    for source in _sources():
        made_from.update(source.name.encode() + source.read_bytes())
    return made_from.hexdigest()[:16]


def directory() -> Path | None:
    """Return where the code is, or is to be kept; None where nothing can be written.

    Beside the sources as Python's own compiled files are, so that an installation can be compiled
    once for all its users; in the user's cache where that cannot be written. ``NUMBA_CACHE_DIR``
    comes before both.
    """
    places = [place / f"{_PREFIX}{fingerprint()}" for place in _places()]
    for place in places:
        if place.is_dir() and any(place.iterdir()):
            return place
    return next((place for place in places if _writable(place)), None)


def is_complete(*, apart: bool = False) -> bool:
    """Return whether the code of every entry point is there.

    Parameters
    ----------
    apart
        Whether also for machines whose CPUs do not always run, or whose calls need not be waited
        for: that is compiled apart.
    """
    place = directory()
    if apart and (place is None or not (place / _APART).exists()):
        return False
    kept = {index.name.split("-")[0] for index in place.rglob("*.nbi")} if place else set()
    entries = (
        f"{source.stem}.{name}"
        for source in _sources()
        for name in re.findall(r"^@entry_point\([^@]*?^def (\w+)", source.read_text(), re.M)
    )
    return kept.issuperset(entries)


def note_apart() -> None:
    """Note that the code that is compiled apart is there, too.

    Numba keeps it under the same names.
    """
    place = directory()
    if place is not None:
        with contextlib.suppress(OSError):
            (place / _APART).touch()


def functions() -> int:
    """Return how many functions are compiled where nothing is kept."""
    return sum(
        len(re.findall("^@(?:compiled|absent_elsewhere|entry_point)", source.read_text(), re.M))
        for source in _sources()
    )


def forget_others() -> None:
    """Delete what was kept beside the sources for other sources than those of now.

    What was written to lately stays: a process that began before the sources changed may be at it.
    """
    lately = time.time() - IN_USE
    for place in (ROOM / "__pycache__").glob(f"{_PREFIX}*"):
        if not place.name.endswith(fingerprint()) and _written(place) < lately:
            shutil.rmtree(place, ignore_errors=True)


def _written(place: Path) -> float:
    """Return when anything in a directory was last written, in seconds since 1970."""
    latest = 0.0
    for file in (place, *place.rglob("*")):
        with contextlib.suppress(OSError):
            latest = max(latest, file.stat().st_mtime)
    return latest


def _sources() -> list[Path]:
    return sorted(ROOM.glob("*.py"))


def _places() -> list[Path]:
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pmsim"
    return [*([Path(chosen)] if chosen else []), ROOM / "__pycache__", user]


def _writable(place: Path) -> bool:
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
        return os.access(place, os.W_OK)
    return False
