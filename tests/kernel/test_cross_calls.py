"""Barriers of a process, and functions that other CPUs run: whom they interrupt, and who waits."""

from __future__ import annotations

from typing import Any

import pytest

from pmsim.kernel.handle import KernelHandle
from pmsim.units import MS, US
from tests.kernel.booted import Booted, Flush
from tests.kernel.pool_programs import Calls


def barriers(barrier: Any, profile: str = "linux-6.1-x86_64", spins: int = 2) -> Booted:
    """Let the thread on CPU 0 make a barrier after 1 ms: so many others compute, one sleeps."""
    booted = Booted(6, profile=profile)
    mm = booted.kernel.user.process("server")

    def spin(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.user_compute(5 * MS)

    def sleep(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(5 * MS)

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(MS)
        yield from kernel.membarrier(barrier)

    for cpu in range(1, 1 + spins):
        booted.spawn(spin, cpu)
    if spins:
        booted.spawn(sleep, 4)
    return booted.run(program)


def test_a_barrier_interrupts_the_cpus_that_run_a_thread_and_no_other() -> None:
    booted = barriers("private")
    assert booted.flushes == [Flush("membarrier", "empty", 0)]
    assert [call["targets"] for call in booted.calls] == [2]
    assert booted.machine.accounts()["handlers"].tolist() == [0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("profile", "kind"), [("linux-6.1-x86_64", "sync_core"), ("linux-6.1-arm64", "empty")]
)
def test_threads_are_made_to_serialise_where_an_interrupt_does_not(profile: str, kind: str) -> None:
    assert [flush.kind for flush in barriers("sync_core", profile).flushes] == [kind]


def test_a_barrier_for_all_processes_interrupts_nobody_and_takes_a_grace_period() -> None:
    booted = barriers("global")
    (row,) = booted.of_kind("membarrier")
    assert booted.calls == []
    assert row["end_ps"] - row["start_ps"] >= booted.kernel.costs.rcu_grace_period


def test_a_process_of_one_thread_needs_no_barrier() -> None:
    assert barriers("private", spins=0).calls == []


@pytest.mark.parametrize(("profile", "waits"), [("linux-6.1-x86_64", 0), ("linux-6.12-x86_64", 1)])
def test_processes_wait_for_each_others_barriers_since_they_are_serialised(
    profile: str, waits: int
) -> None:
    booted = Booted(4, profile=profile)

    def thread(name: str, acts: bool) -> Any:
        def program(kernel: KernelHandle) -> Calls:
            yield from kernel.use_mm(kernel.process(name))
            if acts:
                yield from kernel.task.sleep(MS)
                yield from kernel.membarrier()
            else:
                yield from kernel.task.user_compute(2 * MS)

        return program

    for cpu in range(4):
        booted.spawn(thread("one" if cpu < 2 else "two", acts=cpu % 2 == 0), cpu)
    booted.run()
    waited = [row for row in booted.of_kind("membarrier") if row["lock_wait_ps"] > 0]
    assert len(waited) == waits


def test_a_function_runs_on_the_chosen_cpus_and_the_caller_waits_for_it() -> None:
    booted = Booted(5).run(lambda kernel: kernel.smp_call_function([3, 0, 1], 7 * US))
    assert booted.flushes == [Flush("request", "empty", 0)]
    assert booted.machine.accounts()["handlers"].tolist() == [0, 1, 0, 1, 0]
    (call,) = booted.calls
    assert 7 * US < call["end_ps"] - call["start_ps"] < 10 * US + 7 * US


def test_one_after_the_other_is_a_call_for_each() -> None:
    booted = Booted(4)
    booted.run(lambda kernel: kernel.smp_call_function([1, 2, 3], 7 * US, together=False))
    assert [call["targets"] for call in booted.calls] == [1, 1, 1]
    ends = [call["end_ps"] for call in booted.calls]
    assert [call["start_ps"] for call in booted.calls][1:] == ends[:-1]


def test_nobody_else_is_called_where_only_the_caller_is_named() -> None:
    assert Booted(4).run(lambda kernel: kernel.smp_call_function([0])).calls == []
