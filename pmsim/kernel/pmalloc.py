"""pmalloc: pools of memory that can be made read-only for good.

Stands for mm/pmalloc.c and include/linux/pmalloc.h of the patch series v21 (Igor Stoppa, 27 March
2018, cover letter 20180327153742.17328-1, posted against Linux 4.16); it was never merged. Each
broadcast that it causes is made by the kernel underneath, whichever version that is: an allocation
makes none, a protection one ``set_memory_ro`` per area, a destruction one ``set_memory_rw`` and one
``vfree`` per area. Left out: failing to allocate the pool's own object.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Never

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.hardware.locks import Mutex
from pmsim.kernel.pools import SIZE_MAX, Allocations, Pool, Run, alignment, product, rounded_refill
from pmsim.units import PAGE_SIZE, Bytes

if TYPE_CHECKING:
    from pmsim.hardware.machine import Machine
    from pmsim.hardware.task import Task
    from pmsim.kernel.costs import KernelCosts
    from pmsim.kernel.operations import OperationLog, Steps
    from pmsim.kernel.set_memory import SetMemory
    from pmsim.kernel.vmalloc import Vmalloc, VmArea

Address = Generator[Any, Any, int | None]
"""Takes simulated time; returns an address, or None for NULL."""


class Pmalloc:
    """All pools of a kernel, and the calls that work on them.

    Every call takes the calling task first; those that take simulated time are generators.

    Parameters
    ----------
    machine
        Where the mutexes live.
    vmalloc, set_memory
        The kernel underneath.
    operations
        Where the calls are noted.
    costs
        CPU time of the pools' own work.

    Attributes
    ----------
    pools
        Every pool ever created, the destroyed ones too.
    """

    def __init__(
        self,
        machine: Machine,
        vmalloc: Vmalloc,
        set_memory: SetMemory,
        operations: OperationLog,
        costs: KernelCosts,
    ) -> None:
        self.pools: list[Pool] = []
        self._machine = machine
        self._vmalloc = vmalloc
        self._set_memory = set_memory
        self._operations = operations
        self._costs = costs
        self._pools_mutex = Mutex(machine, "pools_mutex")
        self._flagged: dict[int, VmArea] = {}

    def create_pool(
        self, task: Task, refill: Bytes = 0, align_order: int = -1
    ) -> Generator[Any, Any, Pool]:
        """Create a pool: ``pmalloc_create_pool``. No page is allocated, nothing is flushed.

        Parameters
        ----------
        task
            Who calls.
        refill
            Bytes by which the pool grows, at least; rounded up to pages, 0 for one page.
        align_order
            Alignment of its objects as a power of two; negative for the architecture's own.

        Raises
        ------
        UndefinedBehaviour
            For an order of 64 or more: the kernel shifts by it without a check.
        """
        _check_size(task, "refill", refill)
        if align_order >= 64:
            raise _undefined(task, f"align_order {align_order} shifts a 64-bit number by as much")
        operation = self._operations.begin(task, "pmalloc_create_pool")
        yield from self._operations.compute(task, self._costs.pool)
        yield from self._operations.lock(task, self._pools_mutex)
        number = len(self.pools)
        mutex = Mutex(self._machine, f"the mutex of pool {number}")
        pool = Pool(number, rounded_refill(refill), alignment(align_order), mutex)
        self.pools.append(pool)
        self._pools_mutex.unlock(task)
        self._operations.end(operation)
        return pool

    def pmalloc(self, task: Task, pool: Pool | None, size: Bytes) -> Address:
        """Allocate one object: ``pmalloc``.

        Returns
        -------
        int or None
            Its address; None if the pool had to grow and could not. For size 0 the address is that
            of the object before, or, in a fresh area, that of its guard page.

        Raises
        ------
        UndefinedBehaviour
            If there is no pool, or it was destroyed.
        """
        _check_size(task, "size", size)
        pool = self._live(task, pool, "pmalloc")
        operation = self._operations.begin(task, "pmalloc")
        yield from self._lock(task, pool, "pmalloc")
        yield from self._operations.compute(task, self._costs.pmalloc)
        address = None
        if not pool.space_needed(size) or (yield from self._grow(task, pool, size)):
            pool.exposure.change(task.now, size)
            address = pool.take(size).address
        pool.mutex.unlock(task)
        self._operations.end(operation)
        return address

    def pzalloc(self, task: Task, pool: Pool | None, size: Bytes) -> Address:
        """Allocate one object and fill it with zeros: ``pzalloc``."""
        operation = self._operations.begin(task, "pzalloc")
        address = yield from self.pmalloc(task, pool, size)
        if address is not None:
            yield from self._fill(task, size)
        self._operations.end(operation)
        return address

    def pmalloc_array(self, task: Task, pool: Pool | None, n: int, size: Bytes) -> Address:
        """Allocate an array; NULL for no elements and for a product above `SIZE_MAX`."""
        total = _checked_product(task, n, size)
        return None if total is None else (yield from self.pmalloc(task, pool, total))

    def pcalloc(self, task: Task, pool: Pool | None, n: int, size: Bytes) -> Address:
        """Allocate an array filled with zeros; NULL where `pmalloc_array` gives NULL."""
        total = _checked_product(task, n, size)
        return None if total is None else (yield from self.pzalloc(task, pool, total))

    def pstrdup(self, task: Task, pool: Pool | None, string: str | bytes | None) -> Address:
        """Copy a string with its final NUL into a pool: ``pstrdup``.

        Text is encoded as UTF-8; what follows a NUL inside is not part of a C string.

        Raises
        ------
        UndefinedBehaviour
            For no string: ``strlen`` reads through the NULL pointer.
        """
        if string is None:
            raise _undefined(task, "pstrdup reads the length of a NULL string")
        data = string.encode() if isinstance(string, str) else string
        size = len(data.partition(b"\0")[0]) + 1
        operation = self._operations.begin(task, "pstrdup")
        yield from self._fill(task, size)
        address = yield from self.pmalloc(task, pool, size)
        if address is not None:
            yield from self._fill(task, size)
        self._operations.end(operation)
        return address

    def alloc_many(
        self, task: Task, pool: Pool | None, n: int, size: Bytes
    ) -> Generator[Any, Any, Allocations]:
        """Allocate ``n`` objects of one size: what a loop of ``pmalloc`` does, in few events.

        State, statistics, exposure and simulated time are those of ``n`` calls by a loop that stops
        at the first NULL. Two things are coarser. The mutex is released after each area instead of
        each object, so that another user of the pool waits longer for it. And there is one row
        ``alloc_many`` in the table of operations in place of ``n`` rows ``pmalloc``; the rows
        ``vmalloc`` of the areas are its children.

        Returns
        -------
        Allocations
            The addresses; fewer than ``n`` if the pool could not grow.
        """
        _check_size(task, "size", size)
        if n < 0:
            raise ProgramError(f"alloc_many of {n} objects", task.now, task.place)
        pool = self._live(task, pool, "alloc_many")
        operation = self._operations.begin(task, "alloc_many")
        runs: list[Run] = []
        left = n
        while left:
            yield from self._lock(task, pool, "alloc_many")
            run = yield from self._take_run(task, pool, left, size)
            pool.mutex.unlock(task)
            if run is None:
                break
            runs.append(run)
            left -= run.count
        self._operations.end(operation)
        return Allocations(n, runs)

    def protect_pool(self, task: Task, pool: Pool | None) -> Steps:
        """Make all that is allocated read-only: ``pmalloc_protect_pool``.

        One ``set_memory_ro`` for each area not yet protected, newest first, the pool's mutex held
        over them all. What the newest area still had to give is given up.

        Raises
        ------
        UndefinedBehaviour
            If there is no pool, or it was destroyed.
        """
        pool = self._live(task, pool, "pmalloc_protect_pool")
        operation = self._operations.begin(task, "pmalloc_protect_pool")
        yield from self._lock(task, pool, "pmalloc_protect_pool")
        yield from self._operations.compute(task, self._costs.pmalloc)
        pool.statistics.protects += 1
        for area in pool.unprotected():
            # The kernel ignores what this returns and flags the area as protected all the same.
            yield from self._set_memory.ro(task, area.mapped.address, area.mapped.pages)
            pool.mark_protected(area, task.now)
            operation.pages += area.mapped.pages
        pool.mutex.unlock(task)
        self._operations.end(operation)

    def destroy_pool(self, task: Task, pool: Pool | None) -> Steps:
        """Give a pool and all its memory back: ``pmalloc_destroy_pool``.

        The object is freed first; then, without any lock, each area, newest first, is made writable
        again (its pages are read-only in the direct map too) and vfree'd.

        Raises
        ------
        UndefinedBehaviour
            If there is no pool, it was destroyed before, or somebody works on it.
        """
        pool = self._live(task, pool, "pmalloc_destroy_pool")
        operation = self._operations.begin(task, "pmalloc_destroy_pool", pool.statistics.pages)
        yield from self._operations.lock(task, self._pools_mutex)
        self._free_object(task, pool)
        self._pools_mutex.unlock(task)
        yield from self._operations.compute(task, self._costs.pool)
        for area in reversed(pool.areas):
            pool.statistics.unprotected_destroyed += not area.protected
            mapped = self._flagged.pop(area.mapped.address)
            yield from self._set_memory.rw(task, mapped.address, mapped.pages)
            yield from self._vmalloc.vfree(task, mapped)
        self._operations.end(operation)

    def pfree(self, task: Task, pool: Pool | None = None, address: int | None = None) -> Never:
        """Refuse: there is no ``pfree``.

        Raises
        ------
        UndefinedBehaviour
            Always; the message explains why.
        """
        raise _undefined(
            task,
            "pmalloc has no pfree: an object shares its read-only pages with others, so giving it"
            " back would reopen them, and a pool keeps no record of single objects;"
            " pmalloc_destroy_pool frees the whole pool",
        )

    def is_pmalloc_object(self, task: Task, address: int, n: Bytes) -> bool:
        """Return whether ``n`` bytes from ``address`` are taken for an object of a pool.

        As in v20 and v21, an object that runs over the end of its area is *not* taken for one, so
        that hardened usercopy lets it pass; and the end is computed as an unsigned long, so that a
        length close to 2**64 wraps and passes for an object.

        Raises
        ------
        UndefinedBehaviour
            For a vmalloc address where no page is mapped: the kernel reads through its NULL
            ``struct page``.
        """
        area = self._vmalloc.find(address)
        if area is None and not self._vmalloc.is_vmalloc_addr(address):
            return False
        if area is None or address >= area.address + area.pages * PAGE_SIZE:
            raise _undefined(task, f"is_pmalloc_object reads the NULL page of {address:#x}")
        if area.address not in self._flagged:
            return False
        return (address + n) & SIZE_MAX <= area.address + area.pages * PAGE_SIZE

    def usercopy_allowed(self, task: Task, address: int, n: Bytes, *, to_user: bool) -> bool:
        """Return whether hardened usercopy lets a copy pass, as far as pools are concerned.

        Copying *from* user space into a pool is refused, protected or not; copying out is allowed.
        """
        return to_user or not self.is_pmalloc_object(task, address, n)

    def _grow(self, task: Task, pool: Pool, size: Bytes) -> Generator[Any, Any, bool]:
        """Give the pool a new area; return False, and change nothing, if vmalloc fails."""
        mapped = yield from self._vmalloc.vmalloc(task, pool.growth(size))
        if mapped is None:
            return False
        yield from self._operations.compute(task, self._costs.area_lookup)
        self._flagged[mapped.address] = mapped
        pool.add(mapped)
        operation = self._operations.current(task)
        if operation is not None:
            operation.pages += mapped.pages
        return True

    def _take_run(
        self, task: Task, pool: Pool, wanted: int, size: Bytes
    ) -> Generator[Any, Any, Run | None]:
        """Allocate as many of ``wanted`` objects as one area holds; None if there is no area."""
        yield from self._operations.compute(task, self._costs.pmalloc)
        if pool.space_needed(size) and not (yield from self._grow(task, pool, size)):
            return None
        more = pool.room(size, wanted) - 1
        pool.exposure.change(task.now, size)
        first = pool.take(size)
        if more:
            start = task.now
            yield from self._operations.compute(task, more * self._costs.pmalloc)
            pool.exposure.ramp(start, task.now, more, size)
            pool.take(size, more)
        return Run(first.address, first.stride, 1 + more)

    def _fill(self, task: Task, size: Bytes) -> Any:
        return self._operations.compute(task, size * self._costs.fill_byte)

    def _lock(self, task: Task, pool: Pool, call: str) -> Steps:
        yield from self._operations.lock(task, pool.mutex)
        # Who waited while the pool was destroyed wakes up inside freed memory.
        self._live(task, pool, call)

    def _live(self, task: Task, pool: Pool | None, call: str) -> Pool:
        if pool is None:
            raise _undefined(task, f"{call} follows a NULL pool")
        if pool.destroyed:
            raise _undefined(task, f"{call} uses pool {pool.number} after it was destroyed")
        return pool

    def _free_object(self, task: Task, pool: Pool) -> None:
        """Unlink and free the pool's object; from here on nobody may use it."""
        self._live(task, pool, "pmalloc_destroy_pool")
        if pool.mutex.owner is not None:
            raise _undefined(
                task,
                f"pmalloc_destroy_pool frees pool {pool.number} while {pool.mutex.owner.place}"
                " works on it",
            )
        pool.destroyed = True
        pool.exposure.change(task.now, -pool.exposure.writable)


def _checked_product(task: Task, n: int, size: Bytes) -> Bytes | None:
    _check_size(task, "n", n)
    _check_size(task, "size", size)
    return product(n, size)


def _check_size(task: Task, what: str, value: int) -> None:
    if not 0 <= value <= SIZE_MAX:
        raise ProgramError(f"{what} is {value}, which no size_t holds", task.now, task.place)


def _undefined(task: Task, message: str) -> UndefinedBehaviour:
    return UndefinedBehaviour(message, task.now, task.place)
