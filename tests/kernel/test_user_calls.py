"""Calls on the mappings of a process: in what order they work, and where they meet."""

from __future__ import annotations

import pytest

from pmsim.errors import ProgramError
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.units import MS, NS
from tests.kernel.booted import Booted
from tests.kernel.pool_programs import Calls

COSTS = KernelCosts(user_page_free=1000 * NS, lru_page=100 * NS, user_fault=500 * NS)


def test_pages_are_freed_when_every_cpu_has_dropped_them() -> None:
    booted = Booted(2, COSTS)
    mm = booted.kernel.user.create()

    def spins(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.user_compute(MS)

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(10_000)
        yield from kernel.madvise_dontneed(3)

    booted.spawn(spins, 1)
    booted.run(program)
    (flush,) = booted.calls
    (row,) = booted.of_kind("madvise")
    # Behind the flush three pages are taken off their list, and freed.
    assert row["end_ps"] - flush["end_ps"] == 3 * 100 * NS + 3 * 1000 * NS


@pytest.mark.parametrize(
    ("profile", "meet"), [("linux-6.12-x86_64", True), ("linux-6.18-x86_64", False)]
)
def test_processes_meet_at_the_lists_where_each_call_empties_its_batch(
    profile: str, meet: bool
) -> None:
    booted = Booted(2, COSTS, profile=profile)

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(kernel.kernel.user.create())
        for _ in range(10):
            yield from kernel.touch(1)
            yield from kernel.madvise_dontneed(1)

    booted.spawn(program, 1)
    booted.run(program)
    waited = sum(row["lock_wait_ps"] for row in booted.of_kind("madvise"))
    assert (waited > 0) == meet


def test_a_task_of_no_process_has_nothing_to_touch() -> None:
    with pytest.raises(ProgramError, match="page_fault by a task of no process"):
        Booted().run(lambda kernel: kernel.touch(1))


@pytest.mark.parametrize(
    ("profile", "waiting"),
    [
        ("linux-6.1-x86_64", {"page_fault", "madvise"}),
        ("linux-6.12-x86_64", {"madvise"}),
        ("linux-6.18-x86_64", set()),
    ],
)
def test_who_takes_the_lock_of_a_mapping_alone_waits_for_no_change_of_another(
    profile: str, waiting: set[str]
) -> None:
    booted = Booted(3, KernelCosts(user_mmap=MS), profile=profile)
    mm = booted.kernel.user.create()

    def maps(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.mmap(1)

    def faults(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(MS // 2)
        yield from kernel.touch(1)

    def gives_back(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(MS // 2)
        yield from kernel.madvise_dontneed(1)

    booted.spawn(faults, 1)
    booted.spawn(gives_back, 2)
    booted.run(maps)
    found = {row["kind"] for row in booted.operations if row["lock_wait_ps"] > MS // 4}
    assert found == waiting
