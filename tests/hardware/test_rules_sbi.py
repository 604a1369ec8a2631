"""Section 9 of the machine-model page: a cross-call through RISC-V's firmware.

On the plain machine a call at ``t`` on ``n`` targets is in the firmware at ``t + 500`` and has sent
at ``t + 500 + n * 100``; each target's interrupt arrives 1000 later, is taken after 50, and its
handler exits 50 after the last function. A lone call on one target arrives at ``t + 1600``.
"""

from __future__ import annotations

from functools import partial

import pytest

from pmsim.hardware.machine import Machine
from pmsim.hardware.shootdown.protocol import Shootdown
from pmsim.hardware.shootdown.sbi import SBI
from pmsim.hardware.topology import Topology
from tests.hardware import machines
from tests.hardware.machines import (
    call,
    call_times,
    compute,
    flush_kernel,
    full_flush,
    invalidate,
    irqs_off,
    on,
    sbi,
    sleep,
)

program = partial(machines.program, shootdown=Shootdown(SBI))


def acks(result, number=0):
    return result.calls[number].acks


def test_the_call_begins_with_a_trap(run):
    # q = 600 on CPU 1, 700 on 2; sent at 700, arrived at 1700, taken at 1750.
    result = run(program(on(0, call(1, 2)), cpus=3))
    assert acks(result) == {1: 1750, 2: 1750}
    assert call_times(result) == [(0, 1750)]
    assert result.cpus[0].irqs_off == 700


def test_a_call_that_queues_while_another_is_in_the_trap_is_there_first(run):
    # CPU 0 traps at 0 and queues on 2 at 600; CPU 1, which asks at 50, at 650: it is coalesced.
    result = run(program(on(0, call(2)), on(1, compute(50), call(2)), cpus=3))
    assert (acks(result, 0), acks(result, 1)) == ({2: 1650}, {2: 1650})
    assert result.cpus[2].handlers == 1


def test_every_target_takes_a_write_of_its_own(run):
    # t1 = 500 + 300; writes at 810, 820, 830.
    result = run(program(on(0, call(1, 2, 3)), cpus=4, sbi=sbi(send=10)))
    assert acks(result) == {1: 1860, 2: 1870, 3: 1880}
    assert result.cpus[0].irqs_off == 830


def test_the_costs_are_the_firmware_s_and_not_those_of_interrupts(run):
    costs = sbi(trap=1, queue=2, send=4, delivery=8, line=16, entry=32, exit=64)
    result = run(program(on(0, call(1)), on(1, compute(1000)), sbi=costs))
    assert acks(result) == {1: 1 + 2 + 4 + 8 + 32}
    assert call_times(result) == [(0, 47 + 16)]
    assert result.cpus[1].stolen == 32 + 64


def test_the_interrupts_jitter_has_no_part_in_it(run):
    result = run(program(on(0, call(1)), cpus=2, jitter=(333,)))
    assert acks(result) == {1: 1650}


def test_what_interrupts_pay_to_the_firmware_has_no_part_in_it(run):
    result = run(program(on(0, call(1)), cpus=2, ecall=333))
    assert acks(result) == {1: 1650}


def test_a_call_without_targets_does_not_trap(run):
    result = run(program(on(0, call(pages=2)), cpus=2))
    assert call_times(result) == [(0, 20)]


def test_the_serial_order_runs_the_own_function_after_the_visits(run):
    result = run(program(on(0, call(1, pages=2)), cpus=2, order="serial"))
    assert acks(result) == {1: 1670}
    assert (call_times(result), result.cpus[0].irqs_off) == ([(0, 1690)], 600 + 20)


def test_a_full_flush_leaves_its_debt(run):
    result = run(program(on(0, full_flush(1)), on(1, compute(5000), working_set=3), walk=10))
    assert (result.task_ends[1], result.cpus[1].refill) == (5000 + 100 + 30, 30)


# -- windows --------------------------------------------------------------------------------------


def test_a_window_of_a_target_does_not_hold_the_handler_off(run):
    # The handler runs from 1600 to 1700, in the middle of the window.
    result = run(program(on(0, call(1)), on(1, irqs_off(5000))))
    assert acks(result) == {1: 1650}
    assert result.task_ends[1] == 5100
    assert (result.cpus[1].irqs_off, result.cpus[1].stolen) == (5000, 100)


