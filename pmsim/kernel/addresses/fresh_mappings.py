"""What a new mapping of the kernel costs beyond its entries: on other CPUs, in other tables.

On most architectures nothing: what was never mapped is in no TLB. RISC-V lets a CPU remember that
an address is not mapped, so that Linux flushed after every new mapping (arch/riscv, 6.6 to 6.11,
``flush_cache_vmap``) and since 6.12 lets each CPU find out by a fault (``mark_new_valid_map`` in
arch/riscv/include/asm/cacheflush.h, ``new_vmalloc_check`` in arch/riscv/kernel/entry.S). And where
address spaces have top-level entries of their own, those must follow
(`pmsim.kernel.addresses.top_level`).

A task that maps an area is taken to touch it at once; so do writes. Left out: CPUs that never
remember missing mappings (Svvptc), on which the fault of 6.12 does not happen.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

from pmsim.kernel.addresses.search import AddressSpace
from pmsim.kernel.addresses.top_level import top_level_copies
from pmsim.kernel.tlbflush import Cause
from pmsim.units import CpuId, Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class Follower(Protocol):
    """Something that new mappings make work for."""

    def mapped(self, task: Task, address: int, pages: Pages) -> Iterable[Any]:
        """Do what follows from a new mapping by a task."""

    def touched(self, task: Task, address: int, pages: Pages) -> Iterable[Any]:
        """Do what follows from a task's touch of a mapped range."""


class FreshMappings:
    """All that new mappings make work for, on one kernel.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    touches
        Whether a touch may cost anything.
    """

    def __init__(self, context: KernelContext) -> None:
        self._followers: list[Follower] = [*top_level_copies(context), *_cpus_follow(context)]
        self._space = context.part(AddressSpace)
        self.touches = bool(self._followers)

    def mapped(self, task: Task, address: int, pages: Pages) -> Iterable[Any]:
        """Note a new mapping."""
        return self._all_mapped(task, address, pages) if self._followers else ()

    def touched(self, task: Task, address: int, pages: Pages) -> Steps:
        """Note a touch of some address; where no area lies it costs nothing."""
        if self._space.holds(address):
            for follower in self._followers:
                yield from follower.touched(task, address, pages)

    def _all_mapped(self, task: Task, address: int, pages: Pages) -> Steps:
        for follower in self._followers:
            yield from follower.mapped(task, address, pages)


def _cpus_follow(context: KernelContext) -> list[Follower]:
    """Return what a kernel does so that CPUs see new mappings."""
    if context.profile.new_mapping == "flush":
        return [FlushOnNew(context)]
    if context.profile.new_mapping == "fault":
        return [FaultOnNew(context)]
    return []


class FlushOnNew:
    """Every new mapping is flushed on all CPUs (RISC-V, 6.6 to 6.11).

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._tlbflush = context.tlbflush

    def mapped(self, task: Task, address: int, pages: Pages) -> Steps:
        """Flush the range: ``flush_cache_vmap``."""
        end = address + pages * self._page_size
        return self._tlbflush.flush_tlb_kernel_range(task, address, end, Cause.NEW_MAPPING)

    def touched(self, task: Task, address: int, pages: Pages) -> Iterable[Any]:
        """Cost nothing: everybody knows."""
        return ()


class FaultOnNew:
    """Each CPU faults once after new mappings were made, and flushes itself (RISC-V, 6.12).

    Parameters
    ----------
    context
        What it stands on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._made = 0
        self._known: dict[CpuId, int] = {}
        self._costs = context.costs
        self._operations = context.operations

    def mapped(self, task: Task, address: int, pages: Pages) -> Iterable[Any]:
        """Set every CPU's bit (``new_vmalloc``)."""
        self._made += 1
        return ()

    def touched(self, task: Task, address: int, pages: Pages) -> Steps:
        """Fault, if the CPU's bit is set: ``new_vmalloc_check``."""
        if self._known.get(task.cpu, 0) < self._made:
            self._known[task.cpu] = self._made
            operation = self._operations.begin(task, "new_vmalloc_check", pages)
            yield from self._operations.compute(task, self._costs.vmalloc_fault)
            self._operations.end(operation)
