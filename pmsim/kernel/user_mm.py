"""User address spaces: which CPUs have to hear of a change, and how they are told.

Stands for the part of ``struct mm_struct`` and of ``cpu_tlbstate`` that decides whom a flush goes
to (arch/x86/mm/tlb.c: ``flush_tlb_mm_range``, ``switch_mm_irqs_off``, ``flush_tlb_func``,
``choose_new_asid``), and for ``flush_tlb_range`` of Arm (arch/arm64/include/asm/tlbflush.h). A CPU
is in the mask of an address space from when it runs a thread of it until it runs one of another. As
long as it idles or runs kernel threads it only borrows the address space: it is *lazy*.

The machine tells of no switch of tasks. What a CPU has run is looked at when a flush needs it and
when a thread of a process takes a step; of two switches in between only the last is seen, and what
a switch costs is paid by the thread's next step. Tasks that were never made threads of a process
count as kernel threads. Left out: that a full flush spares
other address spaces on the CPUs it reaches, and that one by broadcast has to be refilled; flushes
that a CPU finds done when it gets to them; migration, and the mask that 6.18 leaves behind at a
switch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from pmsim.hardware.shootdown.tlbi import TLBI, USER_CPUS, Invalidation, invalidate_pages
from pmsim.hardware.tlb import CallKind, empty_call, flush_user, full_user_flush
from pmsim.kernel.calls import call
from pmsim.kernel.dropped import Dropped
from pmsim.kernel.locks import ContendedLines, KernelRwSemaphore
from pmsim.kernel.tlbflush import MAX_TLBI_RANGE_PAGES, Cause, ranged_by_call
from pmsim.kernel.vma_lock import VmaLock
from pmsim.units import CpuId, Pages, Picoseconds

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Mapping, Sequence

    from pmsim.hardware.costs import TlbiCosts
    from pmsim.hardware.task import Task
    from pmsim.hardware.tlb import FlushFunction
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

EVERYTHING: Final = -1
"""Pages of a flush that names no range."""

PENDING_WRITES: Final = 3
"""Times that a zap makes the line of ``mm->tlb_flush_pending`` its own: it counts itself as under
way, looks how many are, and counts itself off (mm/mmu_gather.c, ``tlb_gather_mmu``,
``tlb_finish_mmu``). *Derived*; all are reckoned when it begins."""

GENERATION_WRITES: Final = 1
"""Times that a flush makes the line of ``mm->context.tlb_gen`` its own (arch/x86/include/asm/
tlbflush.h, ``inc_mm_tlb_gen``). *Derived*."""


@dataclass(eq=False, slots=True)
class UserMm:
    """The address space of a process.

    Attributes
    ----------
    number
        Counted from 0 in order of creation.
    mmap_lock
        Held to write over every change of a mapping, to read while its pages come and go.
    vma_lock
        The mapping's own lock. Anonymous mappings that lie side by side are one
        (mm/vma.c, ``vma_merge_new_range``), so that threads that map memory of their own meet here.
    pending
        The line that counts zaps under way, and the number itself.
    generation
        The line that counts flushes.
    cpus
        Its ``mm_cpumask``: CPUs that run it, or ran nothing else since.
    users
        Its threads (``mm_users``), those that stand for a child for a while included.
    tlb_gen
        How often it was flushed.
    switch_flushes
        How often a CPU had to flush because it took it up, or came back to it too late.
    lazy_interrupts
        How often a CPU that only borrowed it was told, and gave it up.
    """

    number: int
    mmap_lock: KernelRwSemaphore
    vma_lock: VmaLock
    pending: ContendedLines
    generation: ContendedLines
    zaps: int = 0
    cpus: set[CpuId] = field(default_factory=set)
    users: set[Task] = field(default_factory=set)
    tlb_gen: int = 0
    switch_flushes: int = 0
    lazy_interrupts: int = 0


@dataclass(slots=True)
class _CpuState:
    """What a CPU has loaded (``struct tlb_state``).

    ``asids`` has the generation up to which the translations of each address space are current that
    the CPU keeps, the one it took up longest ago first.
    """

    loaded: UserMm | None = None
    asids: dict[UserMm, int] = field(default_factory=dict)
    owed: Picoseconds = 0


def of_process(mm: UserMm) -> Dropped:
    """Return that a shootdown is about a process."""
    return Dropped(0, 0, mm)


class UserMms:
    """The address spaces of a kernel.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        machine, profile = context.machine, context.profile
        self._context = context
        self._machine = machine
        self._profile = profile
        self._costs = context.costs
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
        # Arm's broadcasts reach every CPU, so that none can come back too late.
        self._counts_flushes = profile.arch.startswith("x86")
        self._mm_of: dict[Task, UserMm] = {}
        self._cpus: dict[CpuId, _CpuState] = {}
        self._named: dict[str, UserMm] = {}
        self._created = 0

    def create(self) -> UserMm:
        """Return the address space of a new process, which no CPU has run; no time passes."""
        self._created += 1
        return self._space(self._created - 1)

    def _space(self, number: int) -> UserMm:
        return UserMm(
            number,
            KernelRwSemaphore(self._machine, f"mmap_lock of process {number}"),
            vma_lock=VmaLock(self._context),
            pending=ContendedLines(self._machine, PENDING_WRITES),
            generation=ContendedLines(self._machine, GENERATION_WRITES),
        )

    @call
    def process(self, name: str) -> UserMm:
        """Return at once the address space of the process of this name, a new one at first."""
        if name not in self._named:
            self._named[name] = self.create()
        return self._named[name]

    def of(self, task: Task) -> UserMm | Task | None:
        """Return what stands for a task's address space; None for the kernel's own, of workers.

        A task of a workload that was never made a thread of a process is one by itself.
        """
        return None if task.role == "daemon" else self._mm_of.get(task, task)

    def __len__(self) -> int:
        return len({self.of(task) for task in self._machine.tasks.values()} - {None})

    @call
    def use_mm(self, task: Task, mm: UserMm) -> Steps:
        """Make ``task``, which runs, a thread of a process, or let one that has slept be seen."""
        self._mm_of[task] = mm
        mm.users.add(task)
        yield from self.resume(task)

    @call
    def current_mm(self, task: Task) -> UserMm:
        """Return at once the address space of the process that the caller is a thread of."""
        mm = self._mm_of.get(task)
        if mm is None:
            raise task.error("is a thread of no process")
        return mm

    def cpus_of(self, process: object) -> Collection[CpuId]:
        """Return the CPUs in the mask of a process, which may hold its translations."""
        assert isinstance(process, UserMm)
        return process.cpus

    def exit_mm(self, task: Task) -> bool:
        """Let a thread leave its process, whose address space its CPU still borrows.

        Returns
        -------
        bool
            Whether it was the last one (``mmput``).
        """
        mm = self._mm_of.pop(task)
        mm.users.discard(task)
        return not mm.users

    def runs_elsewhere(self, task: Task, mm: UserMm) -> bool:
        """Return whether another CPU than the caller's is in the mask."""
        return not mm.cpus <= {task.cpu}

    def hold_to_fault(self, task: Task, mm: UserMm) -> Steps:
        """Hold off changes of the mapping that a fault is in."""
        return self.hold(task, mm, by_vma=self._profile.vma_locks != "none")

    def let_go_of_fault(self, task: Task, mm: UserMm) -> Steps:
        """Let them happen again."""
        return self.let_go(task, mm, by_vma=self._profile.vma_locks != "none")

    def hold(self, task: Task, mm: UserMm, *, by_vma: bool) -> Steps:
        """Hold off changes of a mapping: by its own lock, or by that of the address space."""
        if by_vma:
            yield from mm.vma_lock.lock(task)
        else:
            yield from self._operations.lock(task, mm.mmap_lock.read)

    def let_go(self, task: Task, mm: UserMm, *, by_vma: bool) -> Steps:
        """Let them happen again."""
        if by_vma:
            yield from mm.vma_lock.unlock(task)
        else:
            mm.mmap_lock.read.unlock(task)

    def flush(self, task: Task, mm: UserMm, pages: Pages, *, frees_tables: bool = False) -> Steps:
        """Flush pages and the tables that go with them: together, or one after the other.

        Hardware that knows who holds a translation has been told of the tables by the same stores.
        Where another CPU zaps pages of the address space at the same time, its entries may be gone
        without being flushed yet, so that everything is (mm/mmu_gather.c, ``mm_tlb_flush_nested``
        in ``tlb_finish_mmu``).
        """
        if self._holders:
            for cpu in self._cpus:
                self._look(cpu)
            mm.tlb_gen += 1
            self._note_all_flushed(mm)
            holders = sorted(mm.cpus - {task.cpu}) if self._context.touched.on else None
            yield from self._operations.wait_for_holders(
                task, self._by, Cause.USER, pages, of_process(mm), holders
            )
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

    def _flush_tables(self, task: Task, mm: UserMm, tables: int) -> Steps:
        """Drop what CPUs remember of page tables that were freed (``tlb_finish_mmu``)."""
        mm.tlb_gen += 1
        tlbi = self._broadcasts(task, mm)
        if tlbi is None:
            return self._interrupt(task, mm, self._profile.user_ceiling + 1, frees_tables=True)
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
        yield from self._next_generation(task, mm)
        tlbi = self._broadcasts(task, mm)
        if tlbi is None:
            yield from self._interrupt(task, mm, pages, frees_tables=frees_tables, cause=cause)
        else:
            self._note_all_flushed(mm)
            yield from self._broadcast(task, mm, tlbi, pages, cause)

    def flush_batch(
        self, task: Task, batch: Mapping[UserMm, Pages], cause: Cause, *, one_by_one: bool
    ) -> Steps:
        """Drop pages of several address spaces together.

        All that CPUs have of them, in one call of those that run any of them, or in one broadcast;
        ``one_by_one`` in an operation for each page, and one wait for all.
        """
        for mm in batch:
            yield from self._next_generation(task, mm)
        pages = sum(batch.values()) if one_by_one else EVERYTHING
        tlbi = next(filter(None, (self._broadcasts(task, mm) for mm in batch)), None)
        if tlbi is None:
            yield from self._interrupt_all(task, batch, pages, cause)
            return
        for mm in batch:
            self._note_all_flushed(mm)
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
        if self._counts_flushes:
            yield from self._operations.fetch(task, mm.generation)
        for cpu in self._cpus:
            self._look(cpu)
        mm.tlb_gen += 1

    def _note_all_flushed(self, mm: UserMm) -> None:
        self._note_flushed(mm, [cpu for cpu in self._cpus if mm in self._cpus[cpu].asids])

    @call
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
        mm = self._space(-1)
        mm.cpus.update((task.cpu, *cpus))
        tlbi = self._broadcasts(task, mm)
        if tlbi is not None:
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
            running = [cpu for cpu in sorted(mm.cpus - {task.cpu}) if self._runs(cpu, mm)]
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
        running = [cpu for cpu in others if self._runs(cpu, mm)]
        here = [task.cpu] if task.cpu in mm.cpus else []
        self._note_flushed(mm, [*here, *running])
        if not others:
            return function, None
        targets = running
        if self._profile.user_flush == "ever_run":
            targets = others
        elif frees_tables or self._profile.user_flush == "lazy_interrupted":
            targets = others
            for cpu in set(others).difference(running):
                mm.lazy_interrupts += 1
                self._leave(cpu)
        if self._lines and targets:
            function = replace(function, remote=self._lines * self._farthest(task, targets))
        return function, targets

    def _farthest(self, task: Task, targets: list[CpuId]) -> Picoseconds:
        """Return what a cache line takes from a task's CPU to the farthest of some."""
        far = targets[int(self._machine.fabric.distances[task.cpu, targets].argmax())]
        return self._machine.topology.cost(self._machine.costs.ipi.line, task.cpu, far)

    def resume(self, task: Task) -> Steps:
        """Note that a thread runs, and let it pay for what its CPU had to flush."""
        state = self._cpus.setdefault(task.cpu, _CpuState())
        self._look(task.cpu)
        owed, state.owed = state.owed, 0
        if owed:
            function = replace(full_user_flush(self._tlb), cost=owed)
            yield from self._operations.flush_own_cpu(task, function)

    def running_elsewhere(self, task: Task, mm: UserMm) -> list[CpuId]:
        """Return the other CPUs that run a thread of a process now, in order."""
        for cpu in self._cpus:
            self._look(cpu)
        return [cpu for cpu in sorted(mm.cpus - {task.cpu}) if self._runs(cpu, mm)]

    def _runs(self, cpu: CpuId, mm: UserMm) -> bool:
        """Return whether a thread of the process is on the CPU now."""
        task = self._machine.running(cpu)
        return task is not None and self._mm_of.get(task) is mm

    def _look(self, cpu: CpuId) -> None:
        """Take note of what a CPU runs (``switch_mm_irqs_off``); kernel threads change nothing."""
        task = self._machine.running(cpu)
        mm = None if task is None else self._mm_of.get(task)
        if mm is None:
            return
        state = self._cpus[cpu]
        if state.loaded is not mm:
            self._leave(cpu)
            state.loaded = mm
            mm.cpus.add(cpu)
        if state.asids.get(mm, -1) < mm.tlb_gen and self._counts_flushes:
            self._flush_on_switch(state, mm)

    def _flush_on_switch(self, state: _CpuState, mm: UserMm) -> None:
        """Flush an address space whose translations are old, or whose number was another's."""
        if mm not in state.asids and len(state.asids) == self._profile.asids:
            del state.asids[next(iter(state.asids))]
        state.asids[mm] = mm.tlb_gen
        state.owed += full_user_flush(self._tlb).cost
        mm.switch_flushes += 1

    def _note_flushed(self, mm: UserMm, cpus: list[CpuId]) -> None:
        for cpu in cpus:
            self._cpus[cpu].asids[mm] = mm.tlb_gen

    def _leave(self, cpu: CpuId) -> None:
        """Let a CPU give its address space up, for ``init_mm`` or for another one."""
        state = self._cpus[cpu]
        if state.loaded is not None and self._profile.user_flush != "ever_run":
            state.loaded.cpus.discard(cpu)
            state.loaded = None
