"""What an architecture's way of changing permissions is given, and what it has to do."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from pmsim.kernel.pagetables.entries import NX, RW, Change
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.addresses.purge import Purge
    from pmsim.kernel.addresses.vmalloc import Vmalloc
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog
    from pmsim.kernel.pagetables.directmap import DirectMap
    from pmsim.kernel.pagetables.pagetable import PageTable
    from pmsim.kernel.profile import KernelProfile
    from pmsim.kernel.tlbflush import TlbFlush

EFAULT: Final = 14
"""Bad address (include/uapi/asm-generic/errno-base.h); calls return it negated."""

EINVAL: Final = 22
"""Invalid argument (the same file)."""

ROX: Final = Change(0, RW | NX)
"""What ``set_memory_rox`` changes where it is one change."""

Status = Generator[Any, Any, int]
"""Takes simulated time; returns 0, or a negated error number."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What changes of permission stand on.

    Attributes
    ----------
    profile, costs
        What this kernel does differently, and what work costs.
    pagetable, direct_map
        What is changed.
    purge, vmalloc
        The lazy list, and the areas.
    tlbflush, operations
        How CPUs are told, where time is charged.
    """

    profile: KernelProfile
    costs: KernelCosts
    pagetable: PageTable
    direct_map: DirectMap
    purge: Purge
    vmalloc: Vmalloc
    tlbflush: TlbFlush
    operations: OperationLog


class Permissions(Protocol):
    """An architecture's way of changing permissions."""

    def change(self, task: Task, address: int, pages: Pages, change: Change) -> Status:
        """Change pages from an aligned address on, and make it known."""
