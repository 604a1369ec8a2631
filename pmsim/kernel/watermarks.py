"""Free memory of a node, and the marks at which it is short.

Stands for ``zone_watermark_ok`` and ``__setup_per_zone_wmarks`` (mm/page_alloc.c, Linux 4.16 to
6.18). Up to the low mark an allocation wakes nobody; below it, it wakes the node's kswapd, which
goes on until more than the high mark is free; where no more than the least mark is, whoever
allocates takes pages away by itself.

Left out: zones (a node is one), lists of free pages of each CPU, what is kept for requests that
cannot wait, ``khugepaged``, which sets the least mark higher.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isqrt
from typing import TYPE_CHECKING, Final

from pmsim.hardware.locks import Completion
from pmsim.units import KIB, Bytes, Pages

if TYPE_CHECKING:
    from pmsim.hardware.silicon import Silicon
    from pmsim.kernel.user_mm import UserMm

WATERMARK_SCALE_FACTOR: Final = 10
"""Ten-thousandths of memory between the marks (``vm.watermark_scale_factor``, its default)."""

LEAST_KBYTES: Final = (128, 262_144)
"""``min_free_kbytes``, at least and at most (mm/page_alloc.c, ``calculate_min_free_kbytes``); at
most 65,536 before 5.8."""


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Numbers of free pages at which something happens.

    Attributes
    ----------
    least, low, high
        ``WMARK_MIN``, ``WMARK_LOW``, ``WMARK_HIGH``.
    """

    least: Pages
    low: Pages
    high: Pages

    @classmethod
    def of(cls, memory: Bytes, page_size: Bytes, scale: int = WATERMARK_SCALE_FACTOR) -> Watermarks:
        """Return those of a node of so much memory, all of it managed, in pages of a size."""
        least_kbytes, most_kbytes = LEAST_KBYTES
        kbytes = min(max(isqrt(memory // KIB * 16), least_kbytes), most_kbytes)
        least = kbytes * KIB // page_size
        apart = max(least // 4, memory // page_size * scale // 10_000)
        return cls(least, least + apart, least + 2 * apart)


class Node:
    """Memory that is short.

    Parameters
    ----------
    machine
        Where it is.
    name
        What messages call it.
    marks
        Its watermarks. So many pages are free at first that it has just been balanced.

    Attributes
    ----------
    free
        Pages that are.
    awake
        Whether its kswapd is, or is about to be.
    wanted
        What kswapd waits for.
    spaces
        The address spaces that have its pages, in the order in which they first came.
    """

    def __init__(self, machine: Silicon, name: str, marks: Watermarks) -> None:
        self.marks = marks
        self.free = marks.high + 1
        self.awake = False
        self.wanted = Completion(machine, f"work of kswapd of {name}")
        self.spaces: list[UserMm] = []
        self._next = 0

    def wake_kswapd(self) -> None:
        """Let kswapd begin, unless it is awake."""
        if not self.awake:
            self.awake = True
            self.wanted.complete()

    def coldest(self, pages: Pages) -> dict[UserMm, Pages]:
        """Return whose the next pages are that are taken away: everybody's in turn."""
        taken: dict[UserMm, Pages] = {}
        for _ in range(pages):
            mm = self.spaces[self._next % len(self.spaces)]
            self._next += 1
            taken[mm] = taken.get(mm, 0) + 1
        return taken
