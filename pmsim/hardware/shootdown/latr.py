"""Frees of user space that nobody is interrupted for: CPUs drop translations at their ticks.

It stands for LATR (Kumar and others, *LATR: Lazy Translation Coherence*, ASPLOS 2018, and its
code, a patch of Linux 4.10, not merged): who unmaps pages writes that into a ring of its CPU and
goes on; every CPU looks into all rings at each tick and switch; the pages are used again two ticks
later. All else, and what finds its ring full, is told by calls. The rules are in section 14 of
the machine-model page.

Left out: what is migrated lazily (``numa_balancing``); that the sweep of one entry of many pages
takes longer; cache misses of many CPUs that look into one ring at a time.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.proposals import LatrCosts
from pmsim.hardware.shootdown.protocol import Holds, Protocol

SOUND_RECLAIM: Final = 2
"""Ticks after which every busy CPU has had a whole one: the first may still be under way."""

LATR: Final = Protocol(
    name="latr",
    text="Frees of user space are written down and dropped by each CPU at its next tick or switch;"
    " everything else is told by IPI calls.",
    told="notes that CPUs take at their ticks (latr), which interrupt nobody",
    costs=LatrCosts,
    interrupts=False,
    held_off=True,
    at_return=Holds.GONE,
    pays="every busy CPU at each of its ticks and switches; the initiator, which writes it down",
    source="LATR, ASPLOS 2018: a patch of Linux 4.10, not merged",
    calls="ipi",
    drops_at="tick",
    frees="every CPU has been told; it is used again `reclaim` ticks later",
)


def unsound(costs: LatrCosts, isolated: Collection[int]) -> str | None:
    """Return why freed memory could be used again too early on a machine, `None` if it could not.

    Parameters
    ----------
    costs
        Of the machine.
    isolated
        Its CPUs that have no tick while one program runs in user mode there (``nohz_full``).
    """
    if costs.reclaim < SOUND_RECLAIM:
        return (
            f"memory is used again {costs.reclaim} ticks after it was freed (costs.latr.reclaim),"
            f" and a CPU may hold its translation for up to {SOUND_RECLAIM}"
        )
    if isolated:
        return "isolated CPUs in user mode have no ticks, and hold translations of freed memory"
    return None


class Rings(dict[int, npt.NDArray[np.int64]]):
    """The ring of each CPU that has written something down, as `passes.rings` has it.

    Parameters
    ----------
    entries
        How many each has.
    entry
        The words of one (`layout.RING_ROW`).
    """

    def __init__(self, entries: int, entry: int) -> None:
        super().__init__()
        self._words = entries * entry

    def __missing__(self, cpu: int) -> npt.NDArray[np.int64]:
        ring = self[cpu] = np.zeros(self._words, dtype=np.int64)
        return ring
