"""User address spaces: whom a flush goes to, on each kind of kernel, and what switching costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pmsim.errors import ProgramError
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.user_mm import UserMm
from pmsim.units import MS, US
from tests.kernel.booted import INVLPGB, TLBI, TLBI_RANGE, Booted, Ear, Flush
from tests.kernel.pool_programs import Calls

LAZY_INTERRUPTED = "linux-4.16-x86_64"


def process(booted: Booted, spin: Any = (), sleep: Any = ()) -> UserMm:
    """Start a process whose threads compute on some CPUs and sleep on others."""
    mm = booted.kernel.user.create()

    def thread(wait: str) -> Callable[[KernelHandle], Calls]:
        def program(kernel: KernelHandle) -> Calls:
            yield from kernel.use_mm(mm)
            yield from getattr(kernel.task, wait)(10 * MS)

        return program

    for wait, cpus in (("compute", spin), ("sleep", sleep)):
        for cpu in cpus:
            booted.spawn(thread(wait), cpu)
    return mm


def calls_of(booted: Booted, mm: UserMm, *steps: Callable[[KernelHandle], Calls]) -> list[Any]:
    """Let a thread on CPU 0 take steps once the others have begun; the broadcasts' targets."""

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(10 * US)
        for step in steps:
            yield from step(kernel)

    booted.run(program)
    assert {flush.cause for flush in booted.flushes} <= {"user"}
    return [call["targets"] for call in booted.calls]


def protect(pages: int = 1) -> Callable[[KernelHandle], Calls]:
    return lambda kernel: kernel.mprotect(pages)


def unmap(pages: int = 1, *, frees_tables: bool) -> Callable[[KernelHandle], Calls]:
    return lambda kernel: kernel.munmap(pages, frees_tables=frees_tables)


# Whom a flush goes to


@pytest.mark.parametrize("profile", ["linux-6.1-x86_64", LAZY_INTERRUPTED])
def test_a_change_interrupts_the_cpus_that_run_the_process_and_no_other(profile: str) -> None:
    booted = Booted(8, profile=profile)
    assert calls_of(booted, process(booted, spin=[2, 5]), protect(), protect()) == [2, 2]
    handlers = booted.machine.accounts()["handlers"].tolist()
    assert handlers == [0, 0, 2, 0, 0, 2, 0, 0]


def test_a_process_of_one_thread_that_never_moved_calls_nobody() -> None:
    booted = Booted()
    assert calls_of(booted, process(booted), protect()) == []
    (row,) = booted.of_kind("mprotect")
    # The flush of its own CPU is all there is: 1.5 µs, a page of 20 ns, and one INVLPG of 100 ns.
    assert row["run_ps"] == 1_620_000
    assert row["crosscalls"] == 0


def test_a_cpu_whose_thread_sleeps_is_in_the_mask_but_left_alone() -> None:
    booted = Booted()
    mm = process(booted, sleep=[1])
    # The call is entered, for nobody.
    assert calls_of(booted, mm, protect(), protect()) == [0, 0]
    assert mm.cpus == {0, 1}


def test_before_5_4_a_sleeping_thread_s_cpu_is_interrupted_once_and_leaves() -> None:
    booted = Booted(profile=LAZY_INTERRUPTED)
    mm = process(booted, sleep=[1], spin=[2])
    assert calls_of(booted, mm, protect(), protect()) == [2, 1]
    assert mm.cpus == {0, 2}


def test_freed_page_tables_are_told_to_sleepers_too_who_then_leave() -> None:
    booted = Booted()
    mm = process(booted, sleep=[1, 3])
    freeing, keeping = unmap(frees_tables=True), unmap(frees_tables=False)
    assert calls_of(booted, mm, keeping, freeing, freeing) == [0, 2]
    assert mm.cpus == {0}


