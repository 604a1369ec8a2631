"""The lock of a single mapping, as faults take it to read: a cache line that all CPUs write to.

Stands for ``vma_start_read`` and ``vma_end_read`` (include/linux/mm.h, since 6.4). What it costs is
its line, which CPUs take from each other: "during contention its count and owner fields are
constantly updated" (Suren Baghdasaryan, "mm: separate vma->lock from vm_area_struct", 2023).

Left out: who changes the mapping, so that others take ``mmap_lock`` instead. And of opposite signs:
an access that follows another at once may find the line still there; and an exchange fails where
another CPU has changed the count meanwhile, and is tried anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pmsim.kernel.locks import ContendedLines

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps

ACCESSES: Final = {"semaphore": 3, "count": 2}
"""Times that who takes such a lock makes its line his own. A semaphore is compared with a free one,
then with what was found, and given an owner (kernel/locking/rwsem.c, ``__down_read_trylock``); a
mere count is read, and compared (``__refcount_inc_not_zero_limited``). *Derived*; one more releases
it."""


class VmaLock:
    """The lock of one mapping.

    Parameters
    ----------
    context
        Which kernel it is of.
    """

    def __init__(self, context: KernelContext) -> None:
        self._operations = context.operations
        self._line = ContendedLines(context.machine, 1)
        self._accesses = ACCESSES[context.profile.vma_lock]

    def lock(self, task: Task) -> Steps:
        """Take it to read."""
        for _ in range(self._accesses):
            yield from self._operations.fetch(task, self._line)

    def unlock(self, task: Task) -> Steps:
        """Release it."""
        yield from self._operations.fetch(task, self._line)
