"""Device registers in the kernel's address space.

Stands for ``ioremap`` and ``iounmap`` (arch/x86/mm/ioremap.c 4.16 to 6.18; mm/ioremap.c 6.1): an
area of vmalloc's range whose frames are no memory. ``iounmap`` frees its addresses lazily, as
vunmap does. Left out: cache attributes and with them the flush of a change of the direct map's;
huge leaves for large devices; ``set_iounmap_nonlazy``, which only the reader of a crashed kernel's
memory calls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.kernel.addresses.vm_area import VmArea
from pmsim.kernel.addresses.vmalloc import Allocation, Vmalloc
from pmsim.kernel.calls import call
from pmsim.kernel.pagetables.frames import page_frames
from pmsim.units import Bytes

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class Ioremap:
    """The mappings of devices, whose registers lie behind all memory.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._vmalloc = context.part(Vmalloc)
        self._first_frame = context.part(page_frames).total

    @call
    def ioremap(self, task: Task, size: Bytes) -> Allocation:
        """Map a device of so many bytes: ``ioremap``.

        Returns
        -------
        VmArea or None
            None for no bytes, and where addresses run out.
        """
        pages = -(-size // self._page_size)
        runs = [(self._first_frame, pages)] if pages > 0 else []
        return self._vmalloc.map_frames(task, "ioremap", runs)

    @call
    def iounmap(self, task: Task, area: VmArea | None) -> Steps:
        """Unmap a device: ``iounmap``; nothing is flushed now.

        Raises
        ------
        UndefinedBehaviour
            If it was unmapped before.
        """
        return self._vmalloc.unmap_frames(task, "iounmap", area)
