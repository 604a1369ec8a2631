"""Top-level entries of the kernel's page table, where every address space has its own copies.

Stands for ``vmalloc_fault`` (arch/x86/mm/fault.c 4.16; arch/riscv/mm/fault.c 6.1),
``arch_sync_kernel_mappings`` (arch/x86/mm/fault.c, 32 bit, 5.10 and later) and
``check_vmalloc_seq`` (arch/arm/mm/ioremap.c 6.1). None of them interrupts another CPU: an address
space that lacks an entry learns of it by a fault of its own, by the one who made the entry, or when
it is switched to. Every address space is taken to be as old as the kernel. Left out: the walk of
all of them at every purge that x86-32 had from 5.2 to 5.8 (``vmalloc_sync_unmappings``); faults of
NMIs; that a switch comes later than the next touch.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import TYPE_CHECKING, Any, TypeAlias

from pmsim.kernel.addresses.search import AddressSpace
from pmsim.kernel.user_mm import UserMms
from pmsim.units import GIB, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class _TopLevel:
    """The kernel's own top-level entries: which there are.

    Entries of less than 1 GiB are all new: what the boot has mapped fills those that it uses.
    Larger ones are there from the boot on where a range of areas begins.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._span = span = context.profile.top_level_span
        ranges = context.part(AddressSpace).ranges.values()
        self.booted = {where.start // span for where in ranges} if span >= GIB else set()
        self.entries = set(self.booted)

    def of(self, address: int, pages: Pages) -> range:
        """Return the numbers of the entries that cover a range."""
        end = address + pages * self._page_size - 1
        return range(address // self._span, end // self._span + 1)

    def add(self, address: int, pages: Pages) -> int:
        """Make the entries of a range that are missing; return how many."""
        before = len(self.entries)
        self.entries.update(self.of(address, pages))
        return len(self.entries) - before


class FaultCopies:
    """An address space faults at the first touch of what an entry covers, and copies the entry.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._kernel = _TopLevel(context)
        self._copied: dict[Hashable, set[int]] = {}
        self._costs = context.costs
        self._operations = context.operations
        self._spaces = context.part(UserMms)

    def mapped(self, task: Task, address: int, pages: Pages) -> Iterable[Any]:
        """Change the kernel's own table only."""
        self._kernel.add(address, pages)
        return ()

    def touched(self, task: Task, address: int, pages: Pages) -> Steps:
        """Fault once for each entry that the task's address space lacks: ``vmalloc_fault``."""
        space = self._spaces.of(task)
        if space is None:
            return
        copied = self._copied.setdefault(space, set(self._kernel.booted))
        for entry in self._kernel.of(address, pages):
            if entry in self._kernel.entries and entry not in copied:
                copied.add(entry)
                operation = self._operations.begin(task, "vmalloc_fault")
                yield from self._operations.compute(task, self._costs.vmalloc_fault)
                self._operations.end(operation)


class WalkCopies:
    """Who makes a new entry writes it into every address space: ``arch_sync_kernel_mappings``.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._kernel = _TopLevel(context)
        self._pgd_lock = context.spinlock("pgd_lock")
        self._costs = context.costs
        self._operations = context.operations
        self._spaces = context.part(UserMms)

    def mapped(self, task: Task, address: int, pages: Pages) -> Steps:
        """Walk the list of all tables once for each new entry, under its lock."""
        for _ in range(self._kernel.add(address, pages)):
            operation = self._operations.begin(task, "sync_kernel_mappings")
            yield from self._operations.lock(task, self._pgd_lock)
            cpu_time = len(self._spaces) * self._costs.sync_address_space
            yield from self._operations.compute(task, cpu_time)
            self._pgd_lock.unlock(task)
            self._operations.end(operation)

    def touched(self, task: Task, address: int, pages: Pages) -> Iterable[Any]:
        """Cost nothing: everybody has it."""
        return ()


class SwitchCopies:
    """An address space that is behind copies all entries of the vmalloc range as it is switched to.

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        profile = context.profile
        entries = profile.vmalloc_size // profile.top_level_span
        self._kernel = _TopLevel(context)
        self._sequence = 0
        self._seen: dict[Hashable, int] = {}
        self._copy = entries * context.costs.copy_entry
        self._operations = context.operations
        self._spaces = context.part(UserMms)

    def mapped(self, task: Task, address: int, pages: Pages) -> Iterable[Any]:
        """Count the change, if there is a new entry (``vmalloc_seq``)."""
        if self._kernel.add(address, pages):
            self._sequence += 1
        return ()

    def touched(self, task: Task, address: int, pages: Pages) -> Steps:
        """Copy, if something changed since the last time: ``__check_vmalloc_seq``."""
        space = self._spaces.of(task)
        if space is not None and self._seen.get(space, 0) < self._sequence:
            self._seen[space] = self._sequence
            operation = self._operations.begin(task, "check_vmalloc_seq")
            yield from self._operations.compute(task, self._copy)
            self._operations.end(operation)


TopLevelCopies: TypeAlias = FaultCopies | WalkCopies | SwitchCopies
"""How address spaces come to have the kernel's top-level entries."""


def top_level_copies(context: KernelContext) -> list[TopLevelCopies]:
    """Return what a kernel does so that address spaces have its top-level entries; mostly nothing.

    What they share they need not copy.
    """
    match context.profile.top_level_copies:
        case "fault":
            return [FaultCopies(context)]
        case "walk":
            return [WalkCopies(context)]
        case "switch":
            return [SwitchCopies(context)]
        case _:
            return []
