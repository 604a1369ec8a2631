"""Which CPUs have touched which memory, for hardware that tells only those who hold a translation.

Stands for what a directory of TLBs, or a cache line of a page table, knows by itself: who has
walked to an entry since it last dropped it. Here it is who has allocated an area, or in it, or has
written to it; the readers of all memory (`overwrite`); and of a process the CPUs in its mask. An
area is touched as a whole.

Left out: who reads an area that others have written, but for those readers; what a TLB has evicted
by itself; the direct map's aliases of an area, whose entries change with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from pmsim.hardware.shootdown.holders import HOLDERS
from pmsim.units import CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.kernel.dropped import Dropped
    from pmsim.kernel.profile import KernelProfile


class Touched:
    """Who holds translations of the kernel's areas.

    Parameters
    ----------
    machine, profile
        Whose hardware asks, if any does; and what its pages are like.

    Attributes
    ----------
    on
        Whether anybody asks; else nothing is noted.
    taken_away
        Returns whether something was taken away from some pages, and not been dropped yet.
    """

    def __init__(self, machine: Machine, profile: KernelProfile) -> None:
        asked = machine.shootdown.value(HOLDERS.name) == "touched"
        self.on = asked if machine.by_code is None else machine.shootdown.protocol.asks_for_holders
        self.taken_away: Callable[[int, Pages], int] = lambda _first, _pages: 1
        self._page_size = profile.page_size
        self._mask = (1 << profile.geometry.address_bits) // profile.page_size - 1
        self._spans: dict[tuple[int, int], int] = {}
        self._readers = 0
        self._changed: set[tuple[int, int]] = set()  # the spans of calls that change permissions

    def touch(self, cpu: CpuId, address: int, pages: Pages) -> None:
        """Note that a CPU holds translations of an area, or of some pages."""
        first = address // self._page_size & self._mask
        span = first, first + pages
        self._spans[span] = self._spans.get(span, 0) | 1 << cpu

    def entries_changed(self, address: int, pages: Pages) -> None:
        """Note that a call has changed permissions of pages, also where it gives some."""
        if self.on:
            first = address // self._page_size & self._mask
            self._changed.add((first, first + pages))

    def read_everything(self, cpu: CpuId) -> None:
        """Note that a CPU reads all memory of the kernel, again and again."""
        self._readers |= 1 << cpu

    def take(self, cpu: CpuId, what: Dropped, *, changed_only: bool) -> list[CpuId]:
        """Return the other CPUs that hold what a CPU has dropped everywhere; they drop it now.

        Parameters
        ----------
        cpu
            Who asks.
        what
            Pages of the kernel.
        changed_only
            Whether it is about those of them alone whose entries have changed.
        """
        first, end = what.first, what.end
        if not what.is_everything:
            first, end = first & self._mask, (end - 1 & self._mask) + 1
        holders, changed = self._readers, _within(self._changed, first, end)
        for span in _within(self._spans, first, end):
            known = not changed_only or self.taken_away(span[0], span[1] - span[0])
            if known or _within(changed, *span):
                holders |= self._spans[span]
                if first <= span[0] and span[1] <= end:
                    del self._spans[span]
        self._changed.difference_update(changed)
        return [one for one in _bits(holders) if one != cpu]


def _within(spans: Iterable[tuple[int, int]], first: int, end: int) -> list[tuple[int, int]]:
    """Return the spans that have pages in common with a range."""
    return [one for one in spans if one[0] < end and first < one[1]]


def _bits(mask: int) -> Iterator[int]:
    """Yield the places of the bits of a number that are set, from below."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
