"""What an import comes to: words, tables, and files that pmsim reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pmsim.report.table import Table

WriteFile = Callable[[Path], None]
"""Writes a file at a path."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of a file.

    Attributes
    ----------
    name
        What the file is called.
    format
        What it was recognised as.
    words
        Sentences, the most important first.
    tables
        What they rest on.
    files
        What else can be written, by name: pieces of scenarios and machines, each with its
        provenance.
    """

    name: str
    format: str
    words: tuple[str, ...]
    tables: tuple[Table, ...]
    files: Mapping[str, WriteFile] = field(default_factory=dict)


def sentences(said: Iterable[str]) -> tuple[str, ...]:
    """Return what is said as sentences: with a capital letter and a full stop."""
    return tuple(f"{one[0].upper()}{one[1:]}." for one in said)


def text_file(text: str) -> WriteFile:
    """Return what writes a text."""

    def write(path: Path) -> None:
        path.write_text(text, encoding="utf-8")

    return write
