"""Flushing the kernel's translations on every CPU.

Stands for ``flush_tlb_all``, ``flush_tlb_kernel_range`` and ``text_poke_sync`` of every
architecture. All of them reach all online CPUs: idle, isolated and lazy ones too, whatever address
space they run. A shootdown is made in one of these ways; which one the machine was built for, is
chosen by the profile (`KernelProfile.shootdown_on`):

- a cross-call: an IPI call (x86: arch/x86/mm/tlb.c), or a call of the firmware (RISC-V:
  arch/riscv/mm/tlbflush.c; there the whole machine makes its cross-calls so): `CallWay`;
- a TLB broadcast: operations that the interconnect carries to every CPU (arm64:
  arch/arm64/include/asm/tlbflush.h; arm32: arch/arm/mm/tlb-v7.S; AMD's INVLPGB: arch/x86/mm/tlb.c,
  Linux 6.18): `BroadcastWay`;
- what was only proposed: hardware that knows which CPUs hold a translation: `HoldersWay`.

Left out: single-CPU optimisations for a target that polls while idle, and paravirtual flushes,
which exist for user mappings only.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import TYPE_CHECKING, Final, Protocol

from pmsim.errors import ProgramError
from pmsim.hardware.costs import SbiCosts
from pmsim.hardware.shootdown.holders import EVERYTHING as ALL_ENTRIES
from pmsim.hardware.shootdown.tlbi import (
    KERNEL_RANGE_DROPS,
    Invalidation,
    invalidate_all,
    invalidate_pages,
)
from pmsim.hardware.tlb import CallKind, FlushFunction, empty_call, flush, full_flush, sync_core
from pmsim.kernel.dropped import EVERYTHING, NOWHERE, Dropped
from pmsim.kernel.touched import Touched
from pmsim.units import MAX_TIME, Pages

if TYPE_CHECKING:
    from pmsim.hardware.costs import TlbCosts, TlbiCosts
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.shootdown.protocol import Protocol as ShootdownProtocol
    from pmsim.hardware.task import Task
    from pmsim.kernel.operations import OperationLog
    from pmsim.kernel.profile import KernelProfile
    from pmsim.steps import Steps

MAX_TLBI_RANGE_PAGES: Final = 1 << 21
"""Pages that operations on ranges can name (arch/arm64/include/asm/tlbflush.h, Linux 6.18)."""


class Cause(IntEnum):
    """Why a cross-call is made; the lower-case name stands in the tables."""

    ATTRIBUTES = 0
    """The flush of a ``set_memory_*`` call."""
    SPLIT = 1
    """A large leaf of the direct map was split."""
    PURGE = 2
    """Lazily freed areas, whoever purges them."""
    RESET_PERMS = 3
    """An area with ``VM_FLUSH_RESET_PERMS`` is freed."""
    TEXT_POKE = 4
    """Code was patched; CPUs serialise, no translation is dropped."""
    USER = 5
    """User-space mappings changed."""
    TRACE = 6
    """A row of a trace workload."""
    REQUEST = 7
    """A workload asked for the flush, or the call, itself."""
    NEW_MAPPING = 8
    """Something was mapped where a CPU may remember nothing, or a table of smaller leaves."""
    COLLAPSE = 9
    """Pages were joined to a large leaf again."""
    MEMBARRIER = 10
    """A program wants a barrier on the CPUs of its other threads; no translation is dropped."""
    NUMA = 11
    """User-space pages are made to fault, to learn which node uses them."""
    RECLAIM = 12
    """Pages are taken from processes because memory is short."""
    HOT_REMOVE = 13
    """Memory is removed while the kernel runs, and its mappings with it."""
    VMEMMAP = 14
    """Descriptors of a huge page are mapped to fewer pages, or to all of them again."""
    KMAP = 15
    """Slots of ``kmap`` are used up, or have to be emptied."""
    RING_FULL = 16
    """User space was freed, and the ring of notes for others was full (``latr``)."""


class Way(Protocol):
    """How all CPUs are made to drop translations.

    Attributes
    ----------
    ceiling
        Pages above which a range is not dropped page by page but with everything else.
    by_entries
        Whether what it takes depends on the entries that were changed, not on the range.
    """

    ceiling: Pages
    by_entries: bool

    def flush_all(
        self, task: Task, cause: Cause, pages: Pages = -1, *, frees_tables: bool = False
    ) -> Steps:
        """Drop every translation; ``pages`` were asked for, -1 if no range was."""

    def flush_range(
        self, task: Task, cause: Cause, pages: Pages, what: Dropped, *, frees_tables: bool = False
    ) -> Steps:
        """Drop the translations of a range that is not above the ceiling, which is ``what``."""


class CallWay:
    """Every CPU is called and drops translations itself.

    Parameters
    ----------
    tlb, ceiling
        What dropping costs a CPU, and ``tlb_single_page_flush_ceiling`` or the like of it.
    operations
        Where each cross-call is charged.
    """

    def __init__(self, tlb: TlbCosts, ceiling: Pages, operations: OperationLog) -> None:
        self.ceiling = ceiling
        self.by_entries = False
        self._tlb = tlb
        self._full = full_flush(tlb)
        self._full_before_free = full_flush(tlb, frees_tables=True)
        self._full_purge = replace(self._full, purges=True)
        self._operations = operations

    def flush_all(
        self, task: Task, cause: Cause, pages: Pages = -1, *, frees_tables: bool = False
    ) -> Steps:
        """Call ``__flush_tlb_all`` on every CPU."""
        function = self._full_before_free if frees_tables else self._full
        if cause is Cause.PURGE:
            function = self._full_purge
        return self._operations.cross_call(task, function, cause, pages, what=EVERYTHING)

    def flush_range(
        self, task: Task, cause: Cause, pages: Pages, what: Dropped, *, frees_tables: bool = False
    ) -> Steps:
        """Call a loop over the pages on every CPU."""
        function = flush(self._tlb, pages, self.ceiling, frees_tables=frees_tables)
        if cause is Cause.PURGE:
            function = replace(function, purges=True)
        what = EVERYTHING if function.kind is CallKind.FULL else what
        return self._operations.cross_call(task, function, cause, pages, what=what)


class BroadcastWay:
    """The hardware drops translations everywhere, and nobody is interrupted.

    Parameters
    ----------
    tlbi
        What the machine's operations cost and cover.
    ceiling
        The most pages that are dropped one by one. Operations on ranges have a limit of their own,
        `MAX_TLBI_RANGE_PAGES`.
    by_range
        Whether the kernel uses operations on ranges where the machine has them.
    drops_all
        Whether operations on pages may drop everything.
    operations
        Where each TLB broadcast is charged.
    """

    def __init__(
        self,
        tlbi: TlbiCosts,
        ceiling: Pages,
        by_range: bool,
        drops_all: bool,
        operations: OperationLog,
    ) -> None:
        self.by_entries = False
        self.ceiling = MAX_TLBI_RANGE_PAGES if by_range and tlbi.range else ceiling
        self._tlbi = tlbi
        self._by_range = by_range
        self._drops_all = drops_all
        self._all = invalidate_all()
        self._operations = operations

    def flush_all(
        self, task: Task, cause: Cause, pages: Pages = -1, *, frees_tables: bool = False
    ) -> Steps:
        """Send the one operation that empties every TLB, and wait for it."""
        return self._complete(task, self._all, cause, pages, EVERYTHING)

    def flush_range(
        self, task: Task, cause: Cause, pages: Pages, what: Dropped, *, frees_tables: bool = False
    ) -> Steps:
        """Send as many operations as the pages need, and wait for them together."""
        invalidation = invalidate_pages(
            self._tlbi, pages, by_range=self._by_range, drops_all=self._drops_all
        )
        if invalidation.drops_all:
            what = EVERYTHING
        elif not (self._by_range and self._tlbi.range):
            covered = invalidation.operations * self._tlbi.pages
            what = what._replace(end=min(what.end, what.first + covered))
        return self._complete(task, invalidation, cause, pages, what)

    def _complete(
        self, task: Task, invalidation: Invalidation, cause: Cause, pages: Pages, what: Dropped
    ) -> Steps:
        """Send operations, and call all CPUs where the barrier behind does not suffice.

        ``broadcast_tlb_a15_erratum`` (arch/arm/kernel/smp_tlb.c), which ``flush_tlb_kernel_range``
        and ``flush_tlb_all`` call; mappings through which code was patched are flushed without.
        """
        yield from self._operations.invalidate(task, invalidation, cause, pages, what)
        if self._tlbi.erratum_798181 and cause is not Cause.TEXT_POKE:
            yield from self._operations.cross_call(task, empty_call(), cause, pages)


class HoldersWay:
    """Hardware knows who holds a translation, and nobody is interrupted; every range is one.

    Parameters
    ----------
    protocol
        In which way the hardware tells them.
    operations
        Where each shootdown is charged.
    touched
        Who holds what.
    """

    def __init__(
        self, protocol: ShootdownProtocol, operations: OperationLog, touched: Touched
    ) -> None:
        self.ceiling = MAX_TIME
        self.by_entries = True
        self._protocol = protocol
        self._operations = operations
        self._touched = touched

    def flush_all(
        self, task: Task, cause: Cause, pages: Pages = -1, *, frees_tables: bool = False
    ) -> Steps:
        """Wait for the change of everything."""
        return self._wait(task, cause, ALL_ENTRIES, EVERYTHING)

    def flush_range(
        self, task: Task, cause: Cause, pages: Pages, what: Dropped, *, frees_tables: bool = False
    ) -> Steps:
        """Wait for the change of so many entries."""
        return self._wait(task, cause, pages, what)

    def _wait(self, task: Task, cause: Cause, pages: Pages, what: Dropped) -> Steps:
        yield from task.boundary()  # who loses its turn here asks when it is back
        holders = None
        if self._touched.on and what is not NOWHERE:
            # Whoever asks for a flush by itself means all that it names, changed or not. Else what
            # is everything, or a range with gaps, is about the entries that were changed.
            changed_only = cause is not Cause.REQUEST
            holders = self._touched.take(task.cpu, what, changed_only=changed_only)
        yield from self._operations.wait_for_holders(
            task, self._protocol, cause, pages, what, holders
        )


class TlbFlush:
    """The kernel's ways to flush all CPUs.

    Parameters
    ----------
    machine, profile
        Whose CPUs are flushed, and how this kernel tells them.
    operations
        Where each shootdown is charged.
    touched
        Who holds what, where hardware knows that.

    Attributes
    ----------
    sync_function
        What a CPU runs to take notice of new code.

    Raises
    ------
    ValueError
        If the machine was built to be told in another way than this kernel's.
    """

    def __init__(
        self,
        machine: Machine,
        profile: KernelProfile,
        operations: OperationLog,
        touched: Touched,
    ) -> None:
        self._page_size = profile.page_size
        self._way = _way(machine, profile, operations, touched)
        self.sync_function = _sync_function(machine.costs.tlb, profile)
        self._operations = operations

    @property
    def ceiling(self) -> Pages:
        """Pages above which a ranged flush becomes a full one."""
        return self._way.ceiling

    def flush_tlb_all(self, task: Task, cause: Cause, *, frees_tables: bool = False) -> Steps:
        """Drop every translation on every CPU, global ones included.

        ``frees_tables``: page tables are freed behind it, so that every CPU has to be done.
        """
        return self._way.flush_all(task, cause, frees_tables=frees_tables)

    def flush_tlb_kernel_range(
        self, task: Task, start: int, end: int, cause: Cause, changed: Pages | None = None
    ) -> Steps:
        """Drop the translations of the bytes from ``start`` up to ``end`` on every CPU.

        Up to the ceiling page by page, above it everything; one shootdown either way. Where the
        range has gaps ``changed`` says how many entries of it have changed: hardware that follows
        the stores to them waits for those alone.

        Raises
        ------
        ProgramError
            If the range ends before it starts.
        """
        if end < start:
            raise ProgramError(
                f"flush_tlb_kernel_range ends at {end:#x}, before it starts at {start:#x}",
                task.now,
                task.name,
            )
        pages = -(-(end - start) // self._page_size)
        return self.flush_pages(task, pages, cause, start, changed=changed)

    def flush_pages(
        self,
        task: Task,
        pages: Pages,
        cause: Cause,
        start: int | None = None,
        *,
        changed: Pages | None = None,
        frees_tables: bool = False,
    ) -> Steps:
        """Drop the translations of ``pages`` consecutive pages, of which some have changed.

        From the page of ``start`` on; without it, wherever they lie: the page table has no entries
        for them (`pmsim.kernel.safety` keeps no account of them).
        """
        if pages > self._way.ceiling:
            return self._way.flush_all(task, cause, pages, frees_tables=frees_tables)
        what = NOWHERE
        if start is not None:
            first = start // self._page_size
            what = Dropped(first, first + pages)
        if self._way.by_entries and changed is not None:
            pages = min(pages, changed)
        return self._way.flush_range(task, cause, pages, what, frees_tables=frees_tables)

    def text_poke_sync(self, task: Task) -> Steps:
        """Make every CPU notice that code has changed; no translation is dropped.

        Always a cross-call, on machines with broadcast operations too: ``text_poke_sync`` on x86
        (arch/x86/kernel/alternative.c), ``kick_all_cpus_sync`` on Arm (kernel/smp.c), and
        ``flush_icache_all`` on RISC-V (arch/riscv/mm/cacheflush.c).
        """
        return self._operations.cross_call(task, self.sync_function, Cause.TEXT_POKE)


def ranged_by_call(machine: Machine, ceiling: Pages) -> Pages:
    """Return the pages that a call of other CPUs drops one by one: firmware has a limit of its own.

    OpenSBI flushes everything, of an address space if one is named, for any range above it
    (lib/sbi/sbi_tlb.c, ``tlb_range_flush_limit``).
    """
    sbi = machine.costs.sbi
    by_firmware = machine.shootdown.protocol.costs is SbiCosts and sbi is not None
    return min(ceiling, sbi.range_pages) if by_firmware and sbi is not None else ceiling


def _way(
    machine: Machine, profile: KernelProfile, operations: OperationLog, touched: Touched
) -> Way:
    """Return the way in which the machine's protocol makes a shootdown."""
    wanted, built = profile.shootdown_on(machine.costs), machine.shootdown
    if wanted != built:
        raise ValueError(
            f"{profile.name} makes shootdowns by {wanted.protocol.name}, but the machine was built"
            f" for {built.protocol.name}: build it with shootdown_on(costs) of the profile"
        )
    tlbi = machine.costs.tlbi
    if built.protocol.name in machine.holders:
        return HoldersWay(built.protocol, operations, touched)
    if built.protocol.by_calls or tlbi is None:
        ceiling = ranged_by_call(machine, profile.ceiling)
        return CallWay(machine.costs.tlb, ceiling, operations)
    drops_all = built.value(KERNEL_RANGE_DROPS.name) == "everything"
    return BroadcastWay(tlbi, profile.ceiling, profile.tlbi_range, drops_all, operations)


def _sync_function(tlb: TlbCosts, profile: KernelProfile) -> FlushFunction:
    """Return what every CPU runs when code has changed.

    On x86 a serialising instruction, on RISC-V FENCE.I; on Arm nothing, because the return from the
    interrupt serialises.
    """
    return empty_call() if profile.arch in ("arm64", "arm32") else sync_core(tlb)
