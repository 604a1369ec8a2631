"""Calls on the mappings of a process: in what order they work, and where they meet."""

from __future__ import annotations

import pytest

from pmsim.errors import ProgramError
from pmsim.hardware.topology import Topology
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.locks import READER_WRITES
from pmsim.kernel.lru import GUARDED
from pmsim.kernel.memcg import LEVELS
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


def test_what_is_freed_while_it_waits_comes_to_the_list_and_off_it_with_its_batch() -> None:
    booted = Booted(1, COSTS, profile="linux-6.18-x86_64")

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(kernel.kernel.user.create())
        yield from kernel.touch(20)
        yield from kernel.madvise_dontneed(20)
        yield from kernel.touch(11)

    booted.run(program)
    first, second = (row["run_ps"] for row in booted.of_kind("page_fault"))
    # The 31st fills the batch: 31 come to the list, and 20 of them are taken off again.
    each = COSTS.user_fault + COSTS.user_page_zero
    assert (first, second) == (20 * each, 11 * each + (31 + 20) * COSTS.lru_page)


def line(booted: Booted) -> int:
    """Return what a cache line takes between the CPUs that the tests use."""
    costs, topology = booted.machine.costs, booted.machine.topology
    return topology.cost(costs.ipi.line, 0, 1)


@pytest.mark.parametrize(
    ("profile", "own"), [("linux-6.1-x86_64", False), ("linux-6.12-x86_64", True)]
)
def test_faults_of_threads_take_the_line_of_their_mapping_from_each_other(
    profile: str, own: bool
) -> None:
    booted = Booted(2, COSTS, profile=profile)
    mm = booted.kernel.user.create()

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(kernel.task.cpu * MS)
        yield from kernel.read(1)
        yield from kernel.read(1)

    booted.spawn(program, 1)
    booted.run(program)
    took = [(row["cpu"], row["run_ps"]) for row in booted.of_kind("read_fault")]
    alone = COSTS.user_read_fault
    # Nobody else asks at the same time: the second CPU fetches the line of the mapping's lock once,
    # and keeps it. That of mmap_lock is reckoned twice as it comes, for the way out, too.
    lines = 1 if own else READER_WRITES
    assert took == [(0, alone), (0, alone), (1, alone + lines * line(booted)), (1, alone)]


@pytest.mark.parametrize(
    ("profile", "accesses"), [("linux-6.12-x86_64", 3), ("linux-6.18-x86_64", 2)]
)
def test_accesses_to_the_line_of_a_mapping_alternate_between_cpus_that_want_it_at_once(
    profile: str, accesses: int
) -> None:
    booted = Booted(3, profile=profile)
    mm, ends = booted.kernel.user.create(), {}

    def program(kernel: KernelHandle) -> Calls:
        task = kernel.task
        yield from task.sleep(MS)
        if task.cpu == 0:
            yield from mm.vma_lock.unlock(task)
        else:
            yield from mm.vma_lock.lock(task)
        ends[task.cpu] = task.now - MS

    for cpu in (1, 2):
        booted.spawn(program, cpu)
    booted.run(program)
    # CPU 0 has the line first, then CPU 1 and CPU 2 in turn, until each had it often enough.
    assert ends == {0: 0, 1: (2 * accesses - 1) * line(booted), 2: 2 * accesses * line(booted)}


@pytest.mark.parametrize(
    ("profile", "everything"), [("linux-4.16-x86_64", False), ("linux-5.15-x86_64", True)]
)
def test_who_zaps_while_another_cpu_does_flushes_the_whole_address_space(
    profile: str, everything: bool
) -> None:
    booted = Booted(2, COSTS, profile=profile)
    mm = booted.kernel.user.create()

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(MS)
        yield from kernel.madvise_dontneed(1)

    def alone(kernel: KernelHandle) -> Calls:
        yield from program(kernel)
        yield from kernel.task.sleep(MS)
        yield from kernel.madvise_dontneed(1)

    booted.spawn(program, 1)
    booted.run(alone)
    # The first finds the second clearing its entries; when that flushes, the first is through.
    assert [call["pages"] for call in booted.calls] == [-1 if everything else 1, 1, 1]


def test_pages_are_taken_off_the_counters_of_their_group_together() -> None:
    booted = Booted(2, COSTS, profile="linux-6.12-x86_64")

    def once(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(kernel.kernel.user.create())
        yield from kernel.touch(10)
        yield from kernel.madvise_dontneed(10)

    def other(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(MS)
        yield from once(kernel)

    def program(kernel: KernelHandle) -> Calls:
        yield from once(kernel)
        yield from kernel.task.sleep(2 * MS)
        yield from once(kernel)

    booted.spawn(other, 1)
    booted.run(program)
    touched = [row["run_ps"] for row in booted.of_kind("page_fault")]
    given_back = [row["run_ps"] for row in booted.of_kind("madvise")]
    # The other CPU fills its stock, and with that has the counters; both fetch the lock of the list
    # and what it guards, and CPU 0, whose stock lasts, the counters when it takes pages off.
    guarded = (1 + GUARDED) * line(booted)
    assert [one - touched[0] for one in touched] == [0, LEVELS * line(booted), 0]
    assert [one - given_back[0] for one in given_back] == [
        0,
        guarded,
        guarded + LEVELS * line(booted),
    ]


@pytest.mark.parametrize(("packages", "nodes_met"), [(1, True), (2, False)])
def test_pages_of_two_nodes_come_to_lists_of_their_own(packages: int, nodes_met: bool) -> None:
    topology = Topology(packages=packages, cores=2 // packages)
    booted = Booted(2, COSTS, profile="linux-6.12-x86_64", topology=topology)

    def once(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(kernel.task.cpu * MS)
        yield from kernel.use_mm(kernel.kernel.user.create())
        yield from kernel.touch(10)
        yield from kernel.madvise_dontneed(10)

    booted.spawn(once, 1)
    booted.run(once)
    first, second = (row["run_ps"] for row in booted.of_kind("madvise"))
    # The second CPU has fetched the counters as it filled its stock: what is left are the lock of
    # the list and what it guards, which the first CPU has written to if it is of the same node.
    assert second - first == (1 + GUARDED if nodes_met else 0) * line(booted)
