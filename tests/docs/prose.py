"""Sentences of the pages that hold figures of pmsim's own: each is put together from a run anew."""

from __future__ import annotations

from math import floor, log10
from pathlib import Path

from pmsim.formatting import time

ROOT = Path(__file__).parents[2]


class Prose:
    """A page as one line of words.

    Parameters
    ----------
    page
        Where it stands in the repository.
    """

    def __init__(self, page: str) -> None:
        self.page = page
        self.text = " ".join((ROOT / page).read_text(encoding="utf-8").split())

    def says(self, *pieces: str) -> None:
        """Assert that the page has these pieces of sentences, word by word."""
        missing = [piece for piece in pieces if piece not in self.text]
        assert missing == [], f"{self.page} says something else than what runs give: {missing}"


def rounded(value: float, digits: int) -> float:
    """Return a number with so many significant digits."""
    return round(value, digits - 1 - floor(log10(abs(value)))) if value else 0.0


def about(ps: float, digits: int) -> str:
    """Write a time in picoseconds with so many significant digits: ``8 µs``."""
    return time(rounded(ps, digits))
