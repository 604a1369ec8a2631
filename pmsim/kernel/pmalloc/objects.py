"""What hardened usercopy takes for an object of a pool.

Stands for ``is_pmalloc_object`` (mm/pmalloc.c) and its call in ``__check_object_size``
(mm/usercopy.c), pmalloc v20 and v21; every generation here is asked in their way. v23 had begun to
tell an object that overruns its area from none at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.calls import Address, call
from pmsim.kernel.pmalloc.flagged import FlaggedAreas
from pmsim.units import Bytes

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext


class PmallocObjects:
    """Objects of the pools of a kernel; no call takes time.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._vmalloc = context.part(Vmalloc)
        self._flagged = context.part(FlaggedAreas).by_start
        self._largest = (1 << 8 * context.profile.word_bytes) - 1

    @call
    def is_pmalloc_object(self, task: Task, address: Address, size: Bytes) -> bool:
        """Return at once whether ``size`` bytes from ``address`` are taken for an object of a pool.

        An object that runs over the end of its area is *not* taken for one, so that hardened
        usercopy lets it pass; and the end is computed as an unsigned long, so that a length close
        to the largest one wraps and passes for an object.

        Raises
        ------
        UndefinedBehaviour
            For a vmalloc address where no page is mapped: the kernel reads through its NULL
            ``struct page``.
        """
        area = self._vmalloc.find(address)
        if area is None and not self._vmalloc.is_vmalloc_addr(address):
            return False
        if area is None or address >= area.end:
            message = f"is_pmalloc_object reads the NULL page of {address:#x}"
            raise UndefinedBehaviour(message, task.now, task.place)
        if area.address not in self._flagged:
            return False
        return (address + size) & self._largest <= area.end

    @call
    def usercopy_allowed(self, task: Task, address: Address, size: Bytes, *, to_user: bool) -> bool:
        """Return at once whether hardened usercopy lets a copy pass, as far as pools are concerned.

        Copying *from* user space into a pool is refused, protected or not; copying out is allowed.
        """
        return to_user or not self.is_pmalloc_object(task, address, size)