def test_the_same_window_holds_off_an_interrupt(run):
    result = run(machines.program(on(0, call(1)), on(1, irqs_off(5000))))
    assert acks(result) == {1: 5050}
    assert result.task_ends[1] == 5100  # the handler starts at the window's end, before the end


@pytest.mark.parametrize(("window", "end"), [(1599, 1599), (1600, 1700), (1601, 1701)])
def test_a_window_that_is_over_when_the_handler_starts_is_not_pushed_back(run, window, end):
    # At 1600 the last picosecond is spent; the step waits for the handler all the same.
    result = run(program(on(0, call(1)), on(1, irqs_off(window))))
    assert result.task_ends[1] == end
    assert result.cpus[1].irqs_off == window


def test_several_handlers_push_a_window_back_one_after_the_other(run):
    # CPU 2's call, asked for at 1100, is queued at 1700, after the take: handlers run from 1600 to
    # 1700 and from 2700 to 2800.
    result = run(program(on(0, call(1)), on(2, compute(1100), call(1)), on(1, irqs_off(5000))))
    assert (acks(result, 0), acks(result, 1)) == ({1: 1650}, {1: 2750})
    assert result.task_ends[2] == 5200


def test_a_run_that_is_cut_in_a_window_counts_what_was_stolen_from_it(run):
    cut = program(on(0, call(1)), on(1, irqs_off(5000)), duration=1650)
    cpu = run(cut).cpus[1]
    assert (cpu.irqs_off, cpu.stolen) == (1600, 50)


def test_the_initiators_own_part_holds_the_handler_off(run):
    # Ten targets: l = 500 + 10 * 100 + 10 * 100 = 2500. CPU 1's interrupt arrives at CPU 0 at 1700.
    targets = tuple(range(2, 12))
    result = run(program(on(0, call(*targets)), on(1, call(0)), cpus=12, sbi=sbi(send=100)))
    assert {record.cpu: record.acks for record in result.calls}[1] == {0: 2550}


def test_the_serial_orders_own_function_holds_the_handler_off(run):
    # CPU 2 takes the 40 pages at 1650 and is done at 2050; CPU 0's own function runs from then to
    # 2450. CPU 1's interrupt arrives at 2100.
    tasks = (on(0, call(2, pages=40)), on(1, compute(500), call(0)))
    result = run(program(*tasks, cpus=3, order="serial", ceiling=100))
    assert acks(result, 1) == {0: 2500}


def test_the_function_of_a_call_without_targets_holds_the_handler_off(run):
    tasks = (on(0, irqs_off(1500), call(pages=20)), on(1, call(0)))
    result = run(program(*tasks))
    assert acks(result, 0) == {0: 1750}  # it arrives at 1600, between 1500 and 1700


# -- the rest of the machine ----------------------------------------------------------------------


def test_an_idle_target_wakes_up(run):
    result = run(program(on(0, call(1)), cpus=2, idle=((0, 40),)))
    assert acks(result) == {1: 1690}
    assert result.cpus[1].stolen == 140


def test_sync_core_goes_through_the_firmware(run):
    result = run(program(on(0, ("sync_core", None)), on(1, irqs_off(9000)), sync_core=80))
    assert acks(result) == {1: 1730}


def test_a_spinlock_is_handed_over_as_on_any_machine(run):
    # The cache line's way between CPUs is the interrupts' table: 30.
    tasks = (
        on(0, ("spin_lock", 0), compute(100), ("spin_unlock", 0)),
        on(1, compute(10), ("spin_lock", 0), ("spin_unlock", 0)),
    )
    assert run(program(*tasks, line=30)).task_ends[1] == 130


def test_a_machine_may_have_both_the_firmware_and_the_interconnect(run):
    # The invalidation is answered at 1300; then the call.
    result = run(program(on(0, invalidate(1), flush_kernel(0)), on(1, sleep(1))))
    assert call_times(result) == [(0, 1300), (1300, 1300 + 1650)]


def test_an_invalidation_charges_nothing_to_a_window_that_handlers_prolong(run):
    # Served at 1900, in the middle of the window, which the handler from 1600 to 1700 prolongs.
    tasks = (on(0, call(1)), on(2, irqs_off(1600), invalidate(1)), on(1, irqs_off(5000)))
    assert run(program(*tasks)).task_ends[2] == 5100


def test_a_machine_without_the_costs_cannot_be_built_for_it() -> None:
    with pytest.raises(ValueError, match="sbi"):
        Machine(Topology(), machines.costs(sbi=None), shootdown=Shootdown(SBI))
