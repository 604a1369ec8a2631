"""The invalidation that the interconnect broadcasts, which Arm and recent AMD CPUs have.

It stands for ``TLBI ...IS`` followed by ``DSB ISH`` (arch/arm64/include/asm/tlbflush.h) and for
``INVLPGB`` followed by ``TLBSYNC`` (arch/x86/include/asm/tlb.h): operations go out to every CPU,
a barrier waits until all have acted on them, and nobody is interrupted. The operations of all
initiators pass one shared server, first come, first served. The rules are in section 8 of the
machine-model page.

Left out: operations issued ahead of a barrier that another initiator's overtake; several such
servers; what a CPU does not lose because it runs from its caches; the server's own queue being
full, which holds the initiator up earlier than at its barrier.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from pmsim.hardware.costs import TlbiCosts
from pmsim.hardware.shootdown.protocol import Count, Holds, Option, Protocol, Value
from pmsim.hardware.tlb import CallKind, check_length
from pmsim.hardware.topology import MAX_CPUS

REPEAT_SYNC: Final = Option(
    name="repeat_sync",
    text="Whether operations and barriers are repeated, as errata of Arm CPUs want it whose barrier"
    " does not wait for accesses that an invalidated translation has let through.",
    values=(
        Value(
            "native",
            "as the kernel does it (its key `repeat_tlbi`) on CPUs that need it"
            " (`costs.tlbi.erratum_4118414`)",
        ),
        Value("none", "never"),
        Value(
            "per_sync",
            "behind each barrier, once: one more operation and barrier (Rutland,"
            " 20260609101203.1512409-1-mark.rutland)",
        ),
        Value(
            "per_operation",
            "behind each operation: a barrier, and the operation again (kernels up to 6.18, on"
            " CPUs with older errata)",
        ),
    ),
)

KERNEL_RANGE_DROPS: Final = Option(
    name="kernel_range_drops",
    text="What operations on pages of the kernel drop.",
    values=(
        Value("range", "those pages"),
        Value(
            "everything",
            "everything, as hardware may where the kernel does not mark the address as valid"
            " (arch/x86/include/asm/tlb.h, invlpgb_flush_addr_nosync, Linux 6.18)",
        ),
    ),
)

USER_CPUS: Final = Count(
    name="user_cpus",
    text="CPUs from which on a process is flushed by broadcast, where the kernel calls others"
    " (arch/x86/mm/tlb.c, consider_global_asid, Linux 6.15).",
    default_number=4,
    least=1,
    most=MAX_CPUS,
)

TLBI: Final = Protocol(
    name="tlbi",
    text="TLB broadcast: operations and a barrier go out over the interconnect, those of one"
    " initiator after those of another; nobody is interrupted, CPUs that compute lose a share"
    " of that time.",
    told="TLB broadcasts (tlbi), which interrupt nobody",
    costs=TlbiCosts,
    interrupts=False,
    held_off=False,
    at_return=Holds.GONE,
    pays="the initiator, which waits, and every CPU that computes, by a share of the service",
    source="arch/arm64/include/asm/tlbflush.h; arch/x86/include/asm/tlb.h, INVLPGB",
    options=(REPEAT_SYNC, KERNEL_RANGE_DROPS, USER_CPUS),
)

RANGE_SCALES = (3, 2, 1, 0)
"""Scales of Arm's operations on ranges: one covers 1 to 32 units of ``2^(5 scale + 1)`` pages."""

MOST_UNITS = 32
"""Units that one operation on a range covers at most (5 bits)."""


