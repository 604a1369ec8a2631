"""Flushes in a trace: why, how large, by whom.

One flush may be seen at several heights: as a function of the kernel that a probe stands in, as the
event ``tlb:tlb_flush``, as a cross-call, as the purge that asked for it. Each height is counted by
itself, and of each kind of flush the report takes the one that says most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pmsim.imports.spread import Spread
from pmsim.units import PAGE_SIZE

MOST_NAMES: Final = 1 << 14
"""Names of processes that are told apart."""

_FLUSH: Final = re.compile(rb"pages: ?(-?\d+) reason: ?.*\((\d+)\)")
_BY: Final = re.compile(rb"\bby=([\w.]+)")
_NUMBER: Final = re.compile(rb"\b(\w+)=(0x[0-9a-f]+|-?\d+)")

_SEND, _LOCAL, _LOCAL_MM = 4, 2, 3
"""Reasons of ``tlb_flush`` (enum tlb_flush_reason, include/linux/mm_types.h): others are told; this
CPU flushes for itself."""
EVERYTHING: Final = -1
"""Pages of a flush of everything (``TLB_FLUSH_ALL``)."""


@dataclass(slots=True)
class Kind:
    """Flushes of one kind.

    Attributes
    ----------
    count, full
        All, and those of everything.
    pages
        Of each of the others.
    names
        How many each task caused.
    """

    count: int = 0
    full: int = 0
    pages: Spread = field(default_factory=Spread)
    names: dict[bytes, int] = field(default_factory=dict)

    def add(self, pages: int, name: bytes) -> None:
        """Count one, `EVERYTHING` or so many pages, by a task of this name."""
        self.count += 1
        if pages == EVERYTHING:
            self.full += 1
        else:
            self.pages.add(pages)
        if name in self.names or len(self.names) < MOST_NAMES:
            self.names[name] = self.names.get(name, 0) + 1


class Flushes:
    """All flushes of a trace.

    Attributes
    ----------
    user, user_local
        Of a process, by ``tlb_flush``: told to other CPUs, and on the own CPU alone.
    probed_user
        Calls of ``flush_tlb_mm_range``.
    received, switches
        What CPUs flushed because others told them, and when they took up a process.
    by_caller
        Kernel flushes that probes saw, by the function and its caller (empty: not told).
    """

    def __init__(self) -> None:
        self.user = Kind()
        self.user_local = Kind()
        self.probed_user = Kind()
        self.received = 0
        self.switches = 0
        self.by_caller: dict[tuple[str, str], Kind] = {}
        self._told: dict[int, int] = {}

    def tlb_flush(self, _time: int, cpu: int, name: bytes, _flags: bytes, rest: bytes) -> None:
        """Note that a CPU flushes, or tells others to."""
        found = _FLUSH.match(rest)
        if found is None:
            return
        pages, reason = int(found[1]), int(found[2])
        if reason == _SEND:
            self.user.add(pages, name)
            self._told[cpu] = pages
        elif reason in (_LOCAL, _LOCAL_MM):
            # The own share of a flush that others were told of comes right behind.
            if self._told.pop(cpu, None) is None:
                self.user_local.add(pages, name)
        elif reason == 0:
            self.switches += 1
        else:
            self.received += 1

    def flush_tlb_mm_range(
        self, _time: int, _cpu: int, name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        """Note what a probe on it tells: start and end."""
        self.probed_user.add(span(rest), name)

    def flush_tlb_kernel_range(
        self, _time: int, _cpu: int, name: bytes, _flags: bytes, rest: bytes
    ) -> None:
        """Note what a probe on it tells: start, end and caller."""
        self._kernel("flush_tlb_kernel_range", span(rest), name, rest)

    def flush_tlb_all(self, _time: int, _cpu: int, name: bytes, _flags: bytes, rest: bytes) -> None:
        """Note what a probe on it tells: its caller."""
        self._kernel("flush_tlb_all", EVERYTHING, name, rest)

    def _kernel(self, function: str, pages: int, name: bytes, rest: bytes) -> None:
        by = _BY.search(rest)
        caller = by[1].decode().partition(".")[0] if by else ""
        kind = self.by_caller.setdefault((function, caller), Kind())
        kind.add(pages, name)


def numbers(rest: bytes) -> Mapping[bytes, int]:
    """Return what a probe tells of its arguments: ``name=0x10`` or ``name=16``."""
    return {name: int(value, 0) for name, value in _NUMBER.findall(rest)}


def named(found: Mapping[bytes, int], *names: bytes) -> int | None:
    """Return the first argument that has one of these names."""
    return next((found[name] for name in names if name in found), None)


START: Final = (b"s", b"start", b"arg1")
END: Final = (b"e", b"end", b"arg2")
"""What arguments of probes are called: our own names, the kernel's, those of an ``arg``."""


def span(rest: bytes) -> int:
    """Return the pages between start and end of a probe, `EVERYTHING` where it is no range."""
    found = numbers(rest)
    start, end = named(found, *START), named(found, *END)
    if start is None or end is None or end <= start or end >= (1 << 64) - PAGE_SIZE:
        return EVERYTHING
    return -(-(end - start) // PAGE_SIZE)
