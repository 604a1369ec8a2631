"""Areas of the kernel's address space in a trace: allocated, lazily freed, purged.

Events ``vmalloc:alloc_vmap_area``, ``free_vmap_area_noflush`` and ``purge_vmap_area_lazy`` (6.0 on,
include/trace/events/vmalloc.h), or probes on the functions of these names (mm/vmalloc.c).
"""

from __future__ import annotations

import re
from typing import Final

from pmsim.imports.spread import Spread
from pmsim.imports.trace.flushes import END, START, named, numbers
from pmsim.units import PAGE_SIZE

MOST_LIVE: Final = 1 << 20
"""Areas that are remembered until they are freed."""

_ALLOC: Final = re.compile(rb"va_start: ?(\w+) size=(\d+) .*failed=(\d)")
_FREE: Final = re.compile(rb"va_start=(\w+) nr_lazy=(\d+) nr_lazy_max=(\d+)")
_PURGED: Final = re.compile(rb"start=(\w+) end=(\w+) num_purged=(\d+)")


class Areas:
    """All areas of a trace.

    Attributes
    ----------
    allocated, failed, freed
        Areas.
    pages
        Of each that was allocated, its guard page included.
    lives
        From allocation to ``vfree``, of those that were seen both (ps).
    purges
        Areas that each purge gave back.
    spans
        Pages from the lowest to the highest of each purge.
    apart
        From one purge to the next (ps).
    lazy_first, lazy_most, lazy_limit
        Pages that were lazily freed at the first ``vfree``, at most, and the kernel's limit
        (``lazy_max_pages``); None where nothing tells.
    """

    def __init__(self) -> None:
        self.allocated = 0
        self.failed = 0
        self.freed = 0
        self.pages = Spread()
        self.lives = Spread()
        self.purges = Spread()
        self.spans = Spread()
        self.apart = Spread()
        self.lazy_first: int | None = None
        self.lazy_most: int | None = None
        self.lazy_limit: int | None = None
        self._born: dict[int, int] = {}
        self._purged_ps: int | None = None

    def alloc_vmap_area(
        self, time: int, _cpu: int, _name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        """Note that an area is allocated, or is not: the event, or a probe on the return."""
        found = _ALLOC.match(rest)
        if found is None:
            self._returned(time, rest)
        elif int(found[3]):
            self.failed += 1
        else:
            self._allocated(time, int(found[1], 0), int(found[2]))

    def _returned(self, time: int, rest: bytes) -> None:
        found = numbers(rest)
        start, end = named(found, *START), named(found, *END)
        if start is not None and end is not None:
            self._allocated(time, start, end - start)

    def _allocated(self, time: int, start: int, size: int) -> None:
        self.allocated += 1
        self.pages.add(size // PAGE_SIZE)
        if len(self._born) < MOST_LIVE:
            self._born[start] = time

    def free_vmap_area_noflush(
        self, time: int, _cpu: int, _name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        """Note an area lazily freed: the event, or a probe with its start and what is lazy."""
        found = _FREE.match(rest)
        if found is not None:
            self._freed(time, int(found[1], 0), int(found[2]))
            self.lazy_limit = int(found[3])
            return
        told = numbers(rest)
        start = named(told, *START)
        if start is not None:
            self._freed(time, start, named(told, b"lazy", b"nr_lazy"))

    def _freed(self, time: int, start: int, lazy: int | None) -> None:
        self.freed += 1
        born = self._born.pop(start, None)
        if born is not None and time >= born:
            self.lives.add(time - born)
        if lazy is not None:
            self.lazy_first = lazy if self.lazy_first is None else self.lazy_first
            self.lazy_most = max(lazy, self.lazy_most or 0)

    def purge_vmap_area_lazy(
        self, time: int, _cpu: int, _name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        """Note that what was lazily freed is given back."""
        found = _PURGED.match(rest)
        if found is None:
            return
        self.purges.add(int(found[3]))
        self.spans.add((int(found[2], 0) - int(found[1], 0)) // PAGE_SIZE)
        if self._purged_ps is not None and time >= self._purged_ps:
            self.apart.add(time - self._purged_ps)
        self._purged_ps = time
