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
from typing import TYPE_CHECKING, Any, Protocol

from pmsim.hardware.locks import Spinlock
from pmsim.units import GIB, PAGE_SIZE, Pages

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.fresh_mappings import Follower
    from pmsim.kernel.addresses.ranges import AddressRange
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.profile import KernelProfile


class AddressSpaces(Protocol):
    """The address spaces of a machine's tasks."""

    def of(self, task: Task) -> Hashable | None:
        """Return a task's own; None for the kernel's, which workers use."""

    def __len__(self) -> int:
        """Return how many there are, the kernel's own left out."""


def top_level_followers(
    machine: Machine,
    profile: KernelProfile,
    costs: KernelCosts,
    ranges: Iterable[AddressRange],
    spaces: AddressSpaces,
    operations: OperationLog,
) -> list[Follower]:
    """Return what a kernel does so that address spaces have its top-level entries.

    Entries of less than 1 GiB are all new: what the boot has mapped fills those that it uses.
    Larger ones are there from the boot on where a range of areas begins.
    """
    span = profile.top_level_span
    booted = {where.start // span for where in ranges} if span >= GIB else set()
    if profile.top_level_copies == "fault":
        return [FaultCopies(span, booted, costs, spaces, operations)]
    if profile.top_level_copies == "walk":
        return [WalkCopies(span, booted, machine, costs, spaces, operations)]
    if profile.top_level_copies == "switch":
        entries = profile.vmalloc_size // span
        return [SwitchCopies(span, booted, entries, costs, spaces, operations)]
    return []


class _TopLevel:
    """The kernel's own top-level entries: which there are."""

    def __init__(self, span: int, booted: set[int]) -> None:
        self._span = span
        self.entries = set(booted)

    def of(self, address: int, pages: Pages) -> range:
        """Return the numbers of the entries that cover a range."""
        end = address + pages * PAGE_SIZE - 1
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
    span, booted
        What an entry covers, and which ones every address space has from the start.
    costs, spaces, operations
        What work costs, whose entries they are, where time is charged.
    """

    def __init__(
        self,
        span: int,
        booted: set[int],
        costs: KernelCosts,
        spaces: AddressSpaces,
        operations: OperationLog,
    ) -> None:
        self._kernel = _TopLevel(span, booted)
        self._booted = booted
        self._copied: dict[Hashable, set[int]] = {}
        self._costs = costs
        self._spaces = spaces
        self._operations = operations

    def mapped(self, task: Task, address: int, pages: Pages) -> Iterable[Any]:
        """Change the kernel's own table only."""
        self._kernel.add(address, pages)
        return ()

    def touched(self, task: Task, address: int, pages: Pages) -> Steps:
        """Fault once for each entry that the task's address space lacks: ``vmalloc_fault``."""
        space = self._spaces.of(task)
        if space is None:
            return
        copied = self._copied.setdefault(space, set(self._booted))
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
    span, booted
        As for `FaultCopies`.
    machine, costs, spaces, operations
        Where the lock lives, what work costs, how many must be told, where time is charged.
    """

    def __init__(
        self,
        span: int,
        booted: set[int],
        machine: Machine,
        costs: KernelCosts,
        spaces: AddressSpaces,
        operations: OperationLog,
    ) -> None:
        self._kernel = _TopLevel(span, booted)
        self._pgd_lock = Spinlock(machine, "pgd_lock")
        self._costs = costs
        self._spaces = spaces
        self._operations = operations

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
    """An address space that is behind copies all entries as it is switched to.

    Parameters
    ----------
    span, booted
        As for `FaultCopies`.
    entries
        How many entries are copied: those of the vmalloc range.
    costs, spaces, operations
        As for `FaultCopies`.
    """

    def __init__(
        self,
        span: int,
        booted: set[int],
        entries: int,
        costs: KernelCosts,
        spaces: AddressSpaces,
        operations: OperationLog,
    ) -> None:
        self._kernel = _TopLevel(span, booted)
        self._sequence = 0
        self._seen: dict[Hashable, int] = {}
        self._copy = entries * costs.copy_entry
        self._spaces = spaces
        self._operations = operations

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
