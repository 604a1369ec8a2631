"""What a CPU does to its TLB when it is told to, and what that costs it.

Normative source: machine-model page, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

from pmsim.errors import ProgramError
from pmsim.hardware.costs import TlbCosts
from pmsim.hardware.passes import layout
from pmsim.units import S, format_time

LONGEST_FLUSH = 100 * S
"""The longest that one function, or the operations of one invalidation, may take. A CPU that runs
those of as many initiators as there can be is still far from the last instant that can be told."""


class CallKind(IntEnum):
    """What the called function does; the lower-case name stands in the tables."""

    FULL = 0
    RANGE = 1
    SYNC_CORE = 2
    EMPTY = 3


@dataclass(frozen=True, slots=True)
class FlushFunction:
    """The function of a cross-call: its cost on each CPU, and whether it empties the TLB.

    ``spares_kernel`` says that what it empties the TLB of are translations of user space alone.
    ``frees_tables`` says that the caller frees page tables when every CPU has run it; then each has
    to be done before it may say so. ``of_kernel`` says that it is about pages of the kernel,
    ``purges`` that these were freed lazily, so that nobody uses them. ``remote`` is how much longer
    it takes on each target than on the initiator, in whose cache lies what it reads.
    ``arguments`` is the same as plain integers, for the compiled passes: cost, flags, kind.

    Raises
    ------
    ProgramError
        If it takes longer than `LONGEST_FLUSH`, or a negative time.
    """

    kind: CallKind
    cost: int
    empties_tlb: bool = False
    spares_kernel: bool = False
    frees_tables: bool = False
    of_kernel: bool = False
    remote: int = 0
    purges: bool = False
    arguments: tuple[int, int, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_length(self.cost)
        check_length(self.cost + self.remote)
        flags = self.empties | layout.FREES_TABLES * self.frees_tables
        flags |= layout.OF_KERNEL * self.of_kernel | layout.IS_PURGE * self.purges
        flags |= layout.IS_FLUSH * (self.kind < layout.DROPPING_KINDS)
        flags += layout.REMOTE * self.remote
        arguments = (self.cost, flags, int(self.kind))
        object.__setattr__(self, "arguments", arguments)

    @property
    def empties(self) -> int:
        """What it empties the TLB of, as the bits of `layout.FULL`."""
        if not self.empties_tlb:
            return 0
        return layout.EMPTIES if self.spares_kernel else layout.FULL


def check_length(cost: int) -> None:
    """Refuse what takes longer than `LONGEST_FLUSH`, or less than no time."""
    if cost < 0:
        raise ProgramError(f"a flush takes a negative time, {cost} ps")
    if cost > LONGEST_FLUSH:
        most = format_time(LONGEST_FLUSH)
        raise ProgramError(f"a flush of {format_time(cost)} is longer than {most}")


def full_flush(tlb: TlbCosts, *, frees_tables: bool = False) -> FlushFunction:
    """Drop every entry, global ones included (``__flush_tlb_all``, arch/x86/mm/tlb.c)."""
    return FlushFunction(
        CallKind.FULL, tlb.flush_all, empties_tlb=True, frees_tables=frees_tables, of_kernel=True
    )


def flush(tlb: TlbCosts, pages: int, ceiling: int, *, frees_tables: bool = False) -> FlushFunction:
    """Invalidate ``pages`` pages: one by one up to the kernel's ceiling, everything above it.

    Zero pages are a call all the same, at no cost.
    """
    if pages > ceiling:
        return full_flush(tlb, frees_tables=frees_tables)
    cost = pages * tlb.invlpg
    return FlushFunction(CallKind.RANGE, cost, frees_tables=frees_tables, of_kernel=True)


def flush_user(
    tlb: TlbCosts, pages: int, ceiling: int, *, frees_tables: bool = False
) -> FlushFunction:
    """Invalidate ``pages`` pages of user space, or all of it above the kernel's ceiling.

    Either way the function first finds out what there is to flush (``flush_tlb_func``,
    arch/x86/mm/tlb.c).
    """
    if pages > ceiling:
        return full_user_flush(tlb, frees_tables=frees_tables)
    cost = tlb.flush_fixed + pages * tlb.invlpg
    return FlushFunction(CallKind.RANGE, cost, frees_tables=frees_tables)


def full_user_flush(tlb: TlbCosts, *, frees_tables: bool = False) -> FlushFunction:
    """Drop every entry of an address space; the kernel's are global, and stay."""
    cost = tlb.flush_fixed + (tlb.flush_user or tlb.flush_all)
    return FlushFunction(
        CallKind.FULL, cost, empties_tlb=True, spares_kernel=True, frees_tables=frees_tables
    )


def sync_core(tlb: TlbCosts) -> FlushFunction:
    """Execute a serialising instruction (``do_sync_core``, arch/x86/kernel/alternative.c)."""
    return FlushFunction(CallKind.SYNC_CORE, tlb.sync_core)


def empty_call(cost: int = 0) -> FlushFunction:
    """Run a function that touches no TLB."""
    return FlushFunction(CallKind.EMPTY, cost)


def refill_debt(tlb: TlbCosts, working_set: int) -> int:
    """Return the extra compute time that is owed after a full flush, in picoseconds."""
    return min(working_set, tlb.entries) * tlb.walk
