"""Attributes of kernel memory that are no permissions: how it is cached, and who may read it.

Stands for ``set_memory_uc``, ``_wc`` and ``_wb`` and for ``set_memory_decrypted`` and
``_encrypted`` of x86 (arch/x86/mm/pageattr.c, Linux 4.16; arch/x86/mm/pat/set_memory.c later). A
change is made as one of permissions is. Where caches are to be bypassed the initiator drops the
pages from all of them afterwards, line by line. Where memory is encrypted, translations are flushed
before the change and after it; a guest of Intel's does without the first where memory becomes its
own again.

Left out: the list of memory types (PAT); CPUs without CLFLUSH; AMD's CPUs that have to drop
encrypted lines too (before Milan); what the hypervisor does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pmsim.errors import ProgramError
from pmsim.kernel.calls import Address, call
from pmsim.kernel.pagetables.entries import PCD, PWT, SHARED, Change
from pmsim.kernel.permissions.strategy import Status
from pmsim.kernel.permissions.x86 import X86Permissions
from pmsim.units import Pages

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext

Guest = Literal["sev", "tdx"]
"""Whose encrypted guest a kernel is: AMD's or Intel's."""

UNCACHED: Final = Change(PCD, 0)
COMBINED: Final = Change(PWT, PCD)
CACHED: Final = Change(0, PCD | PWT)


class PageAttributes:
    """The calls that change attributes of memory.

    Parameters
    ----------
    context
        What they stand on.
    """

    def __init__(self, context: KernelContext) -> None:
        is_x86 = context.profile.set_memory == "x86"
        self._x86 = context.part(X86Permissions) if is_x86 else None
        self._encryption = context.profile.memory_encryption
        self._costs = context.costs
        self._operations = context.operations

    @call
    def set_memory_uc(self, task: Task, address: Address, pages: Pages) -> Status:
        """Make pages uncached: ``set_memory_uc``.

        Parameters
        ----------
        task
            Who calls.
        address
            Of the first page.
        pages
            How many.

        Returns
        -------
        int
            0, or -14 (``EFAULT``) if some page is not mapped.

        Raises
        ------
        ProgramError
            On another architecture than x86.
        """
        return self._call(task, "set_memory_uc", address, pages, UNCACHED)

    @call
    def set_memory_wc(self, task: Task, address: Address, pages: Pages) -> Status:
        """Make pages write-combining, in two changes: ``set_memory_wc``; see `set_memory_uc`."""
        return self._call(task, "set_memory_wc", address, pages, UNCACHED, COMBINED)

    @call
    def set_memory_wb(self, task: Task, address: Address, pages: Pages) -> Status:
        """Make pages cached again: ``set_memory_wb``; see `set_memory_uc`."""
        return self._call(task, "set_memory_wb", address, pages, CACHED)

    @call
    def set_memory_decrypted(
        self, task: Task, address: Address, pages: Pages, guest: Guest = "sev"
    ) -> Status:
        """Share pages with the hypervisor: ``set_memory_decrypted``; see `set_memory_uc`."""
        return self._convert(task, "set_memory_decrypted", address, pages, guest, Change(SHARED, 0))

    @call
    def set_memory_encrypted(
        self, task: Task, address: Address, pages: Pages, guest: Guest = "sev"
    ) -> Status:
        """Make pages the guest's own again: ``set_memory_encrypted``; see `set_memory_uc`."""
        return self._convert(task, "set_memory_encrypted", address, pages, guest, Change(0, SHARED))

    def _call(self, task: Task, kind: str, address: int, pages: Pages, *changes: Change) -> Status:
        """Make changes one after the other, and drop the pages from caches where bits were set."""
        x86 = self._on_x86(task, kind)
        operation = self._operations.begin(task, kind, pages)
        status = 0
        for change in changes:
            yield from self._operations.compute(task, self._costs.set_memory)
            status = yield from x86.change(task, address, pages, change)
            if change.set_bits:
                yield from self._operations.compute(task, pages * self._costs.clflush_page)
        self._operations.end(operation)
        return status

    def _convert(
        self, task: Task, kind: str, address: int, pages: Pages, guest: Guest, change: Change
    ) -> Status:
        """Flush, change and flush (``__set_memory_enc_dec``, ``__set_memory_enc_pgtable``)."""
        x86 = self._on_x86(task, kind)
        if guest not in self._encryption:
            raise ProgramError(
                f"{kind} in a guest that this kernel cannot be", task.now, task.place
            )
        operation = self._operations.begin(task, kind, pages)
        yield from self._operations.compute(task, self._costs.set_memory)
        yield from x86.flush_aliases(task)
        if guest == "sev" or change.set_bits:
            yield from x86.flush(task, address, pages)
        status = yield from x86.change_entries(task, address, pages, change)
        self._operations.end(operation)
        return status

    def _on_x86(self, task: Task, kind: str) -> X86Permissions:
        if self._x86 is None:
            raise ProgramError(f"{kind} is there on x86 only", task.now, task.place)
        return self._x86
