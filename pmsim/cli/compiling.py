"""Whether the compiled passes have to be compiled first, which takes a while, once."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import typer

SECONDS = 15
"""What compiling takes on a slow machine, to a round number."""


def announce_compilation() -> None:
    """Say that the first run compiles, where it does."""
    if needs_compiling():
        message = f"pmsim: the first run compiles the simulated machine, once: about {SECONDS} s"
        typer.echo(message, err=True)


def needs_compiling() -> bool:
    """Return whether Numba's cache holds nothing for this Python that is newer than the source."""
    if os.environ.get("NUMBA_DISABLE_JIT") == "1":
        return False
    spec = find_spec("pmsim.hardware._passes")
    if spec is None or spec.origin is None:
        return False
    source = Path(spec.origin)
    # Numba names its index files after module, function and Python version.
    pattern = f"_passes.*.py{sys.version_info.major}{sys.version_info.minor}.nbi"
    return not any(
        index.stat().st_mtime >= source.stat().st_mtime
        for folder in _cache_folders(source)
        for index in folder.glob(pattern)
    )


def _cache_folders(source: Path) -> list[Path]:
    """Return where Numba may keep what it compiled: beside the source, or in the user's cache."""
    folders = [source.parent / "__pycache__"]
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        folders += [path for path in Path(chosen).glob("*") if path.is_dir()]
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
    return folders + [path for path in (cache / "numba").glob("*") if path.is_dir()]
