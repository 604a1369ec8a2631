"""A kernel module in memory, or why it is not there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from pmsim.kernel.modules.names import EBUSY, EEXIST
from pmsim.units import Bytes, Pages

if TYPE_CHECKING:
    from pmsim.kernel.modules.memory import ModuleArea
    from pmsim.kernel.modules.plans import AreaPlan
    from pmsim.kernel.modules.segments import ModuleSegments, SegmentName

ENOMEM: Final = 12
"""Out of memory (include/uapi/asm-generic/errno-base.h); calls return it negated."""
EINVAL: Final = 22
"""Invalid argument: what stands here for whatever a failing module returns."""


class Segment(NamedTuple):
    """A segment where it was placed: address of its first byte, and pages (0: absent)."""

    address: int
    pages: Pages


NOWHERE: Final = Segment(0, 0)
"""A segment of an area that the module does not have (any more)."""


class Refusal(NamedTuple):
    """Why a module was not loaded.

    Attributes
    ----------
    error
        The negated error number that ``finit_module`` returns.
    reason
        The same in words.
    """

    error: int
    reason: str

    @property
    def duplicate(self) -> bool:
        """Whether another load of the same module had the name."""
        return -self.error in (EEXIST, EBUSY)


@dataclass(slots=True, eq=False)
class Module:
    """A module in memory.

    Attributes
    ----------
    segments
        What it is made of.
    name
        Its name, if it has one.
    areas
        Its areas by name; those of the init part are gone once they were given away.
    placed
        Where the segments of these areas lie.
    live
        Its init function succeeded, and it has not been unloaded.
    """

    segments: ModuleSegments
    name: str | None
    areas: dict[str, ModuleArea] = field(default_factory=dict)
    placed: dict[SegmentName, Segment] = field(default_factory=dict)
    live: bool = False

    def add(self, name: str, plan: AreaPlan, area: ModuleArea, page_size: Bytes) -> None:
        """Place the segments of an area in it, one after the other, in whole pages."""
        self.areas[name] = area
        address = area.address
        for segment in plan.segments:
            pages = getattr(self.segments, segment)
            self.placed[segment] = Segment(address, pages)
            address += pages * page_size

    def remove(self, name: str, plan: AreaPlan) -> ModuleArea | None:
        """Take an area away, and return it; None if the module does not have it."""
        for segment in plan.segments:
            self.placed.pop(segment, None)
        return self.areas.pop(name, None)

    def segment(self, name: SegmentName) -> Segment:
        """Return where a segment lies; `NOWHERE` if its area does not exist."""
        return self.placed.get(name, NOWHERE)
