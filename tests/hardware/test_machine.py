"""What the machine offers beyond a trace: tasks that come later, completions, ends of runs."""

from __future__ import annotations

import pytest

from pmsim.errors import AccountingError, DeadlockError, ProgramError, SimulationError
from pmsim.hardware.locks import Completion, Mutex
from pmsim.hardware.machine import Machine
from pmsim.hardware.passes import layout
from pmsim.hardware.task import Task
from pmsim.hardware.tlb import empty_call
from pmsim.hardware.topology import Topology
from pmsim.steps import Steps
from pmsim.units import LONGEST_RUN, MAX_TIME, S, longest_run
from tests.hardware.machines import costs


def machine(cpus: int = 2, **changes: int) -> Machine:
    return Machine(Topology(cores=cpus), costs(**changes))


def test_a_task_that_comes_to_life_in_a_run_is_ready_at_once() -> None:
    one = machine()
    ends = {}

    def child(task: Task) -> Steps:
        yield from task.compute(30)
        ends["child"] = task.now

    def parent(task: Task) -> Steps:
        yield from task.compute(100)
        one.spawn(1, child)
        yield from task.compute(10)
        ends["parent"] = task.now

    one.spawn(0, parent)
    assert one.run() == 130
    assert ends == {"parent": 110, "child": 130}


def test_a_completion_counts_what_came_before_it_was_waited_for() -> None:
    one = machine(wakeup=5)
    done = Completion(one)
    times = []

    def waiter(task: Task) -> Steps:
        for _ in range(3):
            yield from done.wait(task)
            times.append(task.now)

    def completer(task: Task) -> Steps:
        done.complete()
        done.complete()
        yield from task.compute(100)
        done.complete()

    one.spawn(0, completer)
    one.spawn(1, waiter)
    one.run()
    # Two were there already; the third wakes the waiter 5 later.
    assert times == [0, 0, 105]


def test_a_daemon_that_waits_for_work_keeps_no_run_alive() -> None:
    one = machine()
    work = Completion(one)
    done = []

    def daemon(task: Task) -> Steps:
        while True:
            yield from work.wait(task)
            yield from task.compute(50)
            done.append(task.now)

    def customer(task: Task) -> Steps:
        yield from task.compute(100)
        work.complete()

    one.spawn(0, customer)
    one.spawn(1, daemon, role="daemon")
    # What was asked for is done, though the customer has gone.
    assert one.run() == 150
    assert done == [150]


def test_a_run_until_done_waits_for_the_last_handler_beside_endless_tasks() -> None:
    one = machine(line=7)

    def caller(task: Task) -> Steps:
        yield from task.cross_call(empty_call())

    def endless(task: Task) -> Steps:
        while True:
            yield from task.compute(10)

    one.spawn(0, caller)
    one.spawn(1, endless, role="background")
    # The call ends at 1150 + 7; the handler it caused at 1200.
    assert one.run() == 1200
    accounts = one.accounts()
    assert accounts["stolen_ps"].tolist() == [0, 100]
    assert accounts["busy_ps"].tolist() == [0, 1100]


def test_an_account_with_a_gap_or_an_overlap_is_an_error_that_names_the_cpu() -> None:
    one = machine()
    one.spawn(1, lambda task: task.compute(100))
    one.run()
    one.fabric.state[layout.HEADER + layout.CPU_WORDS + layout.SPIN] += 7
    with pytest.raises(AccountingError, match=r"CPU 1's time does not add up: .*spin_ps 7"):
        one.accounts()


def test_a_deadlock_has_the_instant_after_which_nothing_happens() -> None:
    one = machine()
    locks = [Mutex(one, "a"), Mutex(one, "b")]

    def crosswise(first: int) -> object:
        def body(task: Task) -> Steps:
            yield from locks[first].lock(task)
            yield from task.compute(100)
            yield from locks[1 - first].lock(task)

        return body

    one.spawn(0, crosswise(0))
    one.spawn(1, crosswise(1))
    one.clock.timeout(5_000)  # something else that would still happen
    with pytest.raises(DeadlockError) as caught:
        one.run()
    assert caught.value.at_ps == 100
    assert "waits for a" in str(caught.value)
    assert "waits for b" in str(caught.value)


