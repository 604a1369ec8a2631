"""The directory of a sweep: what it is the sweep of, who works in it, and its rows."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pmsim.errors import OutputError, ResultError
from pmsim.experiments.dataset import ROWS
from pmsim.experiments.plan import Plan
from pmsim.simulation.result.manifest import differences, made_by, provenance, write_json
from pmsim.simulation.result.place import writing
from pmsim.simulation.result.rows import put_whole

MANIFEST: Final = "sweep.json"
"""The file that makes a directory a sweep."""
FORMAT: Final = 2
"""Version of the directory's layout."""

_KEYS: Final = (
    "name", "fingerprint", "scenario", "cells", "inputs", "seed", "replications", "complete",
    "versions",
)  # fmt: skip
"""What the manifest holds at least."""
_IDENTITY: Final = ("scenario", "cells", "inputs", "protocols")
"""What two sweeps share where they are the same: `Plan.identity`."""


def is_sweep(path: Path) -> bool:
    """Return whether a directory holds a sweep, of whatever version."""
    return (path / MANIFEST).is_file()


def read_manifest(path: Path) -> Mapping[str, Any]:
    """Return what a directory is the sweep of.

    Raises
    ------
    ResultError
        If it is no sweep, or one of another format.
    """
    file = path / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ResultError(f"there is no sweep at {path}: no {MANIFEST} in it") from None
    except (OSError, ValueError) as error:
        raise ResultError(f"{file} cannot be read: {error}") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise ResultError(
            f"{path} is the sweep of another version of pmsim: it has format {found}, and this one"
            f" reads format {FORMAT}"
        )
    missing = [key for key in _KEYS if key not in manifest]
    if missing:
        raise ResultError(f"{file} is not as it was written: {', '.join(missing)} missing")
    return manifest


def prepare(path: Path, plan: Plan, asked: Mapping[str, Any], *, force: bool = False) -> None:
    """Make a directory that of a plan, or see that it is already, so that the work can go on.

    Whoever calls it is `alone` there.

    Parameters
    ----------
    path
        The directory; it need not exist.
    plan
        What is to be done there.
    asked
        How often: what the manifest says beside the plan. It may differ from what was asked before.
    force
        Whether the sweep of another plan is replaced. Only a sweep is.

    Raises
    ------
    OutputError
        If something else is there, or another sweep, or one of another version.
    """
    if is_sweep(path):
        difference = _difference(path, plan)
        if difference and not force:
            raise OutputError(
                f"{path} holds {difference}; it stays as it is"
                " (--force replaces it; --out DIR puts this one elsewhere)"
            )
        if difference:
            with writing(path):
                shutil.rmtree(path / ROWS, ignore_errors=True)
    elif not path.is_dir() or any(path.iterdir()):
        raise OutputError(
            f"{path} exists and is no sweep: not even --force replaces it"
            " (--out DIR puts the sweep elsewhere)"
        )
    with writing(path):
        _write(path / MANIFEST, _manifest(plan, asked))


def finish(path: Path) -> None:
    """Note that a sweep has all that was asked for."""
    with writing(path):
        _write(path / MANIFEST, {**read_manifest(path), "complete": True})


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Keep other processes from working in a directory while the block runs.

    The directory is made where there is none. The lock is its own, not that of a file in it, which
    may be replaced; and it goes with the process, even if that is killed.

    Raises
    ------
    OutputError
        If another process works there, or it cannot be made.
    """
    with writing(path):
        if not os.path.lexists(path):
            path.mkdir(parents=True)
        handle = os.open(path, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"another pmsim is at work in {path}") from None
        yield
    finally:
        os.close(handle)


def _manifest(plan: Plan, asked: Mapping[str, Any]) -> dict[str, Any]:
    resolved = plan.scenario.resolve()
    known = provenance({}, resolved.seed, plan.replications, ())
    return {
        "format": FORMAT,
        "name": resolved.name,
        "description": resolved.description,
        "fingerprint": plan.fingerprint,
        **plan.identity,
        "seed": resolved.seed,
        **asked,
        "complete": False,
        **made_by(),
        "host": known["host"],
    }


def _difference(path: Path, plan: Plan) -> str:
    """Say what a directory holds, if it is not the plan's: empty if it is."""
    try:
        manifest = read_manifest(path)
    except ResultError as error:
        return f"something else ({error})"
    changed = differences(manifest, made_by())
    if changed:
        return f"rows of another program, with which new ones cannot be mixed ({changed})"
    if manifest["fingerprint"] == plan.fingerprint:
        return ""
    differing = [key for key in _IDENTITY if manifest.get(key) != plan.identity.get(key)]
    if differing == ["protocols"]:
        return (
            f"rows of other code of {_changed(manifest, plan)}, with which new ones cannot be mixed"
        )
    return f"another sweep (its {' and its '.join(differing)} differ)"


def _changed(manifest: Mapping[str, Any], plan: Plan) -> str:
    """Return which protocols of somebody's own have other code now than in a directory."""
    there, here = manifest.get("protocols", {}), plan.identity.get("protocols", {})
    names = sorted({*there, *here})
    changed = [name for name in names if there.get(name) != here.get(name)]
    return f"the protocol{'s' * (len(changed) > 1)} {' and '.join(changed)}"


def _write(file: Path, content: Mapping[str, Any]) -> None:
    put_whole(file, lambda half: write_json(half, content))
