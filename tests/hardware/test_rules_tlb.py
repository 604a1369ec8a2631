"""Section 5 of the machine-model page: what a function costs, and the debt a full flush leaves.

CPU 0's call at 0 on CPU 1 is handled there from 1100; a walk costs 10.
"""

from __future__ import annotations

import pytest

from tests.hardware.machines import (
    call,
    compute,
    flush_kernel,
    full_flush,
    irqs_off,
    on,
    program,
    sleep,
)


@pytest.mark.parametrize(
    ("step", "cost"),
    [
        (flush_kernel(0), 0),
        (flush_kernel(1), 10),
        (flush_kernel(33), 330),
        (flush_kernel(34), 5000),
        (("sync_core", None), 80),
        (("empty", 17), 17),
    ],
    ids=["no pages", "one page", "the ceiling", "above the ceiling", "sync_core", "empty"],
)
def test_a_function_costs_what_it_does_on_both_sides(run, step, cost):
    result = run(program(on(0, step), cpus=2, flush_all=5000, sync_core=80))
    assert result.cpus[0].irqs_off == 100 + cost
    assert result.cpus[1].stolen == 50 + cost + 50
    assert result.calls[0].acks == {1: 1150 + cost}


def test_the_ceiling_belongs_to_the_kernel(run):
    result = run(program(on(0, flush_kernel(3)), cpus=2, flush_all=5000, ceiling=2))
    assert result.cpus[1].stolen == 50 + 5000 + 50


@pytest.mark.parametrize(("working_set", "debt"), [(3, 30), (8, 80), (9, 80)])
def test_a_task_owes_a_walk_for_each_entry_that_it_can_have_in_the_tlb(run, working_set, debt):
    task = on(1, compute(5000), working_set=working_set)
    result = run(program(on(0, full_flush(1)), task, walk=10, entries=8))
    assert result.task_ends[1] == 5000 + 100 + debt
    assert (result.cpus[1].busy, result.cpus[1].refill) == (5000 + debt, debt)


def test_a_ranged_flush_leaves_no_debt(run):
    task = on(1, compute(5000), working_set=3)
    result = run(program(on(0, call(1, pages=33)), task, walk=10))
    assert (result.task_ends[1], result.cpus[1].refill) == (5000 + 100 + 330, 0)


def test_tasks_on_other_cpus_than_the_targets_owe_nothing(run):
    task = on(2, compute(5000), working_set=3)
    assert run(program(on(0, full_flush(1)), task, walk=10)).task_ends[1] == 5000


def test_every_task_of_the_cpu_owes_running_runnable_or_asleep(run):
    # The handler, from 1100 to 1200, finds task 2 computing, 3 waiting to run for the first time, 1
    # asleep. 2: 20 of debt, 400 of work, to 1620. 3: 40 and 100, to 1760. 1, from 2000: 10 and 50.
    result = run(
        program(
            on(0, full_flush(1), number=9),
            on(1, sleep(2000), compute(50), number=1, working_set=1),
            on(1, compute(1500), number=2, working_set=2),
            on(1, compute(100), number=3, working_set=4),
            walk=10,
        )
    )
    assert [result.task_ends[n] for n in (1, 2, 3)] == [2060, 1620, 1760]


def test_debts_never_add_up(run):
    # CPU 0 flushes twice while CPU 1 is off and asleep: acknowledged at 1150 and 2300.
    # Awake at 3000: 30 of debt, once.
    task = on(1, sleep(3000), compute(50), working_set=3)
    result = run(program(on(0, full_flush(1), full_flush(1)), task, walk=10))
    assert result.task_ends[1] == 3080


def test_a_flush_while_some_is_owed_sets_the_debt_back_to_the_full_amount(run):
    # 1500 of debt from 1200 on. The second call, at 1150, arrives at 2250: 1050 of it are paid.
    # Handler to 2350, then 1500 again and the 4000 - 1100 of work that are left.
    task = on(1, compute(4000), working_set=3)
    result = run(program(on(0, full_flush(1), full_flush(1)), task, walk=500))
    assert result.task_ends[1] == 2350 + 1500 + 2900
    assert result.cpus[1].refill == 1050 + 1500


def test_debt_is_paid_before_the_work(run):
    # Debt 1000 from 1200 to 2200, then 50 of work until the second handler at 2250; then 1000 of
    # debt again and the 2850 of work left.
    task = on(1, compute(4000), working_set=2)
    result = run(program(on(0, full_flush(1), full_flush(1)), task, walk=500))
    assert result.task_ends[1] == 2350 + 1000 + 4000 - 1100 - 50
    assert result.cpus[1].refill == 2000


@pytest.mark.parametrize("order", ["concurrent", "serial"])
def test_the_initiator_and_its_cpus_other_tasks_owe_after_its_local_function(run, order):
    # The call ends at 1150; 40 of debt and 10 of work; then task 1, which has not yet run.
    result = run(
        program(
            on(0, full_flush(1), compute(10), working_set=4),
            on(0, compute(10), working_set=3),
            cpus=2,
            walk=10,
            order=order,
        )
    )
    assert result.task_ends == {0: 1200, 1: 1240}


def test_a_full_flush_without_targets_leaves_the_debt_as_well(run):
    result = run(program(on(0, full_flush(), compute(10), working_set=4), walk=10))
    assert result.task_ends == {0: 50}


