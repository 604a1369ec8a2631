"""``/proc/vmallocinfo``: every area of the kernel's address space, with who asked for it.

``vmalloc_info_show`` (mm/vmalloc.c): start, end, size with the guard page, the caller, and what it
is: ``vmalloc``, ``vmap``, ``ioremap``, ``user``; ``unpurged vm_area`` is lazily freed (5.4 on),
``vm_map_ram`` a part of a vmap block. To most readers the kernel shows no true addresses but hashes
of them, which tell sizes but neither order nor holes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pmsim.readers.text import text_of, unreadable
from pmsim.units import PAGE_SIZE

_LINE: Final = re.compile(r"(?:0x)?([0-9a-f]+)-(?:0x)?([0-9a-f]+)\s+(\d+)\s*(.*)")
KINDS: Final = ("unpurged", "vm_map_ram", "ioremap", "vmap", "vmalloc", "user")
"""Words that say what an area is; the first that a line has, counts."""


@dataclass(frozen=True, slots=True)
class InfoArea:
    """One line.

    Attributes
    ----------
    start
        Its first byte, or a hash of that.
    size
        In bytes, the guard page included.
    caller
        The function that asked for it; empty where nobody is named.
    kind
        One of `KINDS`, or ``other``.
    """

    start: int
    size: int
    caller: str
    kind: str

    @property
    def lazy(self) -> bool:
        """Whether it is freed, and its addresses wait for a purge."""
        return self.kind == "unpurged"

    @property
    def pages(self) -> int:
        """Its pages, the guard page included."""
        return self.size // PAGE_SIZE


@dataclass(frozen=True, slots=True)
class AreaInfo:
    """All areas in the order of the file, and whether their addresses are true ones."""

    areas: tuple[InfoArea, ...]
    true_addresses: bool


def read_vmallocinfo(path: Path) -> AreaInfo:
    """Read such a file.

    Raises
    ------
    ScenarioError
        If it cannot be read, or a line is something else.
    """
    areas = []
    true = True
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if not line.strip():
            continue
        found = _LINE.match(line)
        if found is None:
            raise unreadable(path, number, "this is no area", "0xstart-0xend size caller kind")
        start, end, size = int(found[1], 16), int(found[2], 16), int(found[3])
        true = true and end - start == size
        areas.append(InfoArea(start, size, _caller(found[4]), _kind(found[4])))
    return AreaInfo(tuple(areas), true)


def _caller(words: str) -> str:
    first = words.split(maxsplit=1)[0] if words.strip() else ""
    return first.partition("+")[0] if "+0x" in first else ""


def _kind(words: str) -> str:
    return next((kind for kind in KINDS if re.search(rf"\b{kind}\b", words)), "other")
