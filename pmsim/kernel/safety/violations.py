"""What is found where the kernel went on before every CPU had forgotten."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import layout
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from pmsim.kernel.safety.tellings import Telling

Ints = npt.NDArray[np.int64]


class Hazard(IntEnum):
    """What somebody could do; the lower-case name stands in the tables."""

    WRITE_AFTER_PROTECT = 0
    """Use what was revoked, though the call that revoked it has returned."""
    USE_AFTER_FREE = 1
    """Use pages or addresses through an old translation that are, or may be, somebody else's."""
    TABLE_REUSE = 2
    """Walk a page table that has been given back."""


@dataclass(slots=True, eq=False)
class Violation:
    """A CPU that could still use an old translation when the kernel relied on that it cannot.

    Attributes
    ----------
    hazard
        What could be done.
    operation
        Id of the operation that relied on it; -1: none.
    page, pages
        Number of the first page that it is about, and how many; -1 and their number for pages of a
        process.
    cpu
        Which.
    from_ps, to_ps
        From when on, and when it had forgotten; None: not in this run.
    """

    hazard: Hazard
    operation: int
    page: int
    pages: Pages
    cpu: CpuId
    from_ps: Picoseconds
    to_ps: Picoseconds | None = None


@dataclass(eq=False)
class Revocation:
    """A change that took rights away.

    It has no slots: what is not known at first, or never, is then no work when it is made.

    Attributes
    ----------
    page, pages
        What it is about.
    generation
        Its generation.
    written_ps
        When its entries were written.
    gone_ps, closed_ps
        When no TLB held the old translation any more, and from when on no CPU ran code that could
        have used it; None until that is known.
    left_out_by
        The shootdown that was to make it known, if that has left CPUs out.
    late_ps
        When the last CPU of such a row had dropped it, once all have.
    waits
        In how many rows of what CPUs have still to drop it stands (`waiting`), where some were left
        out or not told.
    by_ps
        By when it is gone at the latest, where other shootdowns may have been earlier, and when
        it is gone is looked up later.
    first
        When each CPU had dropped it, and from when on it was closed there (shape ``(2, n_cpus)``),
        where shootdowns met and not all CPUs have by now.
    """

    page: int
    pages: Pages
    generation: int
    written_ps: Picoseconds
    gone_ps: Picoseconds | None = field(default=None, init=False)
    closed_ps: Picoseconds | None = field(default=None, init=False)
    left_out_by: Telling | None = field(default=None, init=False)
    late_ps: Picoseconds = field(default=0, init=False)
    waits: int = field(default=0, init=False)
    by_ps: Picoseconds | None = field(default=None, init=False)
    first: Ints | None = field(default=None, init=False)

    @property
    def is_known(self) -> bool:
        """Whether its own shootdown has made it known when it is gone, or by when."""
        return self.gone_ps is not None or self.by_ps is not None

    def is_dropped(self, first: Ints) -> None:
        """Note when it is gone that several shootdowns were about, on those whom one has told."""
        self.first = first
        do = first[0] < layout.INF
        self.gone_ps, self.closed_ps = first.max(axis=1, initial=0, where=do).tolist()
