"""Forks, programs and ends of processes: how many flushes, and whom they go to.

The counts are those of the source: ``dup_mmap`` ends with one ``flush_tlb_mm``, ``wp_page_copy``
has a ``ptep_clear_flush`` for each page, ``exit_mmap`` one ``tlb_finish_mmu`` that frees tables.
"""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.hardware.task import Task
from pmsim.kernel.handle import KernelHandle
from pmsim.units import MS
from tests.kernel.booted import EVERYTHING, Booted
from tests.kernel.pool_programs import Calls

X86 = ("linux-4.16-x86_64", "linux-6.1-x86_64", "linux-6.12-x86_64", "linux-6.18-x86_64")
ARM = ("linux-6.1-arm64", "linux-6.12-arm64")


def targets(booted: Booted) -> list[int]:
    return [call["targets"] for call in booted.calls]


def process(profile: str, act: Any, threads: int = 2, spins: int = 10) -> Booted:
    """Let a thread on CPU 0 act after 1 ms, while so many others compute, for so long."""
    booted = Booted(4, profile=profile)
    mm = booted.kernel.user.process("server")

    def other(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.user_compute(spins * MS)
        yield from kernel.exit_mm()

    def acting(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(MS)
        yield from act(kernel)

    for cpu in range(1, 1 + threads):
        booted.spawn(other, cpu)
    return booted.run(acting)


@pytest.mark.parametrize("profile", X86)
def test_a_fork_is_one_flush_of_everything_for_the_cpus_of_the_process(profile: str) -> None:
    booted = process(profile, lambda kernel: kernel.fork(100))
    fork = booted.calls[0]
    assert (fork["targets"], fork["pages"]) == (2, EVERYTHING)
    assert booted.flushes[0].kind == "full"
    (row,) = booted.of_kind("fork")
    assert row["crosscalls"] == 1


@pytest.mark.parametrize("profile", X86)
def test_each_page_that_is_written_to_while_it_is_shared_is_a_flush_of_a_page(profile: str) -> None:
    booted = process(profile, lambda kernel: kernel.wp_page_copy(5))
    (row,) = booted.of_kind("wp_page_copy")
    assert row["crosscalls"] == 5
    assert [flush.pages for flush in booted.flushes[:5]] == [1] * 5


@pytest.mark.parametrize("profile", ARM)
def test_on_arm_a_fork_a_program_and_its_end_are_a_broadcast_each(profile: str) -> None:
    def act(kernel: KernelHandle) -> Calls:
        child = yield from kernel.fork(100)
        yield from kernel.use_mm(child)
        yield from kernel.execve(100)
        yield from kernel.exit_mm()

    booted = process(profile, act)
    kinds = ("fork", "execve", "exit_mm")
    assert [booted.of_kind(kind)[0]["crosscalls"] for kind in kinds] == [1, 1, 1]
    assert all(flush.invalidations == 1 for flush in booted.flushes)


@pytest.mark.parametrize("profile", [*X86, *ARM])
def test_a_child_that_shares_the_address_space_until_it_runs_a_program_flushes_none_of_it(
    profile: str,
) -> None:
    def act(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm((yield from kernel.vfork()))

    assert process(profile, act, threads=0).calls == []


@pytest.mark.parametrize("profile", X86)
def test_the_last_thread_interrupts_cpus_that_borrow_the_address_space(profile: str) -> None:
    def act(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(5 * MS)
        yield from kernel.exit_mm(10)

    # The others ended at 2 ms, and their CPUs idle.
    assert targets(process(profile, act, spins=2)) == [2]


@pytest.mark.parametrize("profile", X86)
def test_a_thread_that_is_not_the_last_flushes_nothing_as_it_ends(profile: str) -> None:
    booted = process(profile, lambda kernel: kernel.exit_mm(10), threads=1)
    first, last = booted.of_kind("exit_mm")
    assert (first["crosscalls"], last["crosscalls"]) == (0, 1)


def test_a_program_in_a_process_of_one_thread_interrupts_nobody() -> None:
    def act(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm((yield from kernel.fork(100)))
        yield from kernel.execve(100)
        yield from kernel.exit_mm()

    assert process("linux-6.1-x86_64", act, threads=0).calls == []


def test_pages_that_the_parent_shares_are_not_freed_with_a_child() -> None:
    """They take as long to go as to copy; pages of its own are freed, one by one."""

    def act(kernel: KernelHandle) -> Calls:
        for shared in (1_000, 0):
            yield from kernel.use_mm((yield from kernel.fork(1_000)))
            yield from kernel.execve(1_000, shared=shared)

    booted = process("linux-6.1-x86_64", act, threads=0)
    lengths = [row["end_ps"] - row["start_ps"] for row in booted.of_kind("execve")]
    costs = booted.kernel.context.costs
    own = costs.user_mapping_page + costs.user_page_free
    assert lengths[1] - lengths[0] >= 1_000 * (own - costs.user_fork_page)


def forked(profile: str, act: Any, threads: int = 0) -> Booted:
    """Let a process fork a child onto CPU 3, which acts there after 1 ms and ends."""

    def parent(kernel: KernelHandle) -> Calls:
        mm = yield from kernel.fork(100)

        def child(task: Task) -> Calls:
            seen = KernelHandle(kernel.kernel, task)
            yield from seen.use_mm(mm)
            yield from task.sleep(MS)
            yield from act(seen)

        kernel.wake_up_new_task(3, child)
        yield from kernel.task.user_compute(3 * MS)

    return process(profile, parent, threads)


@pytest.mark.parametrize("profile", X86)
def test_pages_that_a_child_copies_on_a_cpu_of_its_own_tell_nobody(profile: str) -> None:
    """``ptep_clear_flush`` is for the CPUs of the address space that is written to."""

    def act(kernel: KernelHandle) -> Calls:
        yield from kernel.wp_page_copy(5)
        yield from kernel.exit_mm(100, shared=95)

    booted = forked(profile, act, threads=1)
    assert targets(booted) == [1]  # the fork, which the parent's other thread has to know of
    assert booted.of_kind("wp_page_copy")[0]["cpu"] == 3


@pytest.mark.parametrize("profile", ARM)
def test_on_arm_each_page_that_a_child_copies_is_a_broadcast(profile: str) -> None:
    booted = forked(profile, lambda kernel: kernel.wp_page_copy(5))
    assert [row["crosscalls"] for row in booted.of_kind("wp_page_copy")] == [5]


@pytest.mark.parametrize("profile", X86)
@pytest.mark.parametrize(("cpu", "told"), [(3, []), (2, [1])])
def test_a_child_that_moves_as_it_runs_a_program_leaves_a_cpu_that_is_told(
    profile: str, cpu: int, told: list[int]
) -> None:
    """``sched_exec`` comes before ``exec_mmap``, which frees tables that the old CPU borrows."""

    def act(kernel: KernelHandle) -> Calls:
        def program(task: Task) -> Calls:
            there = KernelHandle(kernel.kernel, task)
            yield from there.execve(100, shared=100)
            yield from there.exit_mm()

        if cpu == kernel.task.cpu:
            yield from program(kernel.task)
        else:
            kernel.sched_exec(cpu, program)

    booted = forked(profile, act)
    assert targets(booted) == told
    assert [row["cpu"] for row in booted.of_kind("execve")] == [cpu]