def test_windows_and_calls_pay_no_debt(run):
    # The debt set at 1150 is still whole after the window (1200-1700) and the call (to 2850).
    task = on(1, irqs_off(1100), irqs_off(500), call(2), compute(10), working_set=4)
    result = run(program(on(0, full_flush(1)), task, cpus=3, walk=10))
    assert result.task_ends[1] == 1700 + 1150 + 50


def test_kernel_work_refills_what_the_kernel_touches_and_not_what_the_task_does(run):
    # The debts of the handler that ends at 1200: 20 of the CPU's, for the kernel, and 40 of the
    # task's. Kernel work from 2000 pays the former, to 2120; the compute after it the latter.
    task = on(1, irqs_off(2000), ("kernel", 100), ("kernel", 100), compute(100), working_set=4)
    result = run(program(on(0, full_flush(1)), task, walk=10, kernel_entries=2))
    assert result.task_ends[1] == 2000 + 50 + 50 + 120 + 100 + 140
    assert result.cpus[1].refill == 60


@pytest.mark.parametrize("kind", ["compute", "user"])
def test_a_program_refills_nothing_of_the_kernels(run, kind):
    task = on(1, (kind, 2000), ("kernel", 100), working_set=4)
    result = run(program(on(0, full_flush(1)), task, walk=10, kernel_entries=2))
    assert (result.task_ends[1], result.cpus[1].refill) == (2000 + 100 + 40 + 120, 60)


def test_a_flush_of_user_space_spares_the_kernels_entries(run):
    task = on(1, irqs_off(2000), ("kernel", 100), compute(100), working_set=4)
    result = run(program(on(0, ("flush_user", 34)), task, cpus=2, walk=10, kernel_entries=2))
    assert (result.task_ends[1], result.cpus[1].refill) == (2100 + 100 + 140, 40)


def test_a_flush_of_its_own_cpu_leaves_the_same_debt_without_a_call(run):
    # 500 for the flush, no call; then 100 of kernel work owe nothing, and the compute 40.
    task = on(0, ("flush_own", 34), ("kernel", 100), compute(100), working_set=4)
    result = run(program(task, cpus=2, flush_all=500, walk=10, kernel_entries=2))
    assert (result.task_ends[0], result.cpus[0].refill, result.calls) == (740, 40, ())
    assert result.cpus[0].irqs_off == 500


def test_no_more_than_the_tlb_holds_is_refilled_for_the_kernel(run):
    task = on(0, full_flush(), ("kernel", 100))
    result = run(program(task, walk=10, entries=3, kernel_entries=8))
    assert result.task_ends[0] == 130


def test_a_flush_of_everything_in_the_midst_of_kernel_work_sets_its_debt_back_to_the_whole(run):
    # Taken at 1150: 1100 of 4000 done; 1000 of debt from 1200 on. The second call, at 1150,
    # arrives at 2250: 50 of work later; handler to 2350, then 1000 and 2850 again.
    task = on(1, ("kernel", 4000), working_set=9)
    result = run(program(on(0, full_flush(1), full_flush(1)), task, walk=500, kernel_entries=2))
    assert (result.task_ends[1], result.cpus[1].refill) == (2350 + 1000 + 2850, 2000)


def test_what_one_task_has_refilled_for_the_kernel_the_next_need_not(run):
    # Quantum 100. Task 1 owes 200 for the kernel, has paid half when it is switched away from, and
    # wants nothing else; task 2 pays the other half, so that at 300 task 1 has nothing left to do.
    result = run(
        program(
            on(0, full_flush(), ("kernel", 0), number=1),
            on(0, ("kernel", 50), number=2),
            walk=100,
            kernel_entries=2,
            quantum=100,
        )
    )
    assert result.task_ends == {1: 200, 2: 250}
    assert result.cpus[0].refill == 200


@pytest.mark.parametrize(("pages", "cost"), [(0, 7), (1, 17), (33, 337), (34, 60)])
def test_a_flush_of_user_space_costs_its_fixed_part_and_spares_what_is_global(run, pages, cost):
    costs = {"flush_all": 5000, "flush_fixed": 7, "flush_user": 53}
    result = run(program(on(0, ("flush_user", pages)), cpus=2, **costs))
    assert result.cpus[0].irqs_off == 100 + cost
    assert result.cpus[1].stolen == 50 + cost + 50
    assert run(program(on(0, ("flush_own", pages)), cpus=2, **costs)).end == cost


def test_without_a_cost_of_its_own_a_full_flush_of_user_space_costs_what_one_of_all_does(run):
    assert run(program(on(0, ("flush_own", 34)), flush_all=5000)).end == 5000


@pytest.mark.parametrize(("pages", "cost"), [(1, 17), (34, 60)])
def test_a_function_that_reads_what_lies_elsewhere_takes_longer_on_targets_alone(run, pages, cost):
    # The initiator's own takes as long as ever; the target's 100 more, which `queue` is.
    costs = {"flush_all": 5000, "flush_fixed": 7, "flush_user": 53}
    result = run(program(on(0, ("flush_cold", pages)), cpus=2, **costs))
    assert result.cpus[0].irqs_off == 100 + cost
    assert result.cpus[1].stolen == 50 + cost + 100 + 50
