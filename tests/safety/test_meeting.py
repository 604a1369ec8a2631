"""Shootdowns that meet, and CPUs that have still to drop something: by arithmetic.

The machine: a call on one target begun at ``t`` is in its queue at ``t + 1``, arrives at ``t + 11``
and is taken at ``t + 16``; a flush of everything takes 20. Kernel work takes no time.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import fields
from functools import partial
from typing import Any

import pytest

from pmsim.hardware.costs import IdleState, IpiCosts, MachineCosts, SchedCosts, TlbCosts
from pmsim.hardware.host import BARE_METAL, Host
from pmsim.hardware.machine import Machine
from pmsim.hardware.proposals import DeferredCosts
from pmsim.hardware.shootdown.own import record_of
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.task import Task
from pmsim.hardware.topology import Topology
from pmsim.kernel.costs import KernelCosts
from pmsim.kernel.handle import KernelHandle
from pmsim.kernel.kernel import Kernel
from pmsim.kernel.pmalloc import exposure
from pmsim.kernel.pmalloc.exposure import StaleTime
from pmsim.kernel.profiles import load_profile
from pmsim.kernel.safety import meetings, waiting
from pmsim.kernel.safety import stale as stale_pages
from pmsim.kernel.safety.violations import Hazard, Violation
from pmsim.units import PAGE_SIZE
from tests.hardware.machines import same_everywhere

Steps = Generator[Any, Any, Any]
Program = Callable[[KernelHandle], Steps]

FREE = KernelCosts(**{one.name: 0 for one in fields(KernelCosts)})
"""Kernel work that takes no time."""


def ran(
    *programs: Program,
    cpus: int = 0,
    idle: Sequence[IdleState] = (),
    isolated: Sequence[int] = (),
    host: Host = BARE_METAL,
    delivery: int = 10,
    **kernel: Any,
) -> Kernel:
    """Run a program on each of the first CPUs, and return their kernel at the end."""
    costs = MachineCosts(
        IpiCosts(queue=1, send=0, fanout=1, delivery=same_everywhere(delivery),
                 line=same_everywhere(0), entry=5, exit=5),
        TlbCosts(invlpg=1, flush_all=20, walk=0, entries=8),
        SchedCosts(10**6, 0, 0),
        idle=tuple(idle),
        deferred=DeferredCosts(check=1, entry_flush=3),
    )  # fmt: skip
    keys = {"direct_map_leaf": "4KiB", "unsafe": True, **kernel}
    profile = load_profile("linux-6.1-x86_64", keys)
    machine = Machine(
        Topology(cores=cpus or len(programs)),
        costs,
        profile.crosscall_order,
        shootdown=profile.shootdown_on(costs),
        isolated=isolated,
        host=host,
    )
    booted = Kernel(machine, profile, FREE)
    for cpu, program in enumerate(programs):
        machine.spawn(cpu, partial(_body, booted, program), name=f"program {cpu}")
    machine.run()
    booted.safety.finish()
    return booted


def _body(kernel: Kernel, program: Program, task: Task) -> Steps:
    return program(KernelHandle(kernel, task))


def protects(after: int = 0, pages: int = 1) -> Program:
    def body(kernel: KernelHandle) -> Steps:
        yield from kernel.task.compute(after)
        pool = yield from kernel.pmalloc_create_pool(pages * PAGE_SIZE, 3)
        yield from kernel.pmalloc(pool, 8)
        yield from kernel.pmalloc_protect_pool(pool)

    return body


def computes(time: int) -> Program:
    return lambda kernel: kernel.task.compute(time)


def user(time: int) -> Program:
    def body(kernel: KernelHandle) -> Steps:
        yield from kernel.task.user_compute(time)
        yield from kernel.task.enter_kernel()

    return body


def stale(kernel: Kernel, pool: int = 0) -> StaleTime:
    return kernel.pmalloc.pools[pool].staleness.at(kernel.pmalloc._machine.now)


def found(kernel: Kernel) -> list[tuple[Hazard, int, int, int | None]]:
    every = kernel.safety.found.violations
    return [(one.hazard, one.cpu, one.from_ps, one.to_ps) for one in every]


def test_what_two_tasks_flush_at_once_each_cpu_has_dropped_with_the_first_of_both() -> None:
    kernel = ran(protects(), protects(), computes(100))
    # Both calls are taken together on CPU 2, at 17: functions end at 37 and 57. On CPUs 0 and 1,
    # which have run their own at 22, the other's ends at 47. CPU 1's call began behind CPU 0's
    # change, so that it counts there, too; not the other way round.
    first, second = stale(kernel, 0), stale(kernel, 1)
    assert (first.longest_ps, first.closed_ps) == (37, 37 - 12)
    assert (second.longest_ps, second.closed_ps) == (57, 57 - 22)
    assert found(kernel) == []


@pytest.mark.parametrize("delay", [0, 3, 11])
def test_when_it_is_gone_does_not_depend_on_how_often_that_is_looked_up(
    delay: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def often(after: int) -> Program:
        def body(kernel: KernelHandle) -> Steps:
            yield from kernel.task.compute(after)
            pool = yield from kernel.pmalloc_create_pool(PAGE_SIZE, 3)
            for _ in range(20):
                yield from kernel.pmalloc(pool, 8)
                yield from kernel.pmalloc_protect_pool(pool)

        return body

    def gone() -> list[StaleTime]:
        kernel = ran(often(0), often(delay), often(2 * delay), computes(5000))
        assert found(kernel) == []
        return [stale(kernel, pool) for pool in range(3)]

    at_the_end = gone()
    # On each CPU the first of three calls counts, so that not all of them are the last.
    assert len({one.total_ps for one in at_the_end}) > 1
    for kept in (1, 2, 5):
        monkeypatch.setattr(meetings, "_KEPT", kept)
        monkeypatch.setattr(exposure, "_FEW", kept)
        assert gone() == at_the_end


def test_what_another_call_has_dropped_is_no_violation_though_ones_own_is_late() -> None:
    def flushes(kernel: KernelHandle) -> Steps:
        yield from kernel.task.compute(25)
        yield from kernel.flush_tlb_all()

    kernel = ran(protects(), flushes, delivery=30, shootdown={"ipi": {"ack": "entry"}})
    # CPU 1 has interrupts off from 25 on, and has flushed for its own call at 46. Then it takes
    # CPU 0's, is acknowledged at 51, as CPU 0 goes on, and flushes once more up to 71.
    assert found(kernel) == []
    assert stale(kernel).longest_ps == 46


def test_a_target_whose_task_ends_as_the_call_begins_is_closed_when_its_handler_begins() -> None:
    kernel = ran(protects(), computes(0), idle=[IdleState("C1", exit=30, residency=0)])
    # The interrupt arrives at 11 and wakes the CPU up; the handler begins at 41.
    assert (stale(kernel).longest_ps, stale(kernel).closed_ps) == (66, 25)


def test_where_some_are_left_out_the_others_may_be_the_last() -> None:
    kernel = ran(protects(after=1), computes(100), user(5), isolated=[2],
                 shootdown={"deferred": {"defers": "all"}})  # fmt: skip
    # CPU 2 enters the kernel at 5, and has dropped everything at 8. CPU 1 has it in its queue at 2,
    # is sent to at 3, and has dropped it at 38.
    assert stale(kernel).longest_ps == 37
    assert found(kernel) == []


def test_where_functions_are_acknowledged_early_a_frozen_cpu_is_later_still() -> None:
    host = Host(overcommit=2, slice=20, phases=(0, 0))
    kernel = ran(protects(), computes(100), host=host, shootdown={"ipi": {"ack": "entry"}})
    # CPU 1 begins its function at 16, is frozen from 20 to 40, and ends it at 56. CPU 0 has queued
    # the call at 1 and runs its own function for 20 more: to 20, and from 40 to 41.
    assert found(kernel) == [(Hazard.WRITE_AFTER_PROTECT, 1, 41, 56)]
    assert stale(kernel).longest_ps == 56


def test_a_cpu_that_is_left_out_could_use_it_until_it_has_entered_the_kernel() -> None:
    kernel = ran(protects(after=1), user(100), isolated=[1],
                 shootdown={"deferred": {"defers": "all"}})  # fmt: skip
    # CPU 0 begins at 1, checks CPU 1, and flushes by itself: 1 + 1 + 20. CPU 1 has dropped
    # everything 3 after 100. The area and its aliases are two changes, and one violation.
    assert found(kernel) == [(Hazard.WRITE_AFTER_PROTECT, 1, 22, 103)]
    assert (stale(kernel).longest_ps, stale(kernel).closed_ps) == (102, 102)


@pytest.mark.parametrize("longest", [170, 700])
def test_when_cpus_that_are_left_out_have_dropped_it_does_not_depend_on_how_many_are_noted_at_once(
    longest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def often(kernel: KernelHandle) -> Steps:
        pool = yield from kernel.pmalloc_create_pool(PAGE_SIZE, 3)
        for _ in range(20):
            yield from kernel.pmalloc(pool, 8)
            yield from kernel.pmalloc_protect_pool(pool)
            yield from kernel.task.compute(10)

    def stays(time: int) -> Program:
        def body(kernel: KernelHandle) -> Steps:
            for _ in range(3000 // time):
                yield from user(time)(kernel)

        return body

    def all_found() -> tuple[Any, ...]:
        kernel = ran(often, often, stays(longest), stays(150), computes(3000), isolated=[2, 3],
                     shootdown={"deferred": {"defers": "all"}})  # fmt: skip
        return found(kernel), stale(kernel, 0), stale(kernel, 1)

    expected = all_found()
    assert {cpu for _, cpu, *_ in expected[0]} == {2, 3}
    for rows in (1, 2, 5):
        monkeypatch.setattr(waiting, "_ROWS", rows)
        monkeypatch.setattr(stale_pages, "_AT_ONCE", rows)
        assert all_found() == expected


def test_permissions_that_are_given_revoke_nothing_though_the_addresses_are_stale() -> None:
    def body(kernel: KernelHandle) -> Steps:
        yield from kernel.task.compute(1)
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()
        area = yield from kernel.vmalloc(PAGE_SIZE)
        assert area is not None
        yield from kernel.set_memory_rw(area.address, 1)

    # The purge returns as CPU 1 begins its function, which takes 20, and has left CPU 2 out.
    kernel = ran(body, computes(100), user(100), isolated=[2], ceiling=1,
                 shootdown={"deferred": {"ack": "entry"}})  # fmt: skip
    assert found(kernel) == []


class Once:
    """Misses the last target of the first shootdown."""

    promises = "gone"

    def __init__(self) -> None:
        self.missed = False

    def shootdown(self, initiator: Any, flush: Any) -> Steps:
        targets = flush.targets if self.missed else flush.targets[:-1]
        self.missed = True
        yield from initiator.cross_call(targets, flush.function)


def test_who_was_not_told_could_use_it_until_somebody_else_tells_it() -> None:
    def body(kernel: KernelHandle) -> Steps:
        yield from protects()(kernel)
        yield from kernel.task.compute(1000)
        yield from kernel.flush_tlb_all()

    kernel = ran(body, computes(2000), computes(2000), shootdown=Shootdown(record_of("once", Once)))
    # The first call, of CPU 1 alone, is over at 36, the second begins at 1036: two targets are
    # queued at 1038, and CPU 2 has dropped it at 1038 + 10 + 5 + 20.
    assert found(kernel) == [(Hazard.WRITE_AFTER_PROTECT, 2, 36, 1073)]
    assert (stale(kernel).longest_ps, stale(kernel).closed_ps) == (1073, 0)


class Never(Once):
    """Misses it every time."""

    def shootdown(self, initiator: Any, flush: Any) -> Steps:
        yield from initiator.cross_call(flush.targets[:-1], flush.function)


def test_who_is_never_told_can_use_it_up_to_the_end_of_the_run() -> None:
    kernel = ran(
        protects(), computes(90), computes(500), shootdown=Shootdown(record_of("n", Never))
    )
    assert found(kernel) == [(Hazard.WRITE_AFTER_PROTECT, 2, 36, None)]
    assert stale(kernel).longest_ps == 500


def test_of_pages_that_some_were_told_of_only_the_others_are_named() -> None:
    def body(kernel: KernelHandle) -> Steps:
        area = yield from kernel.vmalloc(PAGE_SIZE)
        yield from kernel.vfree(area)
        yield from kernel.vm_unmap_aliases()
        yield from kernel.vmalloc(PAGE_SIZE)

    kernel = ran(body, computes(90), computes(90), shootdown=Shootdown(record_of("n", Never)))
    rows = [one.operation for one in kernel.safety.found.violations]
    assert [(hazard, cpu) for hazard, cpu, *_ in found(kernel)] == [(Hazard.USE_AFTER_FREE, 2)]
    # The operations: vmalloc, vfree, vm_unmap_aliases, the purge in it, vmalloc.
    assert rows == [4]


def test_violations_stand_by_when_each_began_whenever_it_was_noticed() -> None:
    found = ran(computes(1), computes(1)).safety.found
    for cpu, begins in ((1, 20), (0, 20), (0, 10)):
        found.keep(Violation(Hazard.USE_AFTER_FREE, 1, 7, 1, cpu, begins, None))
    assert [(one.from_ps, one.cpu) for one in found.violations] == [(10, 0), (20, 0), (20, 1)]
