"""pmalloc: pools of memory that can be made read-only for good.

Stands for mm/pmalloc.c and include/linux/pmalloc.h of the patch series v21 (Igor Stoppa, 27 March
2018, cover letter 20180327153742.17328-1, posted against Linux 4.16), which was never merged, and
for what followed it, as far as a generation (`pmsim.kernel.pmalloc.generations`) differs. Each
shootdown that it causes is made by the kernel underneath, whichever version that is: with v21 an
allocation makes none, a protection one ``set_memory_ro`` per area, a destruction one
``set_memory_rw`` and one ``vfree`` per area. Left out: failing to allocate the pool's own object,
and ``pmalloc_make_pool_ro`` of v23 and prmem.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, Never

from pmsim.errors import ProgramError, UndefinedBehaviour
from pmsim.kernel.addresses.vmalloc import Vmalloc
from pmsim.kernel.calls import Address, call
from pmsim.kernel.locks import KernelMutex
from pmsim.kernel.permissions.set_memory import SetMemory
from pmsim.kernel.pmalloc.flagged import Flagged, FlaggedAreas
from pmsim.kernel.pmalloc.generations import GENERATIONS, refusal, with_mode
from pmsim.kernel.pmalloc.modes import PoolMode
from pmsim.kernel.pmalloc.pools import Allocations, Pool, PoolArea, Run
from pmsim.kernel.pmalloc.sizes import Sizes
from pmsim.kernel.pmalloc.write_rare import WriteRare, Written
from pmsim.units import Bytes

if TYPE_CHECKING:
    from pmsim.hardware.task import Task
    from pmsim.kernel.context import KernelContext
    from pmsim.kernel.safety.violations import Revocation
    from pmsim.steps import Steps

MaybeAddress = Generator[Any, Any, int | None]
"""Takes simulated time; returns an address, or None for NULL."""


class Pmalloc:
    """All pools of a kernel, and the calls that work on them.

    Every call takes the calling task first; those that take simulated time are generators.

    Parameters
    ----------
    context
        What it stands on.

    Attributes
    ----------
    generation
        What this pmalloc does differently from others.
    pools
        Every pool ever created, the destroyed ones too.
    """

    def __init__(self, context: KernelContext) -> None:
        profile = context.profile
        self.generation = GENERATIONS[profile.pmalloc]
        self.pools: list[Pool] = []
        self._machine = context.machine
        self._word = profile.word_bytes
        self._sizes = Sizes(8 * profile.word_bytes, profile.kmalloc_minalign, profile.page_size)
        self._costs = context.costs
        self._operations = context.operations
        self._safety = context.safety
        self._touched = context.touched
        self._vmalloc = context.part(Vmalloc)
        self._set_memory = context.part(SetMemory)
        self._pools_mutex = KernelMutex(context.machine, "pools_mutex")
        self._flagged = context.part(FlaggedAreas).by_start
        self._rare = context.part(WriteRare)

    @call
    def pmalloc_create_pool(
        self, task: Task, refill: Bytes = 0, align_order: int = -1, mode: PoolMode = "ro"
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
        mode
            What may be done to its protected memory, and when it is protected.

        Raises
        ------
        ProgramError
            If this generation has no pools of the mode.
        UndefinedBehaviour
            For an order of a word's bits or more: the kernel shifts by it without a check.
        """
        self._sizes.check(task, refill=refill)
        refused = refusal(self.generation.name, mode)
        if refused is not None:
            raise ProgramError(f"{refused}: {with_mode(mode)}", task.now, task.place)
        align = self._sizes.alignment(task, align_order)
        operation = self._operations.begin(task, "pmalloc_create_pool")
        yield from self._operations.compute(task, self._costs.pool)
        yield from self._operations.lock(task, self._pools_mutex)
        number = len(self.pools)
        mutex = KernelMutex(self._machine, f"the mutex of pool {number}")
        pool = Pool(number, self._sizes.rounded_refill(refill), align, mutex, mode)
        self.pools.append(pool)
        self._pools_mutex.unlock(task)
        self._operations.end(operation)
        return pool

    @call
    def pmalloc(self, task: Task, pool: Pool | None, size: Bytes) -> MaybeAddress:
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
        self._sizes.check(task, size=size)
        pool = self._live(task, pool, "pmalloc")
        operation = self._operations.begin(task, "pmalloc")
        yield from self._lock(task, pool, "pmalloc")
        yield from self._operations.compute(task, self._costs.pmalloc)
        address = None
        if not pool.space_needed(size) or (yield from self._grow(task, pool, size)):
            pool.expose(task.now, size)
            address = pool.take(size).address
            self._touch(task, pool)
        pool.mutex.unlock(task)
        self._operations.end(operation)
        return address

    @call
    def pzalloc(self, task: Task, pool: Pool | None, size: Bytes) -> MaybeAddress:
        """Allocate one object and fill it with zeros: ``pzalloc``."""
        operation = self._operations.begin(task, "pzalloc")
        address = yield from self.pmalloc(task, pool, size)
        if address is not None:
            yield from self._initialise(task, pool, "wr_memset", address, size)
        self._operations.end(operation)
        return address

    @call
    def pmalloc_array(self, task: Task, pool: Pool | None, n: int, size: Bytes) -> MaybeAddress:
        """Allocate an array; NULL for no elements and for a product that no ``size_t`` holds."""
        self._sizes.check(task, n=n, size=size)
        total = self._sizes.product(n, size)
        return None if total is None else (yield from self.pmalloc(task, pool, total))

    @call
    def pcalloc(self, task: Task, pool: Pool | None, n: int, size: Bytes) -> MaybeAddress:
        """Allocate an array filled with zeros; NULL where `pmalloc_array` gives NULL."""
        self._sizes.check(task, n=n, size=size)
        total = self._sizes.product(n, size)
        return None if total is None else (yield from self.pzalloc(task, pool, total))

    @call
    def pstrdup(self, task: Task, pool: Pool | None, string: str | bytes | None) -> MaybeAddress:
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
            yield from self._initialise(task, pool, "wr_memcpy", address, size)
        self._operations.end(operation)
        return address

    @call
    def wr_memset(self, task: Task, address: Address, size: Bytes) -> Written:
        """Set bytes of protected memory: ``wr_memset``.

        Returns
        -------
        bool
            Whether all of it was written: only memory of a pool that allows rare writes is.

        Raises
        ------
        ProgramError
            If this generation does not have the call.
        """
        return self._rare_write(task, "wr_memset", address, size)

    @call
    def wr_memcpy(self, task: Task, address: Address, size: Bytes) -> Written:
        """Copy bytes into protected memory: ``wr_memcpy``; see `wr_memset`.

        On v23 it stands for ``pmalloc_rare_write_array``.
        """
        return self._rare_write(task, "wr_memcpy", address, size)

    @call
    def wr_ptr(self, task: Task, address: Address) -> Written:
        """Set a pointer in protected memory: ``wr_ptr``; see `wr_memset`.

        On v23 it stands for ``pmalloc_rare_write_ptr``.
        """
        return self._rare_write(task, "wr_ptr", address, self._word)

    @call
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
        self._sizes.check(task, size=size)
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

    @call
    def pmalloc_protect_pool(self, task: Task, pool: Pool | None) -> Steps:
        """Make all that is allocated read-only: ``pmalloc_protect_pool``.

        One ``set_memory_ro`` for each area not yet protected (prmem: for each area), newest first,
        the pool's mutex held over them all. What the newest area still had to give is given up, but
        by a pool that starts protected.

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
        for area in self.generation.to_protect(pool):
            # The kernel ignores what this returns and flags the area as protected all the same.
            yield from self._set_memory.set_memory_ro(task, area.mapped.address, area.mapped.pages)
            pool.mark_protected(area, task.now, self._revocation_of(area))
            operation.pages += area.mapped.pages
        pool.mutex.unlock(task)
        self._operations.end(operation)

    @call
    def pmalloc_destroy_pool(self, task: Task, pool: Pool | None) -> Steps:
        """Give a pool and all its memory back: ``pmalloc_destroy_pool``.

        The object is freed first; then, without any lock, each area, newest first, is made writable
        again (its pages are read-only in the direct map too) and vfree'd. On v23 only what was
        protected is made writable; where freeing resets the permissions (modern), nothing is.

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
            mapped = self._flagged.pop(area.mapped.address).mapped
            if self.generation.made_writable(area):
                yield from self._set_memory.set_memory_rw(task, mapped.address, mapped.pages)
            yield from self._vmalloc.vfree(task, mapped)
        self._operations.end(operation)

    @call
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

    def _rare_write(self, task: Task, call: str, address: int, size: Bytes) -> Written:
        self._sizes.check(task, size=size)
        if call not in self.generation.rare_writes:
            raise ProgramError(
                f"pmalloc {self.generation.name} has no {call}: protected memory stays as it is;"
                " set pmalloc to prmem under kernel",
                task.now,
                task.place,
            )
        return self._rare.write(task, call, address, size)

    def _grow(self, task: Task, pool: Pool, size: Bytes) -> Generator[Any, Any, bool]:
        """Give the pool a new area; return False, and change nothing, if vmalloc fails."""
        mapped = yield from self._vmalloc.vmalloc_in(
            task, pool.growth(size), "vmalloc", flush_reset_perms=self.generation.flush_reset_perms
        )
        if mapped is None:
            return False
        yield from self._operations.compute(task, self._costs.area_lookup)
        self._flagged[mapped.address] = Flagged(mapped, pool)
        superseded = self.generation.superseded(pool)
        if pool.starts_protected:
            yield from self._set_memory.set_memory_ro(task, mapped.address, mapped.pages)
        revoked = []
        for old in superseded:
            yield from self._set_memory.set_memory_ro(task, old.mapped.address, old.mapped.pages)
            revoked.append(self._revocation_of(old))
        # Its rest is wasted because the object did not fit, not given up for its protection.
        pool.add(mapped)
        for old, revocation in zip(superseded, revoked, strict=True):
            pool.mark_protected(old, task.now, revocation)
        operation = self._operations.current(task)
        if operation is not None:
            operation.pages += mapped.pages
        return True

    def _revocation_of(self, area: PoolArea) -> Revocation | None:
        """Return how the `set_memory_ro` that has just returned revoked an area; None if not."""
        page = self._safety.page_of(area.mapped.address)
        for one in self._set_memory.revoked:
            if one.page == page:
                return one
        return None

    def _take_run(
        self, task: Task, pool: Pool, wanted: int, size: Bytes
    ) -> Generator[Any, Any, Run | None]:
        """Allocate as many of ``wanted`` objects as one area holds; None if there is no area."""
        yield from self._operations.compute(task, self._costs.pmalloc)
        if pool.space_needed(size) and not (yield from self._grow(task, pool, size)):
            return None
        more = pool.room(size, wanted) - 1
        pool.expose(task.now, size)
        first = pool.take(size)
        self._touch(task, pool)
        if more:
            start = task.now
            yield from self._operations.compute(task, more * self._costs.pmalloc)
            pool.expose_evenly(start, task.now, more, size)
            pool.take(size, more)
        return Run(first.address, first.stride, 1 + more)

    def _touch(self, task: Task, pool: Pool) -> None:
        """Note that a CPU has allocated in the newest area of a pool, if there is one."""
        if self._touched.on and pool.areas:
            mapped = pool.areas[-1].mapped
            self._touched.touch(task.cpu, mapped.address, mapped.pages)

    def _initialise(
        self, task: Task, pool: Pool | None, call: str, address: int, size: Bytes
    ) -> Steps:
        """Write a new object, by a rare write where it is protected already."""
        if pool is not None and pool.starts_protected:
            yield from self._rare.write(task, call, address, size)
        else:
            yield from self._fill(task, size)

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
        pool.close(task.now)


def _undefined(task: Task, message: str) -> UndefinedBehaviour:
    return UndefinedBehaviour(message, task.now, task.place)
