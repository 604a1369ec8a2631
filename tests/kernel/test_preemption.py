"""What a flush is about is chosen with preemption off: a task acts on what it has just seen.

The quantum of the machine is 3 ms, and a change of protection takes a thread just that, so that it
has used up its quantum when it comes to its flush. On its CPU a kernel thread waits for its turn.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pmsim.errors import ProgramError
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.user_mm import UserMm
from pmsim.units import MS, NS, US
from tests.kernel.booted import Booted, Ear
from tests.kernel.pool_programs import Calls

QUANTUM = 3 * MS
COSTS = KernelCosts(user_mprotect=QUANTUM, user_mapping_page=0)


def thread(mm: UserMm, *steps: Callable[[KernelHandle], Calls]) -> Callable[[KernelHandle], Calls]:
    """A thread of a process that takes some steps from 10 us on."""

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.sleep(10 * US - kernel.task.now)
        for step in steps:
            yield from step(kernel)

    return program


def protect(kernel: KernelHandle) -> Calls:
    return kernel.mprotect(1)


def compute(ps: int) -> Callable[[KernelHandle], Calls]:
    return lambda kernel: kernel.task.compute(ps)


def sleep(ps: int) -> Callable[[KernelHandle], Calls]:
    return lambda kernel: kernel.task.sleep(ps)


def neighbour(ear: Ear, at: int, ps: int) -> Callable[[KernelHandle], Calls]:
    """A kernel thread that wants its CPU for so long from an instant on; says when it has it."""

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.task.sleep(at)
        ear(kernel.task.now)
        yield from kernel.task.compute(ps)

    return program


def test_who_has_lost_its_turn_tells_those_who_run_the_process_when_it_is_back() -> None:
    # The flush is due at 3.011 ms, as the neighbour gets its turn (a switch takes 1 us). CPU 1
    # stops running the process at 3.5 ms, CPU 2 begins; the thread is back at 5.013 ms.
    booted, ear = Booted(3, COSTS), Ear()
    mm = booted.kernel.user.create()
    booted.spawn(thread(mm, compute(3490 * US), sleep(10 * MS)), 1)
    booted.spawn(thread(mm, sleep(3490 * US), compute(10 * MS)), 2)
    booted.spawn(neighbour(ear, 20 * US, 2 * MS))
    booted.run(thread(mm, protect))
    handlers = booted.machine.accounts()["handlers"].tolist()
    assert handlers == [0, 0, 1]
    (call,) = booted.calls
    begins = 10 * US + QUANTUM + 1 * US + 2 * MS + 1 * US
    assert (ear.heard, call["start_ps"]) == ([begins - 2 * MS - US], begins)
    # It waited for its turn, not for others to answer.
    (row,) = booted.of_kind("mprotect")
    assert row["crosscall_ps"] == call["end_ps"] - call["start_ps"]
    assert row["delay_ps"] == 2 * MS + 2 * US


def test_a_flush_that_has_begun_to_be_counted_keeps_the_cpu() -> None:
    # What the lock guards comes from CPU 1 in 120 ns, and the line of the generation in 40 ns
    # (`inc_mm_tlb_gen`). The quantum is over in the midst of these; the neighbour has to wait
    # for the end of the call.
    costs = KernelCosts(user_mprotect=QUANTUM - 140 * NS, user_mapping_page=0)
    booted, ear = Booted(2, costs), Ear()
    mm = booted.kernel.user.create()
    booted.spawn(thread(mm, protect, compute(20 * MS)), 1)
    booted.spawn(neighbour(ear, 5 * MS, MS))
    booted.run(thread(mm, sleep(4 * MS), protect))
    _, call = booted.calls
    owed = 400 * NS  # for what CPU 1 has flushed as this one slept
    assert call["start_ps"] == 4010 * US + owed + QUANTUM + 20 * NS
    assert ear.heard == [call["end_ps"] + US]


def test_what_a_cpu_owes_is_paid_by_whom_it_runs_next() -> None:
    # Both threads of CPU 0 sleep as CPU 1 flushes at 3.011 ms. The first wakes at 4 ms, computes
    # for its quantum, and comes to a call; but the second has its turn first, and pays.
    booted, paid = Booted(2, COSTS), Ear()
    mm = booted.kernel.user.create()

    def pays(name: str) -> Callable[[KernelHandle], Calls]:
        def program(kernel: KernelHandle) -> Calls:
            start = kernel.task.now
            yield from kernel.use_mm(mm)
            paid((name, kernel.task.now - start))

        return program

    booted.spawn(thread(mm, sleep(3990 * US), compute(QUANTUM), pays("first")))
    booted.spawn(thread(mm, sleep(5000 * US), pays("second")))
    booted.spawn(thread(mm, protect), 1)
    booted.run()
    switch = 1 * US
    assert paid.heard == [("second", 400 * NS), ("first", switch + 400 * NS + switch)]


@pytest.mark.parametrize("call", ["mmap", "mprotect"])
def test_nothing_that_may_sleep_is_called_with_preemption_off(call: str) -> None:
    booted = Booted(1)
    mm = booted.kernel.user.create()

    def program(kernel: KernelHandle) -> Calls:
        yield from kernel.use_mm(mm)
        yield from kernel.task.preempt_disable()
        yield from getattr(kernel, call)(1)

    with pytest.raises(ProgramError, match="mmap_lock of process 0 while preemption is off"):
        booted.run(program)