def test_two_tasks_of_a_cpu_have_different_numbers() -> None:
    one = machine()
    one.spawn(0, lambda task: task.compute(1), number=4)
    with pytest.raises(ProgramError, match="has a task 4 already"):
        one.spawn(0, lambda task: task.compute(1), number=4)


def test_a_number_is_free_again_when_its_task_has_ended() -> None:
    one = machine(1)
    numbers: list[int] = []

    def parent(task: Task) -> Steps:
        for _ in range(3):
            numbers.append(one.spawn(0, lambda child: child.compute(1)).number)
            yield from task.sleep(1_000_000)
        one.spawn(0, lambda child: child.compute(1), number=1)

    one.spawn(0, parent)
    one.run()
    assert numbers == [1, 1, 1]


def test_a_cpu_that_is_not_there_runs_nothing() -> None:
    with pytest.raises(ProgramError, match="there is no CPU 2"):
        machine(cpus=2).spawn(2, lambda task: task.compute(1))


def test_tasks_beyond_the_room_for_them_are_refused() -> None:
    small = Machine(Topology(), costs(), max_tasks=1)
    small.spawn(0, lambda task: task.compute(1))
    with pytest.raises(ProgramError, match="more than 1 tasks"):
        small.spawn(0, lambda task: task.compute(1))


@pytest.mark.parametrize("targets", [(1, 1), (5,), (-1,)])
def test_targets_that_are_not_there_or_named_twice_are_errors(targets: tuple[int, ...]) -> None:
    one = machine()
    one.spawn(0, lambda task: task.cross_call(empty_call(), targets=targets))
    with pytest.raises(ProgramError, match=r"target|CPU"):
        one.run()


def test_a_sample_in_the_middle_of_a_run_adds_up_to_the_present_instant() -> None:
    one = machine()
    seen = []

    def caller(task: Task) -> Steps:
        for _ in range(50):
            yield from task.cross_call(empty_call(20))

    def sampler() -> object:
        while one.now < 20_000:
            yield one.clock.timeout(777)
            accounts = one.accounts()  # checks that every CPU's time adds up
            seen.append((one.now, int(accounts["handlers"][1])))

    one.spawn(0, caller)
    one.clock.process(sampler())
    one.run()
    # A call every 100 + 1000 + 50 + 20; its handler starts 1100 after it.
    assert seen == [(at, (at - 1 - 1100) // 1170 + 1 if at > 1100 else 0) for at, _ in seen]
    assert len(seen) == 26


@pytest.mark.parametrize("step", ["compute", "irqs_off", "sleep"])
@pytest.mark.parametrize("length", [LONGEST_RUN, MAX_TIME, 10**30])
def test_a_step_that_ends_in_no_run_goes_on_to_the_end_of_every_run(step: str, length: int) -> None:
    one = machine()
    came_back = []

    def body(task: Task) -> Steps:
        yield from task.compute(50)
        yield from getattr(task, step)(length)
        came_back.append(task.now)

    one.spawn(0, body)
    assert one.run(LONGEST_RUN) == LONGEST_RUN
    assert not came_back
    busy, off, idle = (
        int(one.accounts()[f"{name}_ps"][0]) for name in ("busy", "irqs_off", "idle")
    )
    spent = {"compute": (LONGEST_RUN, 0, 0), "irqs_off": (50, LONGEST_RUN - 50, 0)}
    assert (busy, off, idle) == spent.get(step, (50, 0, LONGEST_RUN - 50))


def test_a_run_until_done_that_is_not_done_within_the_longest_run_says_who_is_not() -> None:
    one = machine()

    def body(task: Task) -> Steps:
        yield from task.sleep(MAX_TIME)

    one.spawn(1, body, name="sleeper")
    said = r"not done after 864,000 s.*sleeper, task 0 on CPU 1"
    with pytest.raises(SimulationError, match=said):
        one.run()


def test_the_time_of_all_cpus_in_the_longest_run_fits_into_a_column() -> None:
    for n_cpus in (1, 10, 11, 448, 4096):
        assert longest_run(n_cpus) * n_cpus < 2**63
    assert longest_run(4096) > 2000 * S
