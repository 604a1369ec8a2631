"""How long what a pool holds could be overwritten, and by what.

Three stretches, one behind the other. From its allocation until its area's entries are written a
byte is *writable* as it is meant to be. From then on until every TLB has dropped the old
translation it is *stale*: whoever holds that can still write. A part of that time no CPU runs code
that could: all are in the handler that is about to drop it. No time passes here, and nothing of it
stands for anything in the kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pmsim.units import Bytes, Picoseconds

if TYPE_CHECKING:
    from pmsim.kernel.safety.violations import Revocation


_FEW: Final = 256
"""Areas of a pool of which it is not known when they are gone before it is looked at again."""


@dataclass(slots=True)
class Exposure:
    """Bytes allocated and writable, times how long they were.

    What protection is for: the product of how much could be overwritten and how long.

    Attributes
    ----------
    writable
        Bytes exposed at `since`.
    since
        Instant of the last change, in picoseconds.
    byte_ps
        The integral up to `since`, in byte-picoseconds, exact.
    """

    writable: Bytes = 0
    since: Picoseconds = 0
    byte_ps: int = 0

    def change(self, now: Picoseconds, by: Bytes) -> None:
        """Expose more bytes (or, negative, fewer) from ``now`` on."""
        self.byte_ps = self.at(now)
        self.writable += by
        self.since = now

    def ramp(self, start: Picoseconds, end: Picoseconds, steps: int, size: Bytes) -> None:
        """Expose ``size`` bytes ``steps`` times, evenly between ``start`` and ``end``.

        The last step is at ``end``. Steps that no interrupt stretched are thereby exact; otherwise
        the interrupts' time is spread evenly over the steps, rounded down to a byte-picosecond.
        """
        self.change(end, steps * size)
        self.byte_ps += size * (end - start) * (steps - 1) // 2

    def at(self, now: Picoseconds) -> int:
        """Return the integral up to ``now``, in byte-picoseconds."""
        return self.byte_ps + self.writable * (now - self.since)


@dataclass(slots=True)
class StaleTime:
    """How long areas of a pool could be written through old translations.

    Attributes
    ----------
    longest_ps, total_ps
        The longest of an area, and of all areas together.
    byte_ps
        Bytes times how long, in byte-picoseconds.
    closed_ps
        The part of the total in which no CPU ran code that could.
    """

    longest_ps: Picoseconds = 0
    total_ps: Picoseconds = 0
    byte_ps: int = 0
    closed_ps: Picoseconds = 0

    def count(self, size: Bytes, one: Revocation, gone: Picoseconds) -> None:
        """Count an area of so many bytes more, whose old translation was gone at an instant."""
        stale = gone - one.written_ps
        closed = gone if one.closed_ps is None else min(one.closed_ps, gone)
        self.longest_ps = max(self.longest_ps, stale)
        self.total_ps += stale
        self.byte_ps += size * stale
        self.closed_ps += gone - max(closed, one.written_ps)


@dataclass(slots=True)
class Staleness:
    """The areas of a pool that were protected while something was in them."""

    _known: StaleTime = field(default_factory=StaleTime)
    _open: list[tuple[Bytes, Revocation]] = field(default_factory=list)
    _many: int = 0

    def add(self, size: Bytes, revocation: Revocation, now: Picoseconds) -> None:
        """Note that ``size`` bytes were revoked, which may be gone by now, or only later."""
        if revocation.gone_ps is None or revocation.gone_ps > now:
            self._open.append((size, revocation))
            if len(self._open) > max(_FEW, self._many):
                self._look_again(now)
        else:
            self._known.count(size, revocation, revocation.gone_ps)

    def _look_again(self, now: Picoseconds) -> None:
        """Count those that are gone by now: where shootdowns meet that is found out later."""
        still_open = []
        for size, revocation in self._open:
            gone = revocation.gone_ps
            if gone is None or gone > now:
                still_open.append((size, revocation))
            else:
                self._known.count(size, revocation, gone)
        self._open, self._many = still_open, 2 * len(still_open)

    def at(self, now: Picoseconds) -> StaleTime:
        """Return what there was of it up to ``now``."""
        found = replace(self._known)
        for size, revocation in self._open:
            gone = now if revocation.gone_ps is None else min(revocation.gone_ps, now)
            found.count(size, revocation, gone)
        return found
