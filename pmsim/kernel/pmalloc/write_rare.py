"""Rare writes: how protected memory of a pool is changed without opening it.

Stands for ``wr_memset``, ``wr_memcpy`` and ``wr_ptr`` of include/linux/prmem.h (prmem v1, October
2018, patch 04/17) and, on v23, for ``pmalloc_rare_write_array`` and ``_ptr``, whose loop is the
same (include/linux/rare_write.h of the author's tree). Each page is mapped once more, writable and
at a fresh address, written there and unmapped, with interrupts off. So every page written leaves an
area of two pages, its guard included, on the lazy list: rare writes are a storm of vfrees.

Two things are coarser. Interrupts are off piece by piece: a handler that is due may start between
the mapping, the write and the unmapping, each of which takes some tenths of a microsecond. And
where the kernel would purge in the middle (4.16 from the unmapping, any version when addresses run
out), it would call other CPUs with interrupts off, which it warns of and which may deadlock; here
it does so with interrupts on. Left out: variables of the kernel image (``__wr_after_init``), and
``wr_rcu_assign_pointer``, which costs what ``wr_ptr`` does.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pmsim.kernel.addresses.areas import GUARD
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.pagetables.kernel_table import kernel_page_table
from pmsim.kernel.pmalloc.flagged import FlaggedAreas
from pmsim.units import Bytes

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.pmalloc.pools import Pool

Written = Generator[Any, Any, bool]
"""Takes simulated time; returns whether everything was written."""


class WriteRare:
    """Rare writes to the pools of a kernel.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        self._page_size = context.profile.page_size
        self._costs = context.costs
        self._operations = context.operations
        self._pagetable = context.part(kernel_page_table)
        self._vmalloc = context.part(Vmalloc)
        self._flagged = context.part(FlaggedAreas).by_start

    def write(self, task: Task, call: str, address: int, size: Bytes) -> Written:
        """Write ``size`` bytes from ``address`` on, page by page.

        Parameters
        ----------
        task
            Who writes.
        call
            The kernel's name of the call, for the table of operations.
        address, size
            What is written.

        Returns
        -------
        bool
            False, with nothing written, where this is no memory of a pool that allows it; False
            too where the area ends before the write does, or addresses run out: what lies before
            is written then.
        """
        operation = self._operations.begin(task, call)
        yield from self._operations.compute(task, self._costs.area_lookup)
        pool = self._pool_of(address, size)
        written = pool is not None
        while pool is not None and written and size:
            part = min(size, self._page_size - address % self._page_size)
            written = yield from self._write_page(task, address, part)
            operation.pages += written
            pool.statistics.rare_writes += written
            address, size = address + part, size - part
        self._operations.end(operation)
        return written

    def _pool_of(self, address: int, size: Bytes) -> Pool | None:
        """Return the pool that may be written here (``__is_wr_pool``).

        As in the kernel the test compares the size of the whole area, guard included, with that of
        the write, wherever in the area this begins.
        """
        area = self._vmalloc.find(address)
        flagged = None if area is None else self._flagged.get(area.address)
        if flagged is None or not flagged.pool.rewritable:
            return None
        return flagged.pool if size <= flagged.mapped.size + GUARD * self._page_size else None

    def _write_page(self, task: Task, address: int, size: Bytes) -> Written:
        """Map one page, write it and unmap it, with interrupts off."""
        frame = self._pagetable.translate(address)
        if frame is None:
            return False
        self._operations.local_irq_save(task)
        mapped = yield from self._vmalloc.map_frames(task, "vmap", [(frame // self._page_size, 1)])
        if mapped is not None:
            yield from self._operations.compute(task, size * self._costs.fill_byte)
            yield from self._vmalloc.vunmap(task, mapped)
        self._operations.local_irq_restore(task)
        return mapped is not None