def test_a_thread_that_sleeps_through_a_flush_finds_its_translations_old_when_it_wakes() -> None:
    booted = Booted()
    mm = booted.kernel.user.create()
    woken = Ear()

    def sleeper(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        for _ in range(2):
            yield from kernel.task.sleep(MS)
            start = kernel.task.now
            yield from kernel.use_mm(mm)
            woken(kernel.task.now - start)

    booted.spawn(sleeper, 1)
    calls_of(booted, mm, protect())
    # It pays for one flush of everything, after the change; the second time nothing has changed.
    assert woken.heard == [400_000, 0]
    assert mm.switch_flushes == 3


def test_a_thread_that_wakes_just_as_another_cpu_flushes_is_told() -> None:
    # Waking is interrupt work, and comes before the step that flushes (machine-model, section 1).
    booted = Booted(2, KernelCosts(user_mprotect=0, user_mapping_page=0))
    mm = booted.kernel.user.create()

    def sleeper(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(10 * US - kernel.task.now)
        yield from kernel.task.compute(US)

    def flushes(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(10 * US - kernel.task.now)
        yield from kernel.mprotect(1)

    booted.spawn(sleeper, 1)
    booted.run(flushes)
    assert [(call["start_ps"], call["targets"]) for call in booted.calls] == [(10 * US, 1)]


def test_a_cpu_that_runs_another_process_leaves_the_mask() -> None:
    booted = Booted()
    mm, other = process(booted, sleep=[1]), booted.kernel.user.create()

    def neighbour(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(other)
        yield from kernel.task.compute(MS)

    booted.spawn(neighbour, 1)
    assert calls_of(booted, mm, protect()) == []
    assert (mm.cpus, other.cpus) == ({0}, {1})


def test_a_kernel_thread_borrows_the_address_space_of_whom_it_displaces() -> None:
    booted = Booted()
    mm = process(booted, sleep=[1])
    booted.spawn(lambda kernel: kernel.task.compute(MS), 1)
    assert calls_of(booted, mm, protect()) == [0]
    assert mm.cpus == {0, 1}


# What a flush is


def test_up_to_the_ceiling_pages_are_dropped_one_by_one_and_above_it_all_of_them() -> None:
    booted = Booted()
    calls_of(booted, process(booted, spin=[1]), protect(33), protect(34))
    assert booted.flushes == [Flush("user", "range", 33), Flush("user", "full", 34)]


@pytest.mark.parametrize("tlbi", [None, TLBI_RANGE])
def test_on_arm_a_change_is_broadcast_and_interrupts_nobody(tlbi: Any) -> None:
    booted = Booted(profile="linux-6.1-arm64", tlbi=tlbi)
    mm = process(booted, spin=[1, 2])
    calls_of(booted, mm, protect(8), protect(511), protect(512), protect(513))
    # 8 pages are one range of 4 units of 2 pages; 512 one of 8 units of 64. From 512 pages on one
    # operation names the whole address space, and empties no TLB, unless the CPUs have ranges.
    operations = [8, 511, 1, 1] if tlbi is None else [1, 3, 1, 2]
    assert [(flush.protocol, flush.invalidations) for flush in booted.flushes] == [
        ("tlbi", count) for count in operations
    ]
    assert booted.machine.accounts()["handlers"].sum() == 0
    assert mm.switch_flushes == 0


@pytest.mark.parametrize(
    ("tlbi", "pages", "operations"),
    [
        (None, 1, [1, 1]), (None, 512, [1, 1]), (None, 513, [1, 2]),
        (TLBI_RANGE, 1, [1, 1]), (TLBI_RANGE, 33, [2, 1]), (TLBI_RANGE, 4096, [1, 1]),
    ],
)  # fmt: skip
def test_on_arm64_page_tables_that_go_are_a_flush_of_their_own(
    tlbi: Any, pages: int, operations: list[int]
) -> None:
    booted = Booted(profile="linux-6.1-arm64", tlbi=tlbi)
    calls_of(booted, process(booted), unmap(pages, frees_tables=True))
    assert [flush.invalidations for flush in booted.flushes] == operations


@pytest.mark.parametrize(("pages", "second"), [(1, 257), (512, 257), (513, 769)])
def test_on_arm32_a_table_that_goes_is_257_operations_and_each_more_512(
    pages: int, second: int
) -> None:
    booted = Booted(profile="linux-6.1-arm32")
    calls_of(booted, process(booted), unmap(pages, frees_tables=True))
    assert [flush.invalidations for flush in booted.flushes] == [pages, second]


def test_an_erratum_makes_user_flushes_interrupt_those_who_run_the_process() -> None:
    booted = Booted(profile="linux-6.1-arm32", tlbi=replace(TLBI, erratum_798181=True))
    calls_of(booted, process(booted, spin=[1, 3]), protect(4))
    assert [flush.protocol for flush in booted.flushes] == ["tlbi", "ipi"]
    assert booted.machine.accounts()["handlers"].sum() == 2


def test_on_risc_v_tables_that_go_flush_the_whole_address_space() -> None:
    booted = Booted(profile="linux-6.12-riscv64")
    calls_of(booted, process(booted, spin=[1]), unmap(1, frees_tables=True))
    assert [flush.kind for flush in booted.flushes] == ["range", "full"]


def test_before_5_10_arm_invalidates_user_pages_one_by_one_whatever_its_cpus_can() -> None:
    booted = Booted(profile="linux-4.16-arm64", tlbi=TLBI_RANGE)
    calls_of(booted, process(booted), protect(8))
    assert [flush.invalidations for flush in booted.flushes] == [8]


def test_on_risc_v_the_firmware_calls_the_cpus_of_the_mask() -> None:
    booted = Booted(profile="linux-6.12-riscv64")
    assert calls_of(booted, process(booted, spin=[1, 3]), protect()) == [2]
    assert [flush.protocol for flush in booted.flushes] == ["sbi"]


def test_with_invlpgb_a_process_on_more_than_three_cpus_is_flushed_without_interrupts() -> None:
    for cpus, protocol in (([1, 2], "ipi"), ([1, 2, 3], "tlbi")):
        booted = Booted(profile="linux-6.18-x86_64", tlbi=INVLPGB)
        calls_of(booted, process(booted, spin=cpus), protect(9))
        (flush,) = booted.flushes
        assert flush.protocol == protocol
    # 9 pages at 8 pages an operation.
    assert flush.invalidations == 2


def test_from_how_many_cpus_on_invlpgb_is_used_may_be_chosen() -> None:
    booted = Booted(profile="linux-6.18-x86_64", tlbi=INVLPGB, shootdown={"tlbi": {"user_cpus": 3}})
    calls_of(booted, process(booted, spin=[1, 2]), protect(9))
    assert [flush.protocol for flush in booted.flushes] == ["tlbi"]


def test_a_process_of_one_cpu_may_be_flushed_there_without_a_broadcast() -> None:
    for cpus, protocols in (([], []), ([1], ["tlbi"])):
        booted = Booted(profile="linux-6.12-arm64", user_flush_local=True)
        calls_of(booted, process(booted, spin=cpus), protect(9))
        assert [flush.protocol for flush in booted.flushes] == protocols


# Address-space numbers


@pytest.mark.parametrize(("processes", "flushed"), [(6, 6), (7, 14)])
def test_a_cpu_keeps_six_address_spaces_apart_and_flushes_whom_it_has_forgotten(
    processes: int, flushed: int
) -> None:
    booted = Booted(1)
    mms = [booted.kernel.user.create() for _ in range(processes)]

    def program(kernel: KernelHandle) -> Calls:
        for mm in [*mms, *mms]:
            yield from kernel.use_mm(mm)

    booted.run(program)
    # Each is flushed when it is taken up; a seventh, in turn, throws each out before it is back.
    assert sum(mm.switch_flushes for mm in mms) == flushed


def test_without_pcids_every_switch_flushes() -> None:
    booted = Booted(1, profile="linux-4.16-x86_32")
    mms = [booted.kernel.user.create() for _ in range(2)]

    def program(kernel: KernelHandle) -> Calls:
        for mm in mms * 3:
            yield from kernel.use_mm(mm)

    booted.run(program)
    assert [mm.switch_flushes for mm in mms] == [3, 3]


# Calls


def test_two_threads_change_their_mappings_one_after_the_other() -> None:
    booted = Booted()
    mm = booted.kernel.user.create()

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.mprotect(1000)

    booted.spawn(program, 1)
    booted.run(program)
    waits = sorted(row["lock_wait_ps"] for row in booted.of_kind("mprotect"))
    assert waits[0] == 0
    # The first one's work, 1,000 pages of 20 ns, lies behind the lock.
    assert waits[1] > 20 * US


def waits_of_two(
    profile: str, first: Callable[[KernelHandle], Calls], second: Callable[[KernelHandle], Calls]
) -> list[int]:
    """Return how long two threads wait for locks, of which the second begins 1 µs later."""
    booted = Booted(2, profile=profile)
    mm = booted.kernel.user.create()

    def thread(begin: int, step: Callable[[KernelHandle], Calls]) -> Callable[..., Calls]:
        def program(kernel: KernelHandle) -> Calls:
            yield from kernel.use_mm(mm)
            yield from kernel.task.compute(begin)
            yield from step(kernel)

        return program

    booted.spawn(thread(11 * US, second), 1)
    booted.run(thread(10 * US, first))
    rows = [row for kind in ("madvise", "munmap", "page_fault") for row in booted.of_kind(kind)]
    return [row["lock_wait_ps"] for row in sorted(rows, key=lambda row: row["cpu"])]


def test_two_threads_give_memory_back_at_the_same_time() -> None:
    def give_back(kernel: KernelHandle) -> Calls:
        return kernel.madvise_dontneed(1000)

    # Freeing takes 150 ns a page, of which they wait for the lock of the LRU lists alone.
    assert waits_of_two("linux-6.1-x86_64", give_back, give_back)[1] < 50 * US


def test_a_page_is_faulted_in_while_others_are_unmapped_since_4_20() -> None:
    def fault(kernel: KernelHandle) -> Calls:
        return kernel.touch(1)

    unmapped = unmap(1000, frees_tables=False)
    new = waits_of_two("linux-6.1-x86_64", unmapped, fault)[1]
    old = waits_of_two(LAZY_INTERRUPTED, unmapped, fault)[1]
    # The munmap takes 150 ns for each page that it frees.
    assert new < 10 * US
    assert old > 150 * US


def test_a_task_of_no_process_has_no_mappings_to_change() -> None:
    with pytest.raises(ProgramError, match="munmap by a task of no process"):
        Booted().run(lambda kernel: kernel.munmap(1))


# Address spaces as the kernel's page table sees them


def test_threads_of_a_process_share_an_address_space_and_any_other_task_has_its_own() -> None:
    booted = Booted()
    mm = process(booted, sleep=[1, 2])
    booted.spawn(lambda kernel: kernel.task.sleep(MS), 3)
    counted = Ear()

    def program(kernel: KernelHandle) -> Calls:
        user = kernel.kernel.user
        yield from kernel.task.sleep(US)
        counted((len(user), user.of(kernel.task) is kernel.task))
        yield from kernel.use_mm(mm)
        counted((len(user), user.of(kernel.task) is mm))

    booted.run(program)
    # A process of two threads and two tasks by themselves, one of which then joins it.
    assert counted.heard == [(3, True), (2, True)]


def test_on_x86_32_a_process_faults_once_for_each_region_whichever_of_its_threads_comes() -> None:
    def faults(*, together: bool) -> int:
        booted = Booted(2, profile="linux-4.16-x86_32", pae=False)
        mm, address = booted.kernel.user.create(), Ear()

        def program(kernel: KernelHandle) -> Calls:
            if together:
                yield from kernel.use_mm(mm)
            if kernel.task.cpu == 0:
                address((yield from kernel.vmalloc(1)).address)
            yield from kernel.task.sleep(MS)
            yield from kernel.write(address.heard[0], 8)

        for cpu in (0, 1):
            booted.spawn(program, cpu)
        return len(booted.run().of_kind("vmalloc_fault"))

    assert (faults(together=False), faults(together=True)) == (2, 1)
