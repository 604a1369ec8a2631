"""Where hardware knows who holds a translation, only CPUs that touched the area are told."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

import pytest

import pmsim
from pmsim.hardware.passes import layout
from pmsim.hardware.shootdown.own import record_of
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.kernel.tlbflush import Cause
from pmsim.units import NS, PAGE_SIZE
from tests.safety import driven
from tests.safety.driven import COSTS, Driven, Hand

Calls = Generator[Any, Any, Any]

BOTH = pytest.mark.parametrize("protocol", ["directory", "coherent"])
PROFILES = pytest.mark.parametrize("profile", ["linux-6.1-x86_64", "linux-6.1-arm64"])


def machine(
    protocol: str = "directory", profile: str = "linux-6.1-x86_64", holders: str = "touched"
) -> Driven:
    return Driven(profile, shootdown={protocol: {"holders": holders}})


def told(of: Driven, cause: Cause = Cause.ATTRIBUTES) -> list[int]:
    """Return how many others each shootdown for a reason told, and forget them all."""
    of.run_all()
    of.machine.flush_log()
    rows = [int(row[layout.L_TARGETS]) for row in of.rows if row[layout.L_CAUSE] == cause]
    of.rows.clear()
    return rows


def write(of: Driven, page: int = 0) -> Callable[[Hand], Calls]:
    """Write to a page of the newest area of CPU 0."""

    def call(hand: Hand) -> Calls:
        area = of.hands[0].areas[-1]
        yield from hand.kernel.write(area.address + page * PAGE_SIZE, 8)

    return call


def do(of: Driven, cpu: int, *calls: driven.Call) -> None:
    for call in calls:
        of.tell(cpu, call)
    of.run_all()


@BOTH
@PROFILES
def test_who_has_touched_an_area_alone_tells_nobody(protocol: str, profile: str) -> None:
    few, all_ = machine(protocol, profile), machine(protocol, profile, "all")
    for of in (few, all_):
        do(of, 0, driven.vmalloc(), driven.set_memory("ro"))
    assert set(told(few)) == {0}
    assert set(told(all_)) == {3}


@BOTH
@PROFILES
def test_who_has_written_to_it_is_told_once(protocol: str, profile: str) -> None:
    of = machine(protocol, profile)
    do(of, 0, driven.vmalloc())
    do(of, 2, write(of))
    do(of, 3, write(of, 2))
    do(of, 0, driven.set_memory("ro"))
    assert max(told(of)) == 2
    do(of, 0, driven.set_memory("rw"))
    assert max(told(of)) == 0
    do(of, 3, write(of))
    do(of, 0, driven.set_memory("ro"))
    assert max(told(of)) == 1


@PROFILES
def test_permissions_that_are_given_are_told_to_those_who_hold_it_too(profile: str) -> None:
    of = machine(profile=profile)
    do(of, 0, driven.vmalloc(), driven.set_memory("ro"))
    do(of, 1, write(of))  # faults, and has walked there
    told(of)
    do(of, 0, driven.set_memory("rw"))
    assert max(told(of)) == 1


def test_another_area_is_none_of_its_business() -> None:
    of = machine()
    do(of, 0, driven.vmalloc())
    do(of, 1, write(of))
    do(of, 0, driven.vmalloc(), driven.set_memory("ro"))
    assert set(told(of)) == {0}


def test_who_allocates_in_a_pool_has_touched_its_area() -> None:
    of = machine()
    do(of, 0, driven.create_pool())
    do(of, 0, driven.allocate(64))

    def allocates(hand: Hand) -> Calls:
        yield from hand.kernel.pmalloc(of.hands[0].pools[-1], 64)

    do(of, 1, allocates)
    do(of, 2, allocates)
    do(of, 0, driven.protect)
    assert max(told(of)) == 2


def test_an_attack_reads_everything_again_and_again() -> None:
    of = machine()
    do(of, 0, driven.vmalloc())

    def attacks(hand: Hand) -> Calls:
        yield from hand.kernel.overwrite(of.hands[0].areas[-1].address, 8)

    do(of, 1, attacks)
    do(of, 0, driven.set_memory("ro"), driven.set_memory("rw"), driven.set_memory("ro"))
    assert set(told(of)) == {1}


def test_a_purge_is_about_what_was_freed_and_not_about_the_gaps() -> None:
    of = machine()
    do(of, 0, driven.vmalloc())
    freed = of.hands[0].areas[0]
    do(of, 0, driven.vmalloc())
    do(of, 1, write(of))  # to an area between two that are freed
    do(of, 0, driven.vmalloc())
    do(of, 2, write(of))
    hand = of.hands[0]
    hand.areas = [freed, hand.areas[2]]
    do(of, 0, driven.vfree, driven.vfree, driven.purge)
    assert told(of, Cause.PURGE) == [0, 1]  # before permissions of the second are changed, at last


def test_whoever_asks_for_a_flush_means_all_that_hold_the_range() -> None:
    of = machine()
    do(of, 0, driven.vmalloc())
    do(of, 1, write(of))

    def flushes(hand: Hand) -> Calls:
        area = of.hands[0].areas[-1]
        yield from hand.kernel.flush_tlb_kernel_range(area.address, area.address + PAGE_SIZE)

    do(of, 2, flushes)
    assert told(of, Cause.REQUEST) == [2]


def test_a_directory_takes_a_message_for_each_holder_and_the_longest_way() -> None:
    of = machine()
    do(of, 0, driven.vmalloc())
    do(of, 2, write(of))
    of.rows.clear()
    do(of, 0, driven.set_memory("ro"))
    of.machine.flush_log()
    (row,) = (row for row in of.rows if row[layout.L_CAUSE] == Cause.ATTRIBUTES)
    costs = COSTS.directory
    assert costs is not None
    parts = int(row[layout.L_FUNCTION]), int(row[layout.L_DELIVERY])
    assert parts == (costs.lookup + costs.message, costs.round_trip[0])


def test_of_a_process_those_in_its_mask_hold_it() -> None:
    of = machine()
    do(of, 0, driven.mprotect)
    assert told(of, Cause.USER) == [3]  # a thread of it runs on each CPU


OF_PROCESSES: dict[str, tuple[driven.Call, list[int]]] = {
    "copy": (lambda hand: hand.kernel.fork(4), [-1]),
    "write to a shared page": (lambda hand: hand.kernel.wp_page_copy(2), [1, 1]),
    "scan": (lambda hand: hand.kernel.task_numa_work(4), [4]),
    "take pages from": (lambda hand: hand.kernel.shrink_page_list(4), [-1]),
    "replay": (lambda hand: hand.kernel.flush_tlb_multi([1, 2], 3), [3]),
}
"""Calls that flush a process in other ways than `mprotect` and `munmap` do, and of how many pages
(-1: everything)."""


@BOTH
@pytest.mark.parametrize("call", OF_PROCESSES)
def test_no_flush_of_a_process_interrupts_anybody(protocol: str, call: str) -> None:
    of = machine(protocol, holders="all")
    begins, pages = OF_PROCESSES[call]
    do(of, 0, begins)
    of.machine.flush_log()
    directory, coherent = COSTS.directory, COSTS.coherent
    assert directory is not None
    assert coherent is not None
    if protocol == "directory":  # of a range as of everything
        takes = [directory.lookup + 3 * directory.message + directory.round_trip[0]] * len(pages)
    else:  # everything has been dropped by the stores; up to eight entries are one line
        takes = [0 if n < 0 else coherent.store[0] for n in pages]
    rows = [(row[layout.L_PAGES], row[layout.L_TARGETS]) for row in of.rows]
    assert rows == [(n, 3) for n in pages]
    assert [row[layout.L_END] - row[layout.L_START] for row in of.rows] == takes
    assert not of.machine.accounts()["handlers"].any()


def test_of_a_replayed_flush_those_that_it_names_hold_it() -> None:
    of = machine()
    do(of, 0, lambda hand: hand.kernel.flush_tlb_multi([1, 2], 3))
    assert told(of, Cause.USER) == [2]


class Asks:
    """Calls those who hold it."""

    promises = "gone"

    def shootdown(self, initiator: Any, flush: Any) -> Any:
        yield from initiator.cross_call(initiator.holders(flush), flush.function)


def test_a_protocol_of_somebodys_own_can_ask_who_holds_it() -> None:
    of = Driven(shootdown=Shootdown(record_of("asks", Asks)))
    do(of, 0, driven.vmalloc())
    do(of, 1, write(of))
    do(of, 0, driven.set_memory("ro"))
    assert max(told(of)) == 1
    do(of, 0, driven.mprotect)
    assert told(of, Cause.USER) == [3]


@pytest.mark.parametrize("cpus", [2, 64])
def test_in_the_question_about_protocols_a_directory_is_only_looked_up(cpus: int) -> None:
    directory = {"kernel.shootdown": {"directory": {"holders": "touched"}}}
    question = pmsim.load("protocols").without_sweep().with_({**directory, "machine.cpus": cpus})
    calls = pmsim.run(question).crosscalls
    assert set(calls["end_ps"] - calls["start_ps"]) == {30 * NS}
    assert set(calls["targets"]) == {0}
