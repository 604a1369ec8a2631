"""Flushes of user address spaces: whom a change is told to, and how.

Stands for ``flush_tlb_mm_range``, ``flush_tlb_multi`` and ``arch_tlbbatch_flush``
(arch/x86/mm/tlb.c), ``tlb_finish_mmu`` (mm/mmu_gather.c), and ``flush_tlb_range`` of Arm
(arch/arm64/include/asm/tlbflush.h). Left out: that a full flush spares other address spaces on the
CPUs it reaches, and that one by broadcast has to be refilled; flushes that a CPU finds done when it
gets to them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from pmsim.hardware.shootdown.tlbi import TLBI, USER_CPUS, Invalidation, invalidate_pages
from pmsim.hardware.tlb import CallKind, empty_call, flush_user
from pmsim.kernel.calls import call
from pmsim.kernel.dropped import Dropped
from pmsim.kernel.preemption import preemption_off
from pmsim.kernel.tlbflush import MAX_TLBI_RANGE_PAGES, Cause, ranged_by_call
from pmsim.kernel.user_mm import UserMm, UserMms
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence

    from pmsim.hardware.costs import TlbiCosts
    from pmsim.hardware.task import Task
    from pmsim.hardware.tlb import FlushFunction
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

EVERYTHING: Final = -1
"""Pages of a flush that names no range."""


def of_process(mm: UserMm) -> Dropped:
    """Return that a shootdown is about a process."""
    return Dropped(0, 0, mm)


class UserFlushes:
    """The flushes of a kernel's user address spaces.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        machine = context.machine
        self._spaces = context.part(UserMms)
        self._machine = machine
        self._profile = context.profile
        self._touched = context.touched
        self._operations = context.operations
        self._tlb = machine.costs.tlb
        self._lines = machine.costs.ipi.request_lines
        self._by = machine.shootdown.protocol
        self._tlbi = machine.costs.tlbi if self._by is TLBI else None
        self._holders = self._by.name in machine.holders
        # As many CPUs have to run a process for INVLPGB to flush it (`consider_global_asid`).
        self._broadcast_from = USER_CPUS.number(
            machine.shootdown.value(USER_CPUS.name) or USER_CPUS.default
        )

    def flush(self, task: Task, mm: UserMm, pages: Pages, *, frees_tables: bool = False) -> Steps:
        """Flush pages and the tables that go with them: together, or one after the other.

        Hardware that knows who holds a translation has been told of the tables by the same stores.
        Where another CPU zaps pages of the address space at the same time, its entries may be gone
        without being flushed yet, so that everything is (mm/mmu_gather.c, ``mm_tlb_flush_nested``
        in ``tlb_finish_mmu``).
        """
        if self._holders:
            yield from self._tell_holders(task, [mm], pages)
            return
        if mm.zaps > 1 and self._profile.parallel_zaps == "everything":
            yield from self.flush_tlb_mm(task, mm)
            return
        if not frees_tables or self._profile.user_tables == "with_pages":
            yield from self.flush_tlb_mm_range(task, mm, pages, frees_tables=frees_tables)
            return
        yield from self.flush_tlb_mm_range(task, mm, pages, frees_tables=False)
        tables = -(-pages // self._profile.geometry.entries)
        yield from self._flush_tables(task, mm, tables)

    @preemption_off
    def _tell_holders(
        self, task: Task, spaces: Iterable[UserMm], pages: Pages, cause: Cause = Cause.USER
    ) -> Steps:
        """Have hardware that knows who holds a translation tell the CPUs of the masks, or all."""
        told = list(spaces)
        for mm in told:
            self._spaces.count_flush(mm)
            self._spaces.note_all_flushed(mm)
        holders = None
        if self._touched.on:
            holders = sorted({cpu for mm in told for cpu in mm.cpus} - {task.cpu})
        yield from self._operations.wait_for_holders(
            task, self._by, cause, pages, of_process(told[0]), holders
        )

    def flush_freed(
        self, task: Task, mm: UserMm, pages: Pages, freed: Pages, *, frees_tables: bool
    ) -> Generator[Any, Any, bool]:
        """Flush pages of which some are about to be freed; return whether these wait for ticks.

        Page tables are never freed before every CPU is done, so that all are told where some go
        with the pages; so they are where zaps meet, as of any flush.
        """
        meet = mm.zaps > 1 and self._profile.parallel_zaps == "everything"
        if self._machine.rings is None or frees_tables or meet:
            yield from self.flush(task, mm, pages, frees_tables=frees_tables)
            return False
        return (yield from self._flush_lazily(task, mm, pages, freed))

    @preemption_off
    def _flush_lazily(
        self, task: Task, mm: UserMm, pages: Pages, freed: Pages
    ) -> Generator[Any, Any, bool]:
        """Leave others a note of pages that are to be freed; return whether it was one."""
        yield from self._next_generation(task, mm)
        function, targets = self._to_call(task, mm, pages, frees_tables=False)
        if targets is None:
            yield from self._flush_own_cpu(task, mm, function)
            return False
        causes = Cause.USER, Cause.RING_FULL
        return (
            yield from self._operations.free_lazily(
                task, function, causes, (pages, freed), targets, of_process(mm)
            )
        )

    @preemption_off
    def _flush_tables(self, task: Task, mm: UserMm, tables: int) -> Steps:
        """Drop what CPUs remember of page tables that were freed (``tlb_finish_mmu``)."""
        mm.tlb_gen += 1
        tlbi = self._broadcasts(task, mm)
        if tlbi is None:
            everything = self._profile.user_ceiling + 1
            yield from self._interrupt(task, mm, everything, frees_tables=True)
        else:
            yield from self._broadcast_tables(task, mm, tlbi, tables)

    def _broadcast_tables(self, task: Task, mm: UserMm, tlbi: TlbiCosts, tables: int) -> Steps:
        entries = self._profile.geometry.entries
        if self._profile.user_tables == "by_section":
            # A table is two sections of 1 MiB, of which the page before the second and the one
            # behind are dropped, and all that lies between those of several tables.
            return self._broadcast(task, mm, tlbi, entries // 2 + 1 + (tables - 1) * entries)
        if tables > self._profile.user_ceiling:
            return self._broadcast(task, mm, tlbi, tables)
        # An operation on a range counts pages, whatever it drops of them.
        by_range = tlbi.range and self._profile.user_tlbi_range
        drops = invalidate_pages(tlbi, tables * entries if by_range else tables, by_range=by_range)
        return self._invalidate(task, mm, tlbi, drops, tables * entries)

    def flush_tlb_mm(self, task: Task, mm: UserMm) -> Steps:
        """Drop all translations of an address space, on CPUs that only borrow it too."""
        return self.flush_tlb_mm_range(task, mm, EVERYTHING, frees_tables=True)

    @preemption_off
    def flush_tlb_mm_range(
        self,
        task: Task,
        mm: UserMm,
        pages: Pages,
        *,
        frees_tables: bool = False,
        cause: Cause = Cause.USER,
    ) -> Steps:
        """Drop translations of an address space on the CPUs that may use them."""
        if self._holders:
            yield from self._tell_holders(task, [mm], pages, cause)
            return
        yield from self._next_generation(task, mm)
        tlbi = self._broadcasts(task, mm)
        if tlbi is None:
            yield from self._interrupt(task, mm, pages, frees_tables=frees_tables, cause=cause)
        else:
            self._spaces.note_all_flushed(mm)
            yield from self._broadcast(task, mm, tlbi, pages, cause)

    @preemption_off
    def flush_batch(
        self, task: Task, batch: Mapping[UserMm, Pages], cause: Cause, *, one_by_one: bool
    ) -> Steps:
        """Drop pages of several address spaces together.

        All that CPUs have of them, in one call of those that run any of them, or in one broadcast;
        ``one_by_one`` in an operation for each page, and one wait for all.
        """
        pages = sum(batch.values()) if one_by_one else EVERYTHING
        if self._holders:
            yield from self._tell_holders(task, batch, pages, cause)
            return
        for mm in batch:
            yield from self._next_generation(task, mm)
        tlbi = next(filter(None, (self._broadcasts(task, mm) for mm in batch)), None)
        if tlbi is None:
            yield from self._interrupt_all(task, batch, pages, cause)
            return
        for mm in batch:
            self._spaces.note_all_flushed(mm)
        if one_by_one:
            drops = invalidate_pages(tlbi, pages, by_range=False)
        else:
            drops = Invalidation(CallKind.FULL, 1)
        yield from self._invalidate(task, next(iter(batch)), tlbi, drops, pages, cause)

    def _interrupt_all(
        self, task: Task, batch: Mapping[UserMm, Pages], pages: Pages, cause: Cause
    ) -> Steps:
        """Call the CPUs that run any of some address spaces (``arch_tlbbatch_flush``)."""
        to_call = [self._to_call(task, mm, EVERYTHING, frees_tables=False) for mm in batch]
        # What runs there is the same for all, but that it is dearer where CPUs are told.
        function = max((function for function, _ in to_call), key=lambda one: one.remote)
        told = [targets for _, targets in to_call if targets is not None]
        first = next(iter(batch))
        if told:
            called = sorted({cpu for targets in told for cpu in targets})
            yield from self._operations.cross_call(
                task, function, cause, pages, targets=called, what=of_process(first)
            )
        else:
            yield from self._flush_own_cpu(task, first, function)

    def _next_generation(self, task: Task, mm: UserMm) -> Steps:
        """Begin a flush: count it, behind what CPUs have run until now."""
        if self._spaces.counts_flushes:
            yield from self._operations.fetch(task, mm.generation)
        self._spaces.count_flush(mm)

    @call
    @preemption_off
    def flush_tlb_multi(self, task: Task, cpus: Sequence[CpuId], pages: Pages | None) -> Steps:
        """Drop pages of a process on this CPU and on others that are named: ``flush_tlb_multi``.

        For whoever knows which CPUs are told, as a trace does; nothing is known of the process.

        Parameters
        ----------
        task
            Who flushes.
        cpus
            The others.
        pages
            How many; None: all of the process.
        """
        number = EVERYTHING if pages is None else pages
        operation = self._operations.begin(task, "flush_tlb_mm_range", pages or 0)
        mm = self._spaces.unknown()
        mm.cpus.update((task.cpu, *cpus))
        tlbi = self._broadcasts(task, mm)
        if self._holders:
            yield from self._tell_holders(task, [mm], number)
        elif tlbi is not None:
            yield from self._broadcast(task, mm, tlbi, number)
        else:
            function = self._flush_function(number, told=bool(cpus), frees_tables=False)
            if cpus:
                yield from self._operations.cross_call(
                    task, function, Cause.USER, number, targets=cpus
                )
            else:
                yield from self._operations.flush_own_cpu(task, function)
        self._operations.end(operation)

    def _flush_function(self, pages: Pages, *, told: bool, frees_tables: bool) -> FlushFunction:
        """Return what CPUs run that drop pages, others being told or not."""
        ceiling = self._profile.user_ceiling
        if told:
            ceiling = ranged_by_call(self._machine, ceiling)
        most = pages if pages != EVERYTHING else ceiling + 1
        return flush_user(self._tlb, most, ceiling, frees_tables=frees_tables)

    def _broadcasts(self, task: Task, mm: UserMm) -> TlbiCosts | None:
        """Return the costs of the broadcast that tells of a change, None where CPUs are called."""
        if self._profile.user_flush_local and mm.cpus <= {task.cpu}:
            return None
        if self._profile.invalidate_by == "tlbi":
            return self._tlbi
        return self._tlbi if len(mm.cpus) >= self._broadcast_from else None

    def _broadcast(
        self, task: Task, mm: UserMm, tlbi: TlbiCosts, pages: Pages, cause: Cause = Cause.USER
    ) -> Steps:
        by_range = self._profile.user_tlbi_range
        most = self._profile.user_ceiling
        if by_range and tlbi.range:
            most = MAX_TLBI_RANGE_PAGES - 1
        # Above it one operation that names the address space, and spares all others.
        drops = Invalidation(CallKind.FULL, 1)
        if EVERYTHING < pages <= most:
            drops = invalidate_pages(tlbi, pages, by_range=by_range)
        return self._invalidate(task, mm, tlbi, drops, pages, cause)

    def _invalidate(
        self,
        task: Task,
        mm: UserMm,
        tlbi: TlbiCosts,
        drops: Invalidation,
        pages: Pages,
        cause: Cause = Cause.USER,
    ) -> Steps:
        """Send operations, and call the CPUs that run the process where those do not suffice.

        ``broadcast_tlb_mm_a15_erratum`` (arch/arm/kernel/smp_tlb.c).
        """
        yield from self._operations.invalidate(task, drops, cause, pages, of_process(mm))
        if tlbi.erratum_798181:
            running = [cpu for cpu in sorted(mm.cpus - {task.cpu}) if self._spaces.runs(cpu, mm)]
            if running:
                yield from self._operations.cross_call(
                    task, empty_call(), cause, pages, targets=running
                )

    def _interrupt(
        self,
        task: Task,
        mm: UserMm,
        pages: Pages,
        *,
        frees_tables: bool,
        cause: Cause = Cause.USER,
    ) -> Steps:
        """Call the CPUs of the mask that run the process, and the lazy ones where they have to."""
        function, targets = self._to_call(task, mm, pages, frees_tables=frees_tables)
        if targets is None:
            yield from self._flush_own_cpu(task, mm, function)
        else:
            yield from self._operations.cross_call(
                task, function, cause, pages, targets=targets, what=of_process(mm)
            )

    def _flush_own_cpu(self, task: Task, mm: UserMm, function: FlushFunction) -> Steps:
        """Flush the caller's CPU, if it runs the address space."""
        if task.cpu in mm.cpus:
            yield from self._operations.flush_own_cpu(task, function, of_process(mm))

    def _to_call(
        self, task: Task, mm: UserMm, pages: Pages, *, frees_tables: bool
    ) -> tuple[FlushFunction, list[CpuId] | None]:
        """Return what CPUs run that are told of a flush, and which; None: there are no others."""
        others = sorted(mm.cpus - {task.cpu})
        function = self._flush_function(pages, told=bool(others), frees_tables=frees_tables)
        running = [cpu for cpu in others if self._spaces.runs(cpu, mm)]
        here = [task.cpu] if task.cpu in mm.cpus else []
        self._spaces.note_flushed(mm, [*here, *running])
        if not others:
            return function, None
        targets = running
        if self._profile.user_flush == "ever_run":
            targets = others
        elif frees_tables or self._profile.user_flush == "lazy_interrupted":
            targets = others
            for cpu in set(others).difference(running):
                mm.lazy_interrupts += 1
                self._spaces.give_up(cpu)
        if self._lines and targets:
            function = replace(function, remote=self._lines * self._farthest(task, targets))
        return function, targets

    def _farthest(self, task: Task, targets: list[CpuId]) -> Picoseconds:
        """Return what a cache line takes from a task's CPU to the farthest of some."""
        far = targets[int(self._machine.fabric.distances[task.cpu, targets].argmax())]
        return self._machine.topology.cost(self._machine.costs.ipi.line, task.cpu, far)
