"""Which locks a pool holds, and over what."""

from __future__ import annotations

import pytest

from pmsim.errors import UndefinedBehaviour
from pmsim.kernel.handle import KernelHandle
from tests.kernel.booted import Booted
from tests.kernel.pool_programs import Calls, filled


def test_a_protection_holds_the_pools_mutex_over_all_its_broadcasts() -> None:
    booted, pools = Booted(), []

    def protector(kernel: KernelHandle) -> Calls:
        pools.append((yield from filled(kernel, 5)))
        yield from kernel.pmalloc_protect_pool(pools[0])

    def allocator(kernel: KernelHandle) -> Calls:
        # Asks while the first of five broadcasts is under way.
        while not booted.calls and not pools:
            yield from kernel.task.sleep(1_000_000)
        yield from kernel.task.sleep(3_000_000)
        yield from kernel.pmalloc(pools[0], 24)

    booted.spawn(protector, 0)
    booted.spawn(allocator, 1)
    booted.run()
    (protect,) = booted.of_kind("pmalloc_protect_pool")
    late = booted.of_kind("pmalloc")[-1]
    assert protect["start_ps"] < late["start_ps"] < protect["end_ps"] <= late["end_ps"]
    assert late["lock_wait_ps"] >= protect["end_ps"] - late["start_ps"]


def test_protections_of_two_pools_overlap() -> None:
    def program(kernel: KernelHandle) -> Calls:
        pool = yield from filled(kernel, 5)
        yield from kernel.pmalloc_protect_pool(pool)

    booted = Booted()
    booted.spawn(program, 0)
    booted.spawn(program, 1)
    booted.run()
    first, second = booted.of_kind("pmalloc_protect_pool")
    assert max(first["start_ps"], second["start_ps"]) < min(first["end_ps"], second["end_ps"])


def test_who_waits_for_a_pool_while_it_is_destroyed_wakes_in_freed_memory() -> None:
    booted, pools = Booted(), []

    def owner(kernel: KernelHandle) -> Calls:
        pools.append((yield from filled(kernel, 5)))
        yield from kernel.pmalloc_protect_pool(pools[0])
        yield from kernel.pmalloc_destroy_pool(pools[0])

    def latecomer(kernel: KernelHandle) -> Calls:
        while not pools:
            yield from kernel.task.sleep(1_000_000)
        yield from kernel.task.sleep(3_000_000)
        yield from kernel.pmalloc(pools[0], 24)

    booted.spawn(owner, 0)
    booted.spawn(latecomer, 1)
    with pytest.raises(UndefinedBehaviour, match=r"works on it|after it was destroyed"):
        booted.run()
