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
from typing import Final

from pmsim.hardware.costs import TlbiCosts
from pmsim.hardware.shootdown.protocol import Holds, Protocol
from pmsim.hardware.tlb import CallKind

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
    """

    kind: CallKind
    operations: int
    empties_tlb: bool = False

    def service(self, costs: TlbiCosts, others: int) -> int:
        """Return how long it takes the shared server, if nobody else is in flight, in picoseconds.

        Parameters
        ----------
        costs
            Of the machine.
        others
            How many other CPUs there are, which all answer the barrier.
        """
        each = costs.everything if self.empties_tlb else costs.operation
        return self.operations * each + (0 if costs.own_barrier else _barrier(costs, others))


def _barrier(costs: TlbiCosts, others: int) -> int:
    return costs.barrier + others * costs.answer


def own_wait(costs: TlbiCosts, others: int) -> int:
    """Return how long an initiator waits for a barrier that does not keep the server, in ps."""
    return _barrier(costs, others) if costs.own_barrier else 0


def invalidate_pages(costs: TlbiCosts, pages: int, *, by_range: bool = False) -> Invalidation:
    """Invalidate a span of ``pages`` pages on every CPU.

    Parameters
    ----------
    costs
        Of the machine: how many pages one operation covers.
    pages
        The span; 0 is a barrier alone.
    by_range
        Whether the kernel uses operations on ranges where the CPUs have them.
    """
    operations = -(-pages // costs.pages)
    if by_range and costs.range:
        operations = range_operations(pages)
    return Invalidation(CallKind.RANGE, operations)


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
