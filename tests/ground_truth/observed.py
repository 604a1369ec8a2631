"""Reads the counts that were taken on a real kernel (tests/data/README.md)."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pmsim.kernel.keys.code import ModuleTable

FOLDER = Path(__file__).parent.parent / "data"

SPANS_KEPT = 64
"""How many spans a row keeps at most."""

HUGE = -1
"""A span from the direct map to the module area, in whatever number of pages."""


@dataclass(frozen=True)
class Counted:
    """A kernel that was booted and counted.

    Attributes
    ----------
    name
        As its folder of counts begins.
    profile
        The profile that predicts it.
    modules
        The table of the modules that were built for it.
    """

    name: str
    profile: str
    modules: ModuleTable

    def __str__(self) -> str:
        return self.name


LINUX_6_1 = Counted("linux-6.1", "linux-6.1-x86_64", "6.1-x86_64")
LINUX_6_12 = Counted("linux-6.12", "linux-6.12-x86_64", "6.12-x86_64")
X86 = (LINUX_6_1, LINUX_6_12)


@dataclass(frozen=True)
class Row:
    """One row of a table of counts; an empty cell counts as 0."""

    line: int
    cells: dict[str, str]
    kernel: Counted = LINUX_6_1

    def __getitem__(self, column: str) -> str:
        return self.cells[column]

    def number(self, column: str) -> int:
        return int(self.cells[column] or 0)

    def numbers(self, column: str) -> list[int]:
        return [int(part) for part in self.cells[column].split(";") if part]

    def spans(self) -> list[int]:
        return [as_span(pages) for pages in self.numbers("pages_per_kernel_range_flush")]

    def __str__(self) -> str:
        filled = (f"{k}={v}" for k, v in self.cells.items() if v not in ("", "0"))
        return f"{self.kernel} line {self.line}: {' '.join(filled)}"


def as_span(pages: int) -> int:
    """Return the span of a flush; all that reach from the direct map to the modules are alike."""
    return HUGE if pages > 1 << 30 else pages


def rows(name: str, kernel: Counted = LINUX_6_1) -> list[Row]:
    with gzip.open(FOLDER / f"{kernel}-counts" / f"{name}.csv.gz", "rt", newline="") as lines:
        return [Row(number, _filled(row), kernel) for number, row in _numbered(lines)]


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, dict[str, str]]]:
    return enumerate(csv.DictReader(lines), 2)


def _filled(cells: dict[str, str]) -> dict[str, str]:
    """Add the call that 6.1 does not have."""
    return {"n_set_memory_rox": "0", **cells}


@dataclass(frozen=True)
class Sequence:
    """An order of calls and broadcasts, and how often it was seen."""

    kernel: Counted
    line: int
    mode: str
    op: str
    module: str
    times: int
    tokens: tuple[str, ...]


def sequences(kernel: Counted = LINUX_6_1) -> list[Sequence]:
    lines = (FOLDER / f"{kernel}-counts" / "module_load_sequences.txt").read_text().splitlines()
    return [
        _sequence(kernel, number, line)
        for number, line in enumerate(lines, 1)
        if line and not line.startswith("#")
    ]


def _sequence(kernel: Counted, number: int, line: str) -> Sequence:
    head, _, tail = line.partition(": ")
    mode, op, module, times = head.split()
    return Sequence(
        kernel, number, mode, op, module, int(times.removeprefix("x")), tuple(tokens(tail))
    )


def tokens(text: str) -> Iterator[str]:
    """Split a sequence; ``<text_poke x3>`` is three tokens."""
    for word in text.replace("<text_poke x", "<text_poke_x").split():
        if word.startswith("<text_poke_x"):
            yield from ["<text_poke>"] * int(word.removeprefix("<text_poke_x").removesuffix(">"))
        else:
            yield word
