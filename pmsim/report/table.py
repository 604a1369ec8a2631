"""What a table of an answer holds, apart from how the terminal or a page shows it."""

from __future__ import annotations

from dataclasses import dataclass

from pmsim import formatting


@dataclass(frozen=True, slots=True)
class Cell:
    """The content of one cell of a table.

    Attributes
    ----------
    text
        As people read it.
    number
        What it is sorted by; `None` where that is the text, or where nothing is known.
    """

    text: str
    number: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A table as people read it.

    Attributes
    ----------
    title
        What is in it.
    columns
        Their heads.
    rows
        As many cells each as there are columns.
    note
        What is left out, or how it is to be read; empty where there is nothing to say.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""


def word(text: object) -> Cell:
    """Return a cell that is sorted by what it says."""
    return Cell(str(text))


def count(value: float) -> Cell:
    """Return a cell with a number of things."""
    return Cell(formatting.count(value), float(value))


def ident(value: float) -> Cell:
    """Return a cell with a number that is a name, such as a CPU's."""
    return Cell(f"{value:.0f}", float(value))


def time(ps: float) -> Cell:
    """Return a cell with a time in picoseconds."""
    return Cell(formatting.time(ps), float(ps))


def part(value: float) -> Cell:
    """Return a cell with a part of a whole."""
    return Cell(formatting.share(value), float(value))


def size(value: float) -> Cell:
    """Return a cell with a number of bytes."""
    return Cell(formatting.size(value), float(value))
