"""Short mappings of highmem pages, on machines of 32 bits: ``kmap``.

Stands for ``kmap_high``, ``kunmap_high``, ``map_new_virtual`` and ``flush_all_zero_pkmaps`` of
mm/highmem.c, Linux 4.16 to 6.18. Slots are given out in turn, under one lock; one that comes back
stays mapped. When they have been gone through, all that have come back are unmapped and flushed
together. Left out: a page that is mapped already, which needs no slot; waiting until a slot comes
back; ``kmap_atomic`` and ``kmap_local``, which flush nothing elsewhere.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.calls import call
from pmsim.kernel.tlbflush import Cause

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.steps import Steps


class Highmem:
    """The slots for short mappings.

    Parameters
    ----------
    context
        What they stand on.

    Attributes
    ----------
    slots
        How many there are: ``LAST_PKMAP``, a table of entries.
    """

    def __init__(self, context: KernelContext) -> None:
        self.slots = context.profile.geometry.entries
        self._lock = context.spinlock("kmap_lock")
        self._used: set[int] = set()
        self._given_back: set[int] = set()
        self._last = 0
        self._costs = context.costs
        self._operations = context.operations
        self._tlbflush = context.tlbflush

    @call
    def kmap(self, task: Task) -> Generator[Any, Any, int | None]:
        """Map a highmem page: ``kmap``.

        Returns
        -------
        int or None
            Its slot; None if all of them are in use.
        """
        operation = self._operations.begin(task, "kmap", 1)
        yield from self._operations.lock(task, self._lock, self._costs.kmap)
        slot = None
        for _ in range(self.slots):
            self._last = (self._last + 1) % self.slots
            if self._last == 0:
                yield from self._flush_all_zero(task)
            if self._last not in self._used and self._last not in self._given_back:
                slot = self._last
                self._used.add(slot)
                break
        self._lock.unlock(task)
        self._operations.end(operation)
        return slot

    @call
    def kunmap(self, task: Task, slot: int) -> Steps:
        """Give a slot back: ``kunmap``; nothing is flushed.

        Raises
        ------
        UndefinedBehaviour
            If nothing is mapped there.
        """
        if slot not in self._used:
            raise UndefinedBehaviour(f"kunmap of slot {slot}, not in use", task.now, task.place)
        operation = self._operations.begin(task, "kunmap", 1)
        yield from self._operations.lock(task, self._lock, self._costs.kmap)
        self._used.remove(slot)
        self._given_back.add(slot)
        self._lock.unlock(task)
        self._operations.end(operation)

    def flush_unused(self, task: Task) -> Steps:
        """Unmap what has come back: ``kmap_flush_unused``, before attributes change on x86-32."""
        if self._given_back:
            yield from self._operations.lock(task, self._lock)
            yield from self._flush_all_zero(task)
            self._lock.unlock(task)

    def _flush_all_zero(self, task: Task) -> Steps:
        """Empty the slots that have come back, with one flush (``flush_all_zero_pkmaps``)."""
        if self._given_back:
            self._given_back.clear()
            yield from self._tlbflush.flush_pages(task, self.slots, Cause.KMAP)
