"""User address spaces: which CPUs run them, only borrow them, or may hold their translations.

Stands for the part of ``struct mm_struct`` and of ``cpu_tlbstate`` that decides whom a flush goes
to (arch/x86/mm/tlb.c: ``switch_mm_irqs_off``, ``flush_tlb_func``, ``choose_new_asid``). A CPU is in
the mask of an address space from when it runs a thread of it until it runs one of another. As long
as it idles or runs kernel threads it only borrows the address space: it is *lazy*.

The machine tells of no switch of tasks. What a CPU has run is looked at when a flush needs it and
when a thread of a process takes a step; of two switches in between only the last is seen, and what
a switch costs is paid by the thread's next step. Tasks that were never made threads of a process
count as kernel threads. Left out: migration, and the mask that 6.18 leaves behind at a switch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pmsim.hardware.tlb import full_user_flush
from pmsim.kernel.calls import call
from pmsim.kernel.locks import ContendedLines, KernelRwSemaphore
from pmsim.kernel.preemption import preemption_off
from pmsim.kernel.vma_lock import VmaLock
from pmsim.units import CpuId, Picoseconds

if TYPE_CHECKING:
    from collections.abc import Collection

    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

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
        # Arm's broadcasts reach every CPU, so that none can come back too late.
        self.counts_flushes = profile.arch.startswith("x86")
        self._mm_of: dict[Task, UserMm] = {}
        self._cpus: dict[CpuId, _CpuState] = {}
        self._named: dict[str, UserMm] = {}
        self._created = 0

    def create(self) -> UserMm:
        """Return the address space of a new process, which no CPU has run; no time passes."""
        self._created += 1
        return self._space(self._created - 1)

    def unknown(self) -> UserMm:
        """Return what stands for an address space of which nothing is known."""
        return self._space(-1)

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

    def count_flush(self, mm: UserMm) -> None:
        """Count a flush that begins, behind what CPUs have run until now."""
        for cpu in self._cpus:
            self._look(cpu)
        mm.tlb_gen += 1

    def note_all_flushed(self, mm: UserMm) -> None:
        """Note that every CPU which keeps translations of an address space has dropped them."""
        self.note_flushed(mm, [cpu for cpu in self._cpus if mm in self._cpus[cpu].asids])

    def resume(self, task: Task) -> Steps:
        """Note that a thread runs, and let it pay for what its CPU had to flush."""
        state = self._cpus.setdefault(task.cpu, _CpuState())
        self._look(task.cpu)
        if state.owed:
            yield from self._pay(task, state)

    @preemption_off
    def _pay(self, task: Task, state: _CpuState) -> Steps:
        """Pay what a CPU owes; where others had it first, they have paid, or it owes more now."""
        self._look(task.cpu)
        owed, state.owed = state.owed, 0
        if owed:
            function = replace(full_user_flush(self._tlb), cost=owed)
            yield from self._operations.flush_own_cpu(task, function)

    def running_elsewhere(self, task: Task, mm: UserMm) -> list[CpuId]:
        """Return the other CPUs that run a thread of a process now, in order."""
        for cpu in self._cpus:
            self._look(cpu)
        return [cpu for cpu in sorted(mm.cpus - {task.cpu}) if self.runs(cpu, mm)]

    def runs(self, cpu: CpuId, mm: UserMm) -> bool:
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
            self.give_up(cpu)
            state.loaded = mm
            mm.cpus.add(cpu)
        if state.asids.get(mm, -1) < mm.tlb_gen and self.counts_flushes:
            self._flush_on_switch(state, mm)

    def _flush_on_switch(self, state: _CpuState, mm: UserMm) -> None:
        """Flush an address space whose translations are old, or whose number was another's."""
        if mm not in state.asids and len(state.asids) == self._profile.asids:
            del state.asids[next(iter(state.asids))]
        state.asids[mm] = mm.tlb_gen
        state.owed += full_user_flush(self._tlb).cost
        mm.switch_flushes += 1

    def note_flushed(self, mm: UserMm, cpus: list[CpuId]) -> None:
        """Note that some CPUs have dropped, or will drop, what they had of an address space."""
        for cpu in cpus:
            self._cpus[cpu].asids[mm] = mm.tlb_gen

    def give_up(self, cpu: CpuId) -> None:
        """Let a CPU give its address space up, for ``init_mm`` or for another one."""
        state = self._cpus[cpu]
        if state.loaded is not None and self._profile.user_flush != "ever_run":
            state.loaded.cpus.discard(cpu)
            state.loaded = None
