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

from collections import defaultdict, deque
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.passes import layout
from pmsim.hardware.proposals import LatrCosts
from pmsim.hardware.shootdown.protocol import Holds, Protocol

TOGETHER: Final = 8
"""Entries of a ring that are looked at together, as long as it has room: whom the first waits for
is asked once for so many notes. A full ring is looked at each time."""

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


@dataclass(slots=True)
class _Ring:
    """What one CPU has written down.

    Attributes
    ----------
    entries
        The numbers of the notes, and whom each concerns.
    awaited
        The word that says when one of those last looked whom the first entry waits for; -1 where
        nobody is known.
    """

    entries: deque[tuple[int, npt.NDArray[np.int64]]] = field(default_factory=deque)
    awaited: int = -1


class Rings:
    """What each CPU has written down and others have not dropped yet.

    An entry is free for another one when all whom it concerns have begun to sweep since it was
    written; entries are used in turn.

    Parameters
    ----------
    costs
        How many entries a ring has.
    state
        The machine, by `passes.layout`.

    Attributes
    ----------
    full
        How often a ring was full, so that a call was made.
    """

    def __init__(self, costs: LatrCosts, state: npt.NDArray[np.int64]) -> None:
        self._room = costs.ring
        self._state = state
        self._words = state.data
        cpus = np.arange(self._words[layout.N_CPUS])
        self._everybody = self._looks(cpus)
        self._looked = 0  # every CPU has looked since the notes below this number
        self._rings: defaultdict[int, _Ring] = defaultdict(_Ring)
        self.full = 0

    @staticmethod
    def _looks(cpus: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the words that say when CPUs last looked."""
        return layout.HEADER + cpus * layout.CPU_WORDS + layout.LOOKED_AT

    def has_room(self, cpu: int) -> bool:
        """Return whether a CPU can write one more entry down; it is counted where it cannot."""
        ring = self._rings[cpu]
        kept = len(ring.entries)
        if kept < self._room and kept % TOGETHER:
            return True
        while ring.entries and self._is_free(ring, *ring.entries[0]):
            ring.entries.popleft()
            ring.awaited = -1
        room = len(ring.entries) < self._room
        self.full += not room
        return room

    def _is_free(self, ring: _Ring, number: int, targets: npt.NDArray[np.int64]) -> bool:
        """Return whether all whom the first entry of a ring concerns have looked since."""
        if number < self._looked:
            return True
        if ring.awaited >= 0 and self._words[ring.awaited] <= number:
            last = (ring.awaited - layout.HEADER - layout.LOOKED_AT) // layout.CPU_WORDS
            if not self._looks_now(last, number):
                return False
        self._looked = int(self._state[self._everybody].min())
        looks = self._looks(targets)
        waits = self._state[looks] <= number
        if not waits.any():
            return True
        if all(self._looks_now(cpu, number) for cpu in targets[waits].tolist()):
            return True
        ring.awaited = int(looks[self._state[looks].argmin()])
        return False

    def _looks_now(self, cpu: int, number: int) -> bool:
        """Return whether a CPU begins at this instant to take up a task, and so sees a note.

        That is interrupt work, which comes before any step; the fabric does it at the CPU's turn.
        """
        # Late: this loads the compiled hardware, which reading a scenario does not need.
        from pmsim.hardware.passes.steps import act

        words = self._words
        row = layout.HEADER + cpu * layout.CPU_WORDS
        if words[row + layout.MODE] not in (layout.M_READY, layout.M_WAKE):
            return False
        now = words[layout.NOW]
        seen = words[layout.SAVES_BEFORE if words[layout.SAVED_AT] == now else layout.SAVES]
        task = words[row + layout.READY_HEAD]
        return bool(seen > number and act(self._state, layout.DO_ASK_RUNS, task, 0))

    def note(self, cpu: int, targets: npt.NDArray[np.int64]) -> None:
        """Note what a CPU has just written down, and whom it concerns."""
        self._rings[cpu].entries.append((self._words[layout.SAVES] - 1, targets))
