"""Deferred work."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from pmsim.hardware.machine import Machine
from pmsim.hardware.task import Task
from pmsim.kernel.workqueue import Work, Workqueue
from pmsim.units import MS, US
from tests.kernel.booted import Ear, small_machine

Steps = Generator[Any, Any, None]


def run(machine: Machine, *bodies: Any) -> None:
    for cpu, body in enumerate(bodies):
        machine.spawn(cpu, body, name=f"task {cpu}")
    machine.run()


def saying(say: Ear, word: str, length: int = US) -> Any:
    def work(worker: Task) -> Steps:
        yield from worker.compute(length)
        say((word, worker.cpu, worker.now))

    return work


def test_work_runs_on_the_cpu_that_queued_it_after_the_task_gives_it_up() -> None:
    machine, say = small_machine(2), Ear()
    queue = Workqueue(machine)

    def body(task: Task) -> Steps:
        queue.queue_work(task, saying(say, "work"))
        yield from task.compute(5 * US)
        say(("task", task.cpu, task.now))

    run(machine, lambda task: task.compute(US), body)
    # The switch to the worker costs 1 us.
    assert say.heard == [("task", 1, 5 * US), ("work", 1, 7 * US)]


def test_who_gives_way_goes_on_after_the_work_has_begun() -> None:
    machine, say = small_machine(1), Ear()
    queue = Workqueue(machine)

    def body(task: Task) -> Steps:
        yield from task.compute(5 * US)
        queue.queue_work(task, saying(say, "work", 10 * US))
        yield from queue.give_way(task)
        say(("task", task.cpu, task.now))

    run(machine, body)
    assert say.heard == [("work", 0, 16 * US), ("task", 0, 17 * US)]


def test_all_who_give_way_go_on_once_nothing_is_left_to_begin() -> None:
    machine, say = small_machine(1), Ear()
    queue = Workqueue(machine)

    def body(task: Task) -> Steps:
        queue.queue_work(task, saying(say, "work", 10 * US))
        yield from queue.give_way(task)
        say(task.name)

    machine.spawn(0, body, name="first")
    machine.spawn(0, body, name="second")
    machine.run()
    # Both wait before a worker runs; the worker of the second item finds nothing left.
    assert [word if isinstance(word, str) else word[0] for word in say.heard] == [
        *("work", "work", "first", "second"),
    ]


def test_work_may_be_queued_on_another_cpu() -> None:
    machine, say = small_machine(2), Ear()
    queue = Workqueue(machine)

    def body(task: Task) -> Steps:
        queue.queue_work_on(1, saying(say, "work"))
        yield from task.compute(5 * US)
        say(("task", task.cpu, task.now))

    run(machine, body)
    assert say.heard == [("work", 1, US), ("task", 0, 5 * US)]


def test_who_comes_to_a_point_of_rescheduling_lets_a_worker_run_that_another_cpu_woke() -> None:
    machine, say = small_machine(2), Ear()
    queue = Workqueue(machine)

    def waker(task: Task) -> Steps:
        yield from task.compute(10 * US)
        queue.queue_work_on(1, saying(say, "work"))

    def busy(task: Task) -> Steps:
        # Far less than its time slice; work of its own waits until that is over.
        queue.queue_work(task, saying(say, "own"))
        for _ in range(10):
            yield from queue.cond_resched(task)
            yield from task.compute(3 * US)
        say(("task", task.cpu, task.now))

    run(machine, waker, busy)
    # Woken at 10 us, while the task computes until 12. Two workers begin: three switches of 1 us.
    words = [word for word, _, _ in say.heard]
    assert words == ["own", "work", "task"]
    assert [now for _, _, now in say.heard][-1] == (30 + 2 + 3) * US


def test_giving_way_to_nothing_takes_no_time() -> None:
    machine, say = small_machine(1), Ear()
    queue = Workqueue(machine)

    def body(task: Task) -> Steps:
        yield from queue.give_way(task)
        say(task.now)

    run(machine, body)
    assert say.heard == [0]


def test_items_of_one_cpu_run_in_order() -> None:
    machine, say = small_machine(1), Ear()
    queue = Workqueue(machine)

    def body(task: Task) -> Steps:
        for word in "abc":
            queue.queue_work(task, saying(say, word))
        yield from task.sleep(MS)
        for word in "de":
            queue.queue_work(task, saying(say, word))

    run(machine, body)
    assert [word for word, _, _ in say.heard] == list("abcde")


def test_a_worker_that_sleeps_does_not_hold_up_the_next_item() -> None:
    machine, say = small_machine(1), Ear()
    queue = Workqueue(machine)

    def sleeper(worker: Task) -> Steps:
        yield from worker.sleep(MS)
        say(("slept", worker.cpu, worker.now))

    def body(task: Task) -> Steps:
        queue.queue_work(task, sleeper)
        queue.queue_work(task, saying(say, "quick"))
        yield from task.sleep(2 * MS)

    run(machine, body)
    assert [word for word, _, _ in say.heard] == ["quick", "slept"]


def test_a_worker_that_is_done_takes_the_next_item() -> None:
    machine, say = small_machine(1), Ear()
    queue = Workqueue(machine)

    def work(worker: Task) -> Steps:
        say(worker.name)
        yield from worker.compute(US)

    def body(task: Task) -> Steps:
        for _ in range(3):
            queue.queue_work(task, work)
            yield from task.sleep(MS)

    run(machine, body)
    assert say.heard == ["kworker/0:0"] * 3


def test_an_item_is_queued_at_most_once_until_it_begins() -> None:
    machine, say = small_machine(1), Ear()
    queue = Workqueue(machine)

    def function(worker: Task) -> Steps:
        say("run")
        if len(say.heard) == 4:
            # Running, it is not pending: it may be queued once more.
            say(queue.schedule_work(worker, work))
        yield from worker.compute(US)

    work = Work(function)

    def body(task: Task) -> Steps:
        say([queue.schedule_work(task, work) for _ in range(3)])
        yield from task.sleep(MS)
        say(queue.schedule_work(task, work))

    run(machine, body)
    assert say.heard == [[True, False, False], "run", True, "run", True, "run"]


def test_an_item_that_is_queued_while_it_runs_is_run_again_by_the_same_worker_afterwards() -> None:
    machine, say = small_machine(2), Ear()
    queue = Workqueue(machine)

    def function(worker: Task) -> Steps:
        say(("begin", worker.name))
        yield from worker.sleep(MS)
        say(("end", worker.name))

    work = Work(function)

    def first(task: Task) -> Steps:
        queue.schedule_work(task, work)
        yield from task.compute(US)

    def second(task: Task) -> Steps:
        yield from task.sleep(MS // 2)
        say(queue.schedule_work(task, work))

    run(machine, first, second)
    worker = "kworker/0:0"
    once = [("begin", worker), ("end", worker)]
    assert say.heard == [once[0], True, once[1], *once]


def test_delayed_work_keeps_a_run_alive_until_it_is_done() -> None:
    machine, say = small_machine(2), Ear()
    queue = Workqueue(machine)

    def body(task: Task) -> Steps:
        queue.queue_delayed(task, saying(say, "late"), 20 * MS)
        yield from task.compute(US)

    run(machine, body)
    # A timer wakes the worker, which is switched to then, and works for a microsecond.
    assert say.heard == [("late", 0, 20 * MS + 2 * US)]
    assert machine.now == 20 * MS + 2 * US


def test_delayed_work_takes_nothing_of_the_cpu_until_it_is_due() -> None:
    machine, say = small_machine(2), Ear()
    queue = Workqueue(machine)

    def body(task: Task) -> Steps:
        queue.queue_delayed(task, saying(say, "late"), 5 * MS)
        yield from task.sleep(MS)
        yield from task.compute(5 * MS)
        say("done")

    run(machine, body)
    # Nobody is switched to in the first millisecond. At 5 ms the task has computed for longer than
    # its quantum of 3 ms, so that the worker has the CPU at once, and gives it back.
    assert say.heard == [("late", 0, 5 * MS + 2 * US), "done"]
    assert machine.now == 6 * MS + 3 * US


def test_a_worker_that_has_done_delayed_work_is_there_for_the_next() -> None:
    machine, say = small_machine(1), Ear()
    queue = Workqueue(machine)

    def names(worker: Task) -> Steps:
        say((worker.name, worker.now))
        yield from worker.compute(0)

    def body(task: Task) -> Steps:
        for _ in range(3):
            queue.queue_delayed(task, names, MS)
            yield from task.sleep(2 * MS)

    run(machine, body)
    # The worker is switched to for 1 us each time, and the task back.
    assert say.heard == [
        ("kworker/0:0", MS + US),
        ("kworker/0:0", 3 * MS + 2 * US),
        ("kworker/0:0", 5 * MS + 3 * US),
    ]
