"""How long pools are open, and what an attack writes: by arithmetic, on the small machine."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

import pmsim
from pmsim.hardware.fabric import CROSSCALL_COLUMNS
from pmsim.hardware.shootdown.own import record_of
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.kernel.addresses.writes import Outcome
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.units import NS, PAGE_SIZE, US, S
from tests.kernel.booted import Booted
from tests.safety import driven

Calls = Generator[Any, Any, Any]

PAGES = 3
COSTS = KernelCosts(set_memory_page=70 * NS)

QUEUE, SEND, DELIVERY, ENTRY, FLUSH = 20 * NS, 80 * NS, 400 * NS, 250 * NS, 400 * NS
"""Of the small machine."""


def protects(kernel: KernelHandle, heard: list[int], size: int = 5000) -> Calls:
    pool = yield from kernel.pmalloc_create_pool(PAGES * PAGE_SIZE, 3)
    yield from kernel.pmalloc(pool, size)
    heard.append(kernel.task.now)
    yield from kernel.task.compute(US)
    yield from kernel.pmalloc_protect_pool(pool)


def computes(kernel: KernelHandle) -> Calls:
    yield from kernel.task.compute(100 * US)


def protected(cpus: int = 3) -> tuple[Booted, int]:
    """A pool of one area that is protected, and when it was allocated from."""
    booted, heard = Booted(cpus, COSTS, direct_map_leaf="4KiB"), list[int]()
    for cpu in range(1, cpus):
        booted.spawn(computes, cpu)
    booted.run(lambda kernel: protects(kernel, heard))
    return booted, heard[0]


def test_an_area_is_stale_from_its_entries_change_until_the_last_cpu_has_flushed() -> None:
    booted, _ = protected()
    (call,) = booted.calls
    # Between the entries and the call those of the direct map are changed.
    written = call["start_ps"] - PAGES * COSTS.set_memory_page
    (pool,) = booted.kernel.pmalloc.pools
    stale = pool.staleness.at(booted.machine.now)
    # Two targets are queued, sent to by one write, and flush everything.
    gone = call["start_ps"] + 2 * QUEUE + SEND + DELIVERY + ENTRY + FLUSH
    assert call["gone_ps"] == gone
    assert stale.longest_ps == stale.total_ps == gone - written
    assert stale.byte_ps == 5000 * (gone - written)


def test_nobody_could_use_it_while_all_are_in_their_handlers() -> None:
    booted, _ = protected()
    (pool,) = booted.kernel.pmalloc.pools
    assert pool.staleness.at(0).closed_ps == ENTRY + FLUSH


def test_bytes_are_writable_until_their_entry_is_changed() -> None:
    booted, allocated = protected()
    (call,) = booted.calls
    (pool,) = booted.kernel.pmalloc.pools
    written = call["start_ps"] - PAGES * COSTS.set_memory_page
    assert pool.writable.at(booted.machine.now) == 5000 * (written - allocated)


def test_what_the_hardware_drops_is_closed_no_earlier_than_gone() -> None:
    heard: list[int] = []
    booted = Booted(3, COSTS, profile="linux-4.16-arm64")
    booted.run(lambda kernel: protects(kernel, heard))
    (pool,) = booted.kernel.pmalloc.pools
    stale = pool.staleness.at(0)
    assert stale.total_ps > 0
    assert stale.closed_ps == 0


def goes_on() -> dict[str, Any]:
    """A kernel whose shootdowns nobody waits for."""

    class Mine:
        promises = "requested"

        def shootdown(self, initiator: Any, flush: Any) -> Any:
            yield from initiator.cross_call(flush.targets, flush.function, wait=False)

    return {"shootdown": Shootdown(record_of("mine", Mine)), "unsafe": True}


def test_an_area_that_nobody_waits_for_is_stale_until_the_last_function_has_ended() -> None:
    heard: list[int] = []
    booted = Booted(3, COSTS, direct_map_leaf="4KiB", **goes_on())
    for cpu in (1, 2):
        booted.spawn(computes, cpu)
    booted.run(lambda kernel: protects(kernel, heard))
    (call,) = booted.calls
    written = call["start_ps"] - PAGES * COSTS.set_memory_page
    (pool,) = booted.kernel.pmalloc.pools
    stale = pool.staleness.at(booted.machine.now)
    gone = call["start_ps"] + 2 * QUEUE + SEND + DELIVERY + ENTRY + FLUSH
    assert (call["end_ps"], call["gone_ps"]) == (gone - DELIVERY - ENTRY, gone)
    assert (stale.longest_ps, stale.closed_ps) == (gone - written, ENTRY + FLUSH)


@pytest.mark.parametrize("waited", [True, False])
def test_an_attack_lands_then_passes_by_an_old_translation_then_faults(waited: bool) -> None:
    kernel = {} if waited else goes_on()
    booted, heard = Booted(2, COSTS, direct_map_leaf="4KiB", **kernel), list[int]()

    def attacks(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(2 * US)
        while not kernel.kernel.pmalloc.pools or not kernel.kernel.pmalloc.pools[0].areas:
            yield from kernel.task.compute(10 * NS)
        (area,) = kernel.kernel.pmalloc.pools[0].areas
        for _ in range(400):
            yield from kernel.overwrite(area.mapped.address, 8)
            yield from kernel.task.compute(20 * NS)

    booted.machine.keep_acks = True
    booted.spawn(attacks, 1)
    booted.run(lambda kernel: protects(kernel, heard))
    (call,), (acks,) = booted.calls, booted.machine.acks
    written = call["start_ps"] - PAGES * COSTS.set_memory_page
    rows = booted.kernel.writes.overwrites
    by = {outcome: [one.at_ps for one in rows if one.outcome is outcome] for outcome in Outcome}
    assert all(by.values())
    assert max(by[Outcome.LANDED]) <= written <= min(by[Outcome.STALE])
    # What is not waited for is acknowledged as its function begins.
    dropped = acks[1] if waited else acks[1] + FLUSH
    assert max(by[Outcome.STALE]) < dropped <= min(by[Outcome.FAULTED])
    assert call["gone_ps"] == dropped


def test_an_attack_lands_as_often_as_the_writable_share_of_the_pool_says() -> None:
    rate = 100_000
    # So few writes that none waits for the one before: then they come at any time alike.
    keys = {
        "workloads.tables.pools": 60,
        "workloads.tables.destroy": True,
        "workloads.attack.arrival": {"poisson": f"{rate}/s"},
    }
    result = pmsim.run(pmsim.load("overwrite").with_(**keys))
    told, calls = result.summary.overwritten, result.crosscalls
    assert told is not None
    protected = calls[calls.operation.isin(_ids(result, "set_memory_ro"))].start_ps.tolist()
    open_ps = 0.0
    for number, row in enumerate(result.operations.query("kind == 'alloc_many'").itertuples()):
        # All of what there is can be written while it is handed out; then, of 16 areas, one less
        # from each change of entries on, which is over when its shootdown begins.
        open_ps += row.end_ps - row.start_ps
        before = row.end_ps
        for left, at in zip(range(16, 0, -1), protected[16 * number :], strict=False):
            open_ps += (at - before) * left / 16
            before = at
    expected = 7 * rate * open_ps / S
    assert told.landed == pytest.approx(expected, abs=4 * expected**0.5)
    assert 0 < told.stale <= told.landed
    assert len(result.overwrites) == told.writes == told.landed + told.stale + told.faulted


def _ids(result: pmsim.Result, kind: str) -> set[int]:
    return set(result.operations.query("kind == @kind").id)


def test_where_tlbs_follow_stores_a_purge_waits_for_what_was_freed_not_for_the_gaps() -> None:
    machine = driven.Driven(shootdown="coherent")
    for call in (driven.vmalloc(6), driven.vmalloc(600), driven.vmalloc(6)):
        machine.tell(0, call)

    def frees_both_ends(hand: driven.Hand) -> Calls:
        for area in (hand.areas[0], hand.areas[2]):
            yield from hand.kernel.vfree(area)

    machine.tell(0, frees_both_ends)
    machine.tell(0, driven.purge)
    assert machine.run_all().found() == []
    (row,) = [dict(zip(CROSSCALL_COLUMNS, row, strict=True)) for row in machine.rows]
    # Two areas of six pages and a guard: 14 entries are in two lines, at 1 ps a store.
    assert row["pages"] == 14
    assert row["gone_ps"] - row["start_ps"] == 2