@dataclass(frozen=True, slots=True)
class Invalidation:
    """Operations on the TLBs of all CPUs, and the barrier behind them.

    Parameters
    ----------
    kind
        What is dropped: ``RANGE`` or ``FULL``.
    operations
        How many operations go out.
    empties_tlb
        Whether they are the one that empties every TLB.
    drops_all
        Whether they empty every TLB although each is on a few pages.
    """

    kind: CallKind
    operations: int
    empties_tlb: bool = False
    drops_all: bool = False

    def effort(self, costs: TlbiCosts, others: int, repeat_sync: str) -> Effort:
        """Return what it takes.

        Parameters
        ----------
        costs
            Of the machine.
        others
            How many other CPUs there are, which all answer the barrier.
        repeat_sync
            What is repeated: a value of `REPEAT_SYNC`.
        """
        each = costs.everything if self.empties_tlb else costs.operation
        barrier = costs.barrier + others * costs.answer
        beside = barrier if costs.own_barrier else 0
        served = barrier - beside
        if repeat_sync == "per_operation":
            service = self.operations * (2 * each + served) + served
            return Effort(2 * self.operations, service, beside, self.operations + 1)
        service = self.operations * each + served
        if repeat_sync == "per_sync":
            return Effort(self.operations + 1, service, beside, 1, costs.operation + served)
        return Effort(self.operations, service, beside, 1)


class Effort(NamedTuple):
    """What an invalidation takes on a machine; times in picoseconds.

    Attributes
    ----------
    operations
        How many operations go out, repetitions and all.
    service
        How long the shared server works on them, if nobody else is in flight.
    barrier
        What the initiator waits for each barrier that does not keep the server.
    barriers
        How many answers of all CPUs the initiator waits for.
    repeat
        The service of what it asks for when the answers are there, -1 where it asks for no more.
    """

    operations: int
    service: int
    barrier: int
    barriers: int
    repeat: int = -1


class Broadcasts:
    """What the invalidations of one machine take.

    Parameters
    ----------
    costs
        Of the machine.
    others
        How many other CPUs there are than the initiator.
    repeat_sync
        What is repeated: a value of `REPEAT_SYNC`.
    """

    def __init__(self, costs: TlbiCosts, others: int, repeat_sync: str) -> None:
        self._costs = costs
        self._others = others
        self._repeat_sync = repeat_sync
        self._known: dict[tuple[int, bool, bool], tuple[int, int, npt.NDArray[np.int64]]] = {}

    def work(self, invalidation: Invalidation) -> tuple[int, int, npt.NDArray[np.int64]]:
        """Return operations, service and, for the compiled passes, all other numbers.

        These are barrier, barriers and repeat of the `Effort`, and whether it empties the TLBs.

        Raises
        ------
        ProgramError
            If it takes longer than `LONGEST_FLUSH`.
        """
        key = invalidation.operations, invalidation.empties_tlb, invalidation.drops_all
        known = self._known.get(key)
        if known is None:
            effort = invalidation.effort(self._costs, self._others, self._repeat_sync)
            check_length(effort.service)
            empties = invalidation.empties_tlb or invalidation.drops_all
            more = np.array(
                [effort.barrier, effort.barriers, effort.repeat, empties], dtype=np.int64
            )
            known = self._known[key] = effort.operations, effort.service, more
        return known


def invalidate_pages(
    costs: TlbiCosts, pages: int, *, by_range: bool = False, drops_all: bool = False
) -> Invalidation:
    """Invalidate a span of ``pages`` pages on every CPU.

    Parameters
    ----------
    costs
        Of the machine: how many pages one operation covers.
    pages
        The span; 0 is a barrier alone.
    by_range
        Whether the kernel uses operations on ranges where the CPUs have them.
    drops_all
        Whether an operation may drop everything, whatever it names.
    """
    operations = -(-pages // costs.pages)
    if by_range and costs.range:
        operations = range_operations(pages)
    return Invalidation(CallKind.RANGE, operations, drops_all=drops_all and operations > 0)


def invalidate_all() -> Invalidation:
    """Empty the TLB of every CPU, with one operation."""
    return Invalidation(CallKind.FULL, 1, empties_tlb=True)


def range_operations(pages: int) -> int:
    """Return the operations that a span takes where the CPUs have operations on ranges.

    From the largest scale to the smallest, one operation covers what is left in whole units of that
    scale; a single page that remains is an operation by itself (``__flush_tlb_range_op``,
    arch/arm64/include/asm/tlbflush.h, Linux 6.18).
    """
    operations = 0
    for scale in RANGE_SCALES:
        size = 2 << (5 * scale)
        units = min(pages // size, MOST_UNITS)
        if units:
            operations += 1
            pages -= units * size
    return operations + pages
