"""Writing to kernel memory: allowed, or a fault.

Stands for a store by kernel code and for the page fault that it takes where its page is read-only
or missing, which in a real kernel is an oops (arch/x86/mm/fault.c, ``bad_area_nosemaphore``). Here
the task goes on, and the fault is a row. An ordinary write goes by the page table; one that is an
attack (`Writes.overwrite`) also succeeds where the CPU may still hold the old translation.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pmsim.errors import ProgramError
from pmsim.kernel.addresses.fresh_mappings import FreshMappings
from pmsim.kernel.calls import Address, call
from pmsim.kernel.pagetables.entries import PRESENT, RW
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.units import Bytes, CpuId, Picoseconds

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext

_WRITABLE: Final = np.uint64(PRESENT | RW)


@dataclass(frozen=True, slots=True)
class Write:
    """A write that is noted.

    Attributes
    ----------
    at_ps
        When, in picoseconds.
    workload, cpu, task
        Who: name and number of the task, and its CPU.
    address
        Of the first byte; of a fault, of the first that could not be written.
    """

    at_ps: Picoseconds
    workload: str
    cpu: CpuId
    task: int
    address: int


@dataclass(frozen=True, slots=True)
class WriteFault(Write):
    """A write that the page table forbade: ``read_only`` or ``not_mapped`` is its ``reason``."""

    reason: str


class Outcome(IntEnum):
    """What became of an attack's write; the lower-case name stands in the tables."""

    LANDED = 0
    """The page table let it pass: the memory was not protected yet."""
    STALE = 1
    """The page table forbade it, but the CPU still held the old translation."""
    FAULTED = 2
    """It faulted."""


@dataclass(frozen=True, slots=True)
class Overwrite(Write):
    """A write of an attack, and what became of it."""

    outcome: Outcome


class Writes:
    """Stores to kernel memory.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    faults
        The writes that were forbidden, in order.
    overwrites
        The writes of attacks, in order.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self.faults: list[WriteFault] = []
        self.overwrites: list[Overwrite] = []
        self._safety = context.safety
        self._touched = context.touched
        self._costs = context.costs
        self._operations = context.operations
        self._pagetable = context.part(kernel_page_table)
        self._fresh = context.part(FreshMappings)

    @call
    def write(self, task: Task, address: Address, size: Bytes) -> Generator[Any, Any, bool]:
        """Write ``size`` bytes from ``address`` on, up to the first that faults, which is noted.

        Returns
        -------
        bool
            Whether all of them could be written; if not, there is one more fault.
        """
        if size < 0:
            raise ProgramError(f"a write of {size} bytes", task.now, task.place)
        if self._fresh.touches:
            yield from self._fresh.touched(task, address, 1)
        if self._touched.on:
            end = -(-(address + size) // self._page_size)
            self._touched.touch(task.cpu, address, end - address // self._page_size)
        bad = self._first_forbidden(address, size)
        if bad is None:
            yield from self._operations.compute(task, size * self._costs.fill_byte)
            return True
        done = (bad - address) * self._costs.fill_byte
        yield from self._operations.compute(task, done + self._costs.page_fault)
        reason = "not_mapped" if self._pagetable.translate(bad) is None else "read_only"
        self.faults.append(WriteFault(task.now, task.name, task.cpu, task.number, bad, reason))
        return False

    @call
    def overwrite(self, task: Task, address: Address, size: Bytes) -> Generator[Any, Any, Outcome]:
        """Write as an attack does, by whatever translation the CPU has; what comes of it is noted.

        The CPU is taken to have used the page before, and to have kept its translation since it
        last had to drop it.

        Parameters
        ----------
        task
            Who writes.
        address, size
            What, within a page.

        Returns
        -------
        Outcome
            What became of it, decided as the write begins.
        """
        if self._touched.on:
            self._touched.read_everything(task.cpu)
        if self._first_forbidden(address, size) is None:
            outcome = Outcome.LANDED
        elif self._safety.holds(task.cpu, address):
            outcome = Outcome.STALE
        else:
            outcome = Outcome.FAULTED
        who = (task.name, task.cpu, task.number)
        self.overwrites.append(Overwrite(task.now, *who, address, outcome))
        work = (
            self._costs.page_fault if outcome is Outcome.FAULTED else size * self._costs.fill_byte
        )
        yield from self._operations.compute(task, work)
        return outcome

    def _first_forbidden(self, address: int, size: Bytes) -> int | None:
        first = address // self._page_size
        pages = -(-(address + size) // self._page_size) - first if size else 0
        entries = self._pagetable.read(first * self._page_size, pages)
        forbidden = np.flatnonzero(entries & _WRITABLE != _WRITABLE)
        if not forbidden.size:
            return None
        return max(address, (first + int(forbidden[0])) * self._page_size)
