"""A hash of the code and data of pmsim: a version alone does not tell what a developer runs."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parents[2]
_LATER: Final = ("cli", "experiments", "figures", "prices", "report")
"""Rooms that only do something with what runs gave."""
_KINDS: Final = (".py", ".yaml", ".csv", ".json")
"""Files that are code, or facts that it reads; beside them lie compiled ones, which follow."""


@cache
def code_sha256() -> str:
    """Return a hash of all code and data of pmsim that determine the results of a run.

    It is that of the files as they are when it is first asked for.
    """
    found = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*")):
        place = path.relative_to(_PACKAGE)
        if path.suffix in _KINDS and place.parts[0] not in _LATER:
            content = path.read_bytes()
            found.update(f"{place.as_posix()}:{len(content)}:".encode() + content)
    return found.hexdigest()
