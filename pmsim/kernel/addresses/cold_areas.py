"""Areas that have left the caches, because there are so many, or because another CPU freed them.

A node of a tree or of a list is an area itself (``struct vmap_area``, 64 to 104 bytes), so that
walking them is walking as many cache lines. Of more areas than the caches keep, each one's lines
come from memory; the others' from the CPU that wrote to them last.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pmsim.units import CpuId, Picoseconds

if TYPE_CHECKING:
    from pmsim.kernel.context import KernelContext

AREA_LINES: Final = 2
"""Cache lines of an area: 72 bytes and more, which are not aligned to lines
(``vmap_area_cachep``, include/linux/vmalloc.h)."""


class ColdAreas:
    """How many areas there are, who freed those that wait, and what reaching them costs.

    Parameters
    ----------
    context
        What it stands on.

    Attributes
    ----------
    in_use
        Areas in use.
    """

    def __init__(self, context: KernelContext) -> None:
        costs = context.machine.costs
        self.in_use = 0
        self._freed: Counter[CpuId] = Counter()
        self._miss = costs.memory.miss
        self._kept = max(costs.memory.lines // AREA_LINES, 1)
        self._line = costs.ipi.line
        self._topology = context.machine.topology
        self._step = context.costs.area_step
        self._lines = context.profile.purged_lines

    def descent(self) -> Picoseconds:
        """Return what going down a tree of all areas costs beyond what caches have of it.

        They have the upper levels, where every walk passes: as many nodes as they can keep.
        """
        return self._miss * (self.in_use // self._kept).bit_length() if self._miss else 0

    def walk(self, steps: int) -> Picoseconds:
        """Return what walking so many areas of a list costs."""
        return steps * self._step + max(steps - self._kept, 0) * self._miss

    def freed(self, cpu: CpuId) -> None:
        """Note that a CPU freed an area."""
        self._freed[cpu] += 1

    def purged(self, entries: int) -> Purged:
        """Return what reaching the areas of a purge costs; it takes all that were freed so far."""
        freed, self._freed = self._freed, Counter()
        return Purged(self, freed, entries)

    def cost(self, cpu: CpuId, purged: Purged, entries: int) -> Picoseconds:
        """Return what reaching some of the areas of a purge costs; see `Purged`."""
        near = min(purged.entries, self._kept) if self._miss else purged.entries
        lines = sum(
            count * self._topology.cost(self._line, by, cpu)
            for by, count in purged.freed.items()
            if by != cpu
        )
        # What the caches have lost is lost of everybody's alike.
        line = near * (lines // max(purged.freed.total(), 1))
        line += (purged.entries - near) * self._miss
        return entries * self._lines * line // purged.entries


@dataclass(frozen=True, slots=True)
class Purged:
    """The areas of a purge.

    Attributes
    ----------
    cold
        What they cost.
    freed
        How many of them each CPU freed.
    entries
        How many there are, neighbours joined where the kernel joins them.
    """

    cold: ColdAreas
    freed: Counter[CpuId]
    entries: int

    def reached(self, cpu: CpuId, entries: int) -> Picoseconds:
        """Return what it costs a CPU to reach so many of them, each with its neighbours."""
        return self.cold.cost(cpu, self, entries)
