"""Hardware that knows who holds a translation: nobody is interrupted, nobody else loses time.

`COHERENT` stands for TLBs that take part in cache coherence: the store to the page table
invalidates what was loaded from that line (Romanescu and others, UNITD, HPCA 2010; Yan and others,
HATRIC, ISCA 2017). `DIRECTORY` stands for a directory of TLB entries beside the last-level cache
that tells the holders (Villavieja and others, DiDi, PACT 2011). Neither has been built, and no
cost of an instruction is published: what-if questions. The rules are in section 11 of the
machine-model page.

Left out: whom the hardware takes for holders and who are none; lines of page tables that two
CPUs write at a time; a directory that is full and drops entries by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from pmsim.hardware.proposals import CoherentCosts, DirectoryCosts
from pmsim.hardware.shootdown.protocol import Holds, Option, Protocol, Value
from pmsim.hardware.tlb import CallKind, check_length
from pmsim.hardware.topology import at_code

ENTRIES_PER_LINE: Final = 8
"""Entries of a page table in one cache line of 64 bytes."""

EVERYTHING: Final = -1
"""In the place of a number of pages: what was changed is no range."""

HOLDERS: Final = Option(
    name="holders",
    text="Whom the hardware takes for holders of a translation.",
    values=(
        Value("all", "every other CPU"),
        Value(
            "touched",
            "CPUs that have allocated the area or in it, or written to it, since they last dropped"
            " it, and readers of all memory (overwrite); of a process, those in its mask. What"
            " lies nowhere in particular (a trace's flushes) all hold",
        ),
    ),
)

COHERENT: Final = Protocol(
    name="coherent",
    text="TLBs follow the stores to page tables as caches do: changing an entry drops it"
    " everywhere, and the initiator waits for its stores.",
    told="by TLBs that follow stores (coherent), which interrupt nobody",
    costs=CoherentCosts,
    interrupts=False,
    held_off=False,
    at_return=Holds.GONE,
    pays="the initiator alone, which waits for its stores",
    source="UNITD, HPCA 2010; HATRIC, ISCA 2017: proposed, not built",
    options=(HOLDERS,),
)

DIRECTORY: Final = Protocol(
    name="directory",
    text="A directory knows which TLBs hold a translation and tells them; the initiator waits for"
    " their answers.",
    told="by a directory of TLBs (directory), which interrupts nobody",
    costs=DirectoryCosts,
    interrupts=False,
    held_off=False,
    at_return=Holds.GONE,
    pays="the initiator alone, which waits for the holders' answers",
    source="DiDi, PACT 2011: proposed, not built",
    options=(HOLDERS,),
)


@dataclass(frozen=True, slots=True)
class Wait:
    """What an initiator waits for that tells no CPU anything itself; times in picoseconds.

    Parameters
    ----------
    kind
        What is dropped: ``RANGE`` or ``FULL``.
    held, trip
        How long the initiator is at it, and how long the answers take after that.
    holders
        How many CPUs have to answer.
    protocol
        The number by which the machine's rows name what it is done by.

    Attributes
    ----------
    more, arguments
        The same as plain integers, for the compiled passes: ``trip``; the rest.

    Raises
    ------
    ProgramError
        If ``held`` is longer than `LONGEST_FLUSH`.
    """

    kind: CallKind
    held: int
    trip: int
    holders: int
    protocol: int
    more: npt.NDArray[np.int64] = field(init=False, repr=False, compare=False)
    arguments: tuple[int, int, int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_length(self.held)
        object.__setattr__(self, "more", np.array([self.trip], dtype=np.int64))
        arguments = (self.holders, self.held, -self.protocol, int(self.kind))
        object.__setattr__(self, "arguments", arguments)


class Holders:
    """What the hardware of one machine does about those who hold a translation.

    Parameters
    ----------
    costs
        What it takes.
    protocol
        The number by which the machine's rows name it.
    codes
        Distance codes, shape ``(n_cpus, n_cpus)`` (`Topology.codes`).
    """

    def __init__(
        self, costs: CoherentCosts | DirectoryCosts, protocol: int, codes: npt.NDArray[np.uint8]
    ) -> None:
        self._costs = costs
        self._protocol = protocol
        self._codes = codes
        self._waits: dict[tuple[int, int], Wait] = {}

    def wait(self, cpu: int, pages: int, holders: Sequence[int] | None = None) -> Wait:
        """Return what a CPU waits for that has changed so many pages, or `EVERYTHING`.

        The holders are others; None: all of them.
        """
        if holders is not None and len(holders) < len(self._codes) - 1:
            there = np.unique(self._codes[cpu, [cpu, *holders]]).tolist()
            return self._worked_out(pages, there, len(holders))
        known = self._waits.get((cpu, pages))
        if known is None:
            there = np.unique(self._codes[cpu]).tolist()
            known = self._worked_out(pages, there, len(self._codes) - 1)
            self._waits[cpu, pages] = known
        return known

    def _worked_out(self, pages: int, far: list[int], holders: int) -> Wait:
        """Return the same: of the stores, one to each line; or of the messages and the answers.

        ``far`` are the distance codes that there are, ascending, the CPU itself first. The stores
        wait for a holder of the farthest distance class; to nobody, for the CPU's own.
        Everything has been dropped by the stores already. Where no page has changed, neither takes
        any time.
        """
        costs = self._costs
        kind = CallKind.FULL if pages == EVERYTHING else CallKind.RANGE
        if isinstance(costs, CoherentCosts):
            lines = 0 if pages == EVERYTHING else -(-pages // ENTRIES_PER_LINE)
            held = lines * at_code(costs.store, far[-1])
            return Wait(kind, held, 0, holders, self._protocol)
        if pages == 0:
            return Wait(kind, 0, 0, holders, self._protocol)
        trip = max((at_code(costs.round_trip, code) for code in far[1:]), default=0)
        held = costs.lookup + holders * costs.message
        return Wait(kind, held, trip, holders, self._protocol)
