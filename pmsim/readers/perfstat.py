"""What ``perf stat`` prints: how often each event was counted, and in how much time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pmsim.readers.text import text_of

_LINE: Final = re.compile(
    r"^(?:\S*?CPU(\d+))?\s*([\d,.'\u202f ]*\d)\s+([\w.-]+(?::[\w.-]+)*(?:/[^/\s]*/\w*)?)(?:\s|$)"
)
_ELAPSED: Final = re.compile(r"^\s*([\d.,]+)\s+seconds time elapsed", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class PerfStat:
    """Counts by event and CPU (`None`: of all), and the seconds that they are of, if told."""

    counts: dict[tuple[str, int | None], int]
    seconds: float | None


def read_perfstat(path: Path) -> PerfStat:
    """Read it; lines without a whole number and a name are left aside.

    Raises
    ------
    ScenarioError
        If it cannot be read.
    """
    text = text_of(path)
    counts: dict[tuple[str, int | None], int] = {}
    for line in text.splitlines():
        if "seconds" in line:
            continue
        found = _LINE.match(line)
        digits = re.sub(r"[,'\u202f ]", "", found[2]) if found else ""
        if found and digits.isdigit():
            cpu = None if found[1] is None else int(found[1])
            counts[found[3], cpu] = counts.get((found[3], cpu), 0) + int(digits)
    elapsed = _ELAPSED.search(text)
    return PerfStat(counts, float(elapsed[1].replace(",", ".")) if elapsed else None)
