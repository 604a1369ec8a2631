"""Ranges ``LOW..HIGH``, which a sweep chooses points from."""

from __future__ import annotations

import re
from typing import Any, Final

_SEPARATOR: Final = ".."
_NUMBER: Final = re.compile(r"\s*[-+]?\.?[0-9]")


def is_range(value: Any) -> bool:
    """Return whether a value is written as a range: a number or a quantity, and ``..`` behind it.

    So ``../programs.csv`` is none.
    """
    return isinstance(value, str) and _SEPARATOR in value and bool(_NUMBER.match(value))


def ends_of(text: str) -> list[str]:
    """Return what stands before and behind the ``..``; more than two parts are no range."""
    return [part.strip() for part in text.split(_SEPARATOR)]
