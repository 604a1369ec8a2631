"""Kernel stacks of threads: two of each CPU are kept, the others go back to vmalloc late."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.profiles import load_profile, profile_names
from pmsim.units import MS, PAGE_SIZE
from tests.kernel.booted import Booted, full

Calls = Generator[Any, Any, Any]
MAPPED = [name for name in profile_names() if load_profile(name).thread_stack]


def group(kernel: KernelHandle, threads: int) -> Calls:
    """Let some threads begin, and end."""
    stacks = []
    for _ in range(threads):
        stacks.append((yield from kernel.alloc_thread_stack()))
    for stack in stacks:
        yield from kernel.free_thread_stack(stack)


@pytest.mark.parametrize("profile", MAPPED)
@pytest.mark.parametrize("threads", [1, 2, 3, 10])
def test_of_threads_that_end_together_all_but_two_stacks_are_freed(
    profile: str, threads: int
) -> None:
    booted = Booted(profile=profile).run(lambda kernel: group(kernel, threads))
    pages = load_profile(profile).thread_stack // PAGE_SIZE
    assert [row["pages"] for row in booted.of_kind("vmalloc")] == [pages] * threads
    assert len(booted.of_kind("vfree")) == max(0, threads - 2)
    # Each with its guard.
    assert booted.kernel.vmalloc.lazy_pages == (pages + 1) * max(0, threads - 2)
    assert booted.flushes == []


def test_the_next_threads_get_the_stacks_that_were_kept() -> None:
    def program(kernel: KernelHandle) -> Calls:
        for _ in range(100):
            yield from group(kernel, 2)

    assert len(Booted().run(program).of_kind("vmalloc")) == 2


def test_each_cpu_keeps_two() -> None:
    booted = Booted(4)
    for cpu in range(4):
        booted.spawn(lambda kernel: group(kernel, 3), cpu)
    assert len(booted.run().of_kind("vfree")) == 4


@pytest.mark.parametrize("profile", MAPPED)
def test_a_worker_frees_them_soon_or_after_a_grace_period(profile: str) -> None:
    booted = Booted(profile=profile).run(lambda kernel: group(kernel, 5))
    rows = booted.of_kind("vfree")
    assert {row["workload"].split(":")[0] for row in rows} == {"kworker/0"}
    after_rcu = load_profile(profile).stack_free == "rcu"
    assert (min(row["start_ps"] for row in rows) >= 20 * MS) == after_rcu


def test_stacks_of_a_running_grace_period_and_later_ones_are_freed_one_after_the_other() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from group(kernel, 3)
        yield from kernel.task.sleep(5 * MS)
        yield from group(kernel, 4)

    booted = Booted().run(program)
    starts = [row["start_ps"] // MS for row in booted.of_kind("vfree")]
    # The first grace period began with the third thread's end, the second as the first was over.
    assert starts == [20, 40, 40]


def test_a_stack_whose_grace_period_is_over_goes_to_the_cache_if_there_is_room_by_then() -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from group(kernel, 3)
        for _ in range(2):
            yield from kernel.alloc_thread_stack()
        yield from kernel.task.sleep(50 * MS)
        yield from kernel.alloc_thread_stack()

    booted = Booted().run(program)
    assert (len(booted.of_kind("vmalloc")), len(booted.of_kind("vfree"))) == (3, 0)


@pytest.mark.parametrize(("cpus", "exits"), [(2, 3277), (64, 11469)])
def test_so_many_uncached_exits_make_one_purge(cpus: int, exits: int) -> None:
    # Stacks of 4 pages and a guard; the sum must exceed 16,384 or 57,344 pages. They begin at
    # multiples of 4 pages, so that 3 are left between two of them.
    few = Booted(cpus).run(lambda kernel: group(kernel, 2 + exits - 1))
    assert few.flushes == []
    enough = Booted(cpus).run(lambda kernel: group(kernel, 2 + exits))
    assert enough.flushes == [full("purge", 8 * exits - 3)]
    assert [row["pages"] for row in enough.of_kind("purge")] == [5 * exits]


def test_a_purge_comes_when_the_worker_that_frees_stacks_is_done_with_all() -> None:
    # The limit is exceeded half way; the worker that purges has to wait for the one that frees.
    booted = Booted(4, lazy_max_unit="256KiB").run(lambda kernel: group(kernel, 100))
    assert [row["pages"] for row in booted.of_kind("purge")] == [5 * 98]


@pytest.mark.parametrize("profile", MAPPED)
def test_a_stack_begins_where_its_overflow_can_be_told(profile: str) -> None:
    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.vmalloc(PAGE_SIZE)
        for _ in range(3):
            stack = yield from kernel.alloc_thread_stack()
            assert stack.address % load_profile(profile).thread_align == 0

    Booted(profile=profile).run(program)


def test_where_stacks_are_not_mapped_they_are_pages_of_the_direct_map() -> None:
    booted = Booted(profile="linux-4.16-x86_32")
    free = booted.kernel.frames.free
    booted.run(lambda kernel: group(kernel, 10))
    assert {row["kind"] for row in booted.operations} == {"alloc_pages", "free_pages"}
    assert {row["pages"] for row in booted.operations} == {2}
    assert booted.kernel.frames.free == free


def test_without_addresses_there_is_no_stack() -> None:
    def program(kernel: KernelHandle) -> Calls:
        stacks = []
        for _ in range(3):
            stacks.append((yield from kernel.alloc_thread_stack()))
        assert [stack is None for stack in stacks] == [False, False, True]

    Booted(vmalloc_size="64KiB").run(program)
