"""Pools of protectable memory: state and arithmetic, without time.

A pool is a list of areas, each an ordinary vmalloc allocation, of which only the newest serves
requests, from its end towards its start. What is here stands for ``struct pmalloc_pool`` and the
inline helpers of mm/pmalloc.c (pmalloc v21, March 2018, posted against Linux 4.16), and for the
modes that v23 and prmem added. It leaves out the object's own memory (kzalloc), which never fails
here. `pmsim.kernel.pmalloc.pmalloc` adds locks, time and page tables.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, overload

from pmsim.kernel.pmalloc.exposure import Exposure, Staleness
from pmsim.kernel.pmalloc.modes import REWRITABLE, PoolMode
from pmsim.units import Bytes, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.kernel.locks import KernelMutex
    from pmsim.kernel.safety.violations import Revocation


class MappedArea(Protocol):
    """What a pool needs to know of a vmalloc area."""

    @property
    def address(self) -> int:
        """Virtual address of the first byte."""

    @property
    def pages(self) -> Pages:
        """Mapped pages, without the guard page."""

    @property
    def size(self) -> Bytes:
        """Their bytes."""


@dataclass(slots=True)
class PoolArea:
    """One area of a pool.

    Attributes
    ----------
    mapped
        The vmalloc area.
    requested
        Bytes that were asked for and lie in it.
    protected
        Whether it was made read-only (``VM_PMALLOC_PROTECTED``), by ``pmalloc_protect_pool`` or on
        its way into or out of the place of the newest one.
    """

    mapped: MappedArea
    requested: Bytes = 0
    protected: bool = False

    @property
    def size(self) -> Bytes:
        """Mapped bytes."""
        return self.mapped.size


@dataclass(slots=True)
class PoolStatistics:
    """What a pool did in its life; `Pool.statistics` holds it.

    At any time ``size of all pages = requested + slack + wasted + relinquished + free``, where
    *free* is what the newest area can still give.

    Attributes
    ----------
    areas, pages
        Areas ever grown, and their mapped pages.
    allocations, requested
        Objects handed out, and the bytes that were asked for.
    slack
        Bytes lost to alignment, above each object.
    wasted
        Bytes left over in an area that was too small for the next object: only the newest area is
        ever looked at, so they are lost.
    relinquished
        Bytes given up because their area was protected before it was full.
    protects
        Calls of ``pmalloc_protect_pool``, those that found nothing to do included.
    rare_writes
        Pages that rare writes changed, each as often as it was written.
    unprotected_destroyed
        Areas that were destroyed without ever having been protected; the kernel warns of each.
    """

    areas: int = 0
    pages: Pages = 0
    allocations: int = 0
    requested: Bytes = 0
    slack: Bytes = 0
    wasted: Bytes = 0
    relinquished: Bytes = 0
    protects: int = 0
    rare_writes: int = 0
    unprotected_destroyed: int = 0


@dataclass(frozen=True, slots=True)
class Run:
    """Objects one below the other in one area: ``count`` addresses from ``address`` downwards."""

    address: int
    stride: Bytes
    count: int


class Allocations(Sequence[int]):
    """Addresses of the objects of one ``alloc_many``, in order of allocation, none of them stored.

    Parameters
    ----------
    wanted
        How many were asked for; fewer came if the pool could not grow.
    runs
        Where they lie.

    Examples
    --------
    >>> from pmsim.kernel.pmalloc.pools import Allocations, Run
    >>> objects = Allocations(3, (Run(0xfe8, 24, 2), Run(0x2fe8, 24, 1)))
    >>> [hex(address) for address in objects]
    ['0xfe8', '0xfd0', '0x2fe8']
    """

    def __init__(self, wanted: int, runs: Sequence[Run]) -> None:
        self.wanted = wanted
        self.runs = tuple(runs)
        self._starts: list[int] = []
        self._count = 0
        for run in self.runs:
            self._starts.append(self._count)
            self._count += run.count

    @property
    def complete(self) -> bool:
        """Whether all that were asked for were allocated (a call that failed returns NULL)."""
        return self._count == self.wanted

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> list[int]: ...
    def __getitem__(self, index: int | slice) -> int | list[int]:
        if isinstance(index, slice):
            return [self._address(i) for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"object {index} of {self._count}")
        return self._address(index % self._count)

    def __iter__(self) -> Iterator[int]:
        for run in self.runs:
            for k in range(run.count):
                yield run.address - k * run.stride

    def _address(self, index: int) -> int:
        which = bisect_right(self._starts, index) - 1
        run = self.runs[which]
        return run.address - (index - self._starts[which]) * run.stride


@dataclass(slots=True)
class Pool:
    """One pool, as ``pmalloc_create_pool`` returns it.

    Attributes
    ----------
    number
        Counted from 0 in order of creation.
    refill, align
        Bytes: growth at least, and alignment of every object (see `Sizes`).
    mutex
        Held over every allocation and over the whole of a protection, its shootdowns included.
    mode
        What may be done to its protected memory, and when it is protected.
    areas
        Oldest first (the kernel's list has the newest first).
    offset
        Where the next object ends, in bytes from the start of the newest area.
    destroyed
        The object was freed; whoever uses it still is undone.
    statistics, exposure
        What the table ``pools`` shows; exposed is what no protection has returned for.
    writable, staleness
        Bytes up to the instant at which their entries are written, and what comes then.
    """

    number: int
    refill: Bytes
    align: Bytes
    mutex: KernelMutex
    mode: PoolMode = "ro"
    areas: list[PoolArea] = field(default_factory=list)
    offset: Bytes = 0
    destroyed: bool = False
    statistics: PoolStatistics = field(default_factory=PoolStatistics)
    exposure: Exposure = field(default_factory=Exposure)
    writable: Exposure = field(default_factory=Exposure)
    staleness: Staleness = field(default_factory=Staleness)

    @property
    def starts_protected(self) -> bool:
        """Whether its areas are protected at birth, and give memory all the same."""
        return self.mode == "start"

    @property
    def rewritable(self) -> bool:
        """Whether rare writes may change it."""
        return self.mode in REWRITABLE

    @property
    def serving(self) -> bool:
        """Whether the newest area, if there is one, may still be allocated from."""
        if not self.areas:
            return False
        return self.starts_protected or not self.areas[-1].protected

    @property
    def free(self) -> Bytes:
        """Bytes that the newest area can still give."""
        return self.offset if self.serving else 0

    def space_needed(self, size: Bytes) -> bool:
        """Return whether the pool must grow before it can give ``size`` bytes.

        Notes
        -----
        Only the newest area is looked at, and a protected one gives nothing, unless the pool is of
        mode ``start``. It is exhausted if neither the part of it below the last
        aligned offset nor the part above it holds the object; the two differ from "offset < size"
        only for alignments above a page.
        """
        if not self.serving:
            return True
        before = _round_down(self.offset, self.align)
        return self.offset - before < size and before < size

    def growth(self, size: Bytes) -> Bytes:
        """Return the bytes to ask vmalloc for, to serve a request of ``size``."""
        return max(size, self.refill)

    def add(self, mapped: MappedArea) -> PoolArea:
        """Make a new area the newest; what the one before still had is lost."""
        self.statistics.wasted += self.free
        area = PoolArea(mapped, protected=self.starts_protected)
        self.areas.append(area)
        self.offset = area.size
        self.statistics.areas += 1
        self.statistics.pages += mapped.pages
        return area

    def room(self, size: Bytes, wanted: int) -> int:
        """Return how many of ``wanted`` objects the newest area holds, which holds one at least."""
        stride = _round_up(size, self.align)
        if stride == 0:
            return wanted
        first = _round_down(self.offset - size, self.align)
        return min(wanted, 1 + first // stride)

    def take(self, size: Bytes, count: int = 1) -> Run:
        """Allocate ``count`` objects downwards in the newest area, which has `room` for them."""
        stride = _round_up(size, self.align)
        first = _round_down(self.offset - size, self.align)
        last = first - (count - 1) * stride
        asked = count * size
        self.statistics.allocations += count
        self.statistics.requested += asked
        self.statistics.slack += self.offset - last - asked
        self.areas[-1].requested += asked
        self.offset = last
        return Run(self.areas[-1].mapped.address + first, stride, count)

    def unprotected(self) -> list[PoolArea]:
        """Return the areas that a protection has to change, newest first.

        The walk stops at the first protected area: all older ones are protected too.
        """
        found = []
        for area in reversed(self.areas):
            if area.protected:
                break
            found.append(area)
        return found

    def mark_protected(
        self, area: PoolArea, now: Picoseconds, revocation: Revocation | None = None
    ) -> None:
        """Note that an area is read-only from ``now`` on; the newest one's rest is given up.

        Nothing changes where it was read-only before. How its entries were revoked is known unless
        they could not be.
        """
        if area.protected:
            return
        if area is self.areas[-1]:
            self.statistics.relinquished += self.free
        area.protected = True
        self.exposure.change(now, -area.requested)
        self.writable.change(revocation.written_ps if revocation else now, -area.requested)
        if revocation is not None and area.requested:
            self.staleness.add(area.requested, revocation, now)

    def expose(self, now: Picoseconds, size: Bytes) -> None:
        """Note that ``size`` bytes of the newest area are handed out, if they can be written."""
        if not self.areas[-1].protected:
            self.exposure.change(now, size)
            self.writable.change(now, size)

    def expose_evenly(self, start: Picoseconds, end: Picoseconds, steps: int, size: Bytes) -> None:
        """Note the same of ``steps`` objects, handed out evenly between ``start`` and ``end``."""
        if not self.areas[-1].protected:
            self.exposure.ramp(start, end, steps, size)
            self.writable.ramp(start, end, steps, size)

    def close(self, now: Picoseconds) -> None:
        """Note that nothing of it can be overwritten from ``now`` on, because it is destroyed."""
        for exposure in (self.exposure, self.writable):
            exposure.change(now, -exposure.writable)


def _round_down(value: int, align: int) -> int:
    return value & -align


def _round_up(value: int, align: int) -> int:
    return (value + align - 1) & -align
