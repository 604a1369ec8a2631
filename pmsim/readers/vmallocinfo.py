"""``/proc/vmallocinfo``: every area of the kernel's address space, with who asked for it.

``vmalloc_info_show`` (mm/vmalloc.c): start, end, size with the guard page, the caller, and what it
is: ``vmalloc``, ``vmap``, ``ioremap``, ``user``; ``unpurged vm_area`` is lazily freed (5.4 on),
``vm_map_ram`` a part of a vmap block. ``pages=4`` counts what is mapped, from which the size of a
page follows: nothing else here tells pages of 4, 16 and 64 KiB apart. To most readers the kernel
shows no true addresses but hashes of them, which tell sizes but neither order nor holes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pmsim.readers.text import text_of, unreadable
from pmsim.units import KIB, PAGE_SIZE

_LINE: Final = re.compile(r"(?:0x)?([0-9a-f]+)-(?:0x)?([0-9a-f]+)\s+(\d+)\s*(.*)")
_MAPPED: Final = re.compile(r"\bpages=(\d+)")
PAGE_SIZES: Final = (4 * KIB, 16 * KIB, 64 * KIB)
"""Sizes that a page may have."""
KINDS: Final = ("unpurged", "vm_map_ram", "ioremap", "vmap", "vmalloc", "user")
"""Words that say what an area is; the first that a line has, counts."""


@dataclass(frozen=True, slots=True)
class InfoArea:
    """One line.

    Attributes
    ----------
    start
        Its first byte, or a hash of that.
    size, pages
        In bytes and in pages, the guard page included.
    caller
        The function that asked for it; empty where nobody is named.
    kind
        One of `KINDS`, or ``other``.
    """

    start: int
    size: int
    pages: int
    caller: str
    kind: str

    @property
    def lazy(self) -> bool:
        """Whether it is freed, and its addresses wait for a purge."""
        return self.kind == "unpurged"


@dataclass(frozen=True, slots=True)
class AreaInfo:
    """All areas in the order of the file, whether their addresses are true, and bytes of a page."""

    areas: tuple[InfoArea, ...]
    true_addresses: bool
    page_size: int


def read_vmallocinfo(path: Path) -> AreaInfo:
    """Read such a file.

    Raises
    ------
    ScenarioError
        If it cannot be read, or a line is something else.
    """
    found: list[tuple[int, int, str]] = []
    true = True
    for number, line in enumerate(text_of(path).splitlines(), start=1):
        if not line.strip():
            continue
        read = _LINE.match(line)
        if read is None:
            raise unreadable(path, number, "this is no area", "0xstart-0xend size caller kind")
        start, end, size = int(read[1], 16), int(read[2], 16), int(read[3])
        true = true and end - start == size
        found.append((start, size, read[4]))
    page = next(filter(None, (_page_size(size, words) for _, size, words in found)), PAGE_SIZE)
    areas = (
        InfoArea(start, size, size // page, _caller(words), _kind(words))
        for start, size, words in found
    )
    return AreaInfo(tuple(areas), true, page)


def _page_size(size: int, words: str) -> int | None:
    """Return the bytes of a page of an area that says how many are mapped, besides a guard."""
    mapped = _MAPPED.search(words)
    page = size // (int(mapped[1]) + 1) if mapped else 0
    return page if page in PAGE_SIZES and size % page == 0 else None


def _caller(words: str) -> str:
    first = words.split(maxsplit=1)[0] if words.strip() else ""
    return first.partition("+")[0] if "+0x" in first else ""


def _kind(words: str) -> str:
    return next((kind for kind in KINDS if re.search(rf"\b{kind}\b", words)), "other")
