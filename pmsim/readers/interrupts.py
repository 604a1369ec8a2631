"""``/proc/interrupts``: how often each interrupt came to each CPU since the machine started.

``show_interrupts`` (kernel/irq/proc.c) and ``arch_show_interrupts``: a head that names the CPUs
that are online, then a line for each interrupt with a number for each of them and words behind. Arm
and RISC-V number the interrupts between CPUs (``IPI0``), so that the words say what they are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pmsim.readers.text import text_of, unreadable

_LINE: Final = re.compile(r"\s*(\w+):((?:\s+\d+)+)\s*(.*)")


@dataclass(frozen=True, slots=True)
class Interrupt:
    """One line: its name, what it is, and how often it came to each CPU."""

    name: str
    words: str
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Interrupts:
    """All lines, and the numbers of the CPUs that they are about."""

    cpus: tuple[int, ...]
    lines: tuple[Interrupt, ...]

    def told_as(self, *words: str) -> tuple[int, ...] | None:
        """Return the counts of the interrupt whose description has these words, all together."""
        found = [one.counts for one in self.lines if any(word in one.words for word in words)]
        return tuple(map(sum, zip(*found, strict=True))) if found else None


def read_interrupts(path: Path) -> Interrupts:
    """Read such a file.

    Raises
    ------
    ScenarioError
        If it cannot be read, or its head names no CPUs.
    """
    head, *rest = text_of(path).lstrip("\n").splitlines() or [""]
    cpus = tuple(int(number) for number in re.findall(r"CPU(\d+)", head))
    if not cpus:
        raise unreadable(path, 1, "the head names no CPUs", "it begins with CPU0 CPU1 ...")
    lines = []
    for line in rest:
        found = _LINE.fullmatch(line)
        # Errors and the like have one number for all CPUs.
        if found is not None and len(counts := found[2].split()) >= len(cpus):
            numbers = tuple(map(int, counts[: len(cpus)]))
            lines.append(Interrupt(found[1], found[3].strip(), numbers))
    return Interrupts(cpus, tuple(lines))
