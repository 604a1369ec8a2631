"""What is noted of locks that tasks wait for, worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from pmsim.hardware.contention import LockUse
from pmsim.hardware.host import Host
from pmsim.hardware.locks import Mutex, Spinlock
from pmsim.hardware.machine import Machine
from pmsim.hardware.rwsem import RwSemaphore
from pmsim.hardware.task import Task
from pmsim.hardware.topology import Topology
from tests.hardware.machines import costs

Steps = Generator[Any, Any, None]


def machine(cpus: int = 3) -> Machine:
    """A cache line takes 5, a wake-up 30."""
    return Machine(Topology(cores=cpus), costs(line=5, wakeup=30))


def held(lock: Any, at: int, length: int) -> Callable[[Task], Steps]:
    """Return the steps of a task that takes a lock at an instant and computes under it."""

    def steps(task: Task) -> Steps:
        yield from task.compute(at)
        yield from lock.lock(task)
        yield from task.compute(length)
        lock.unlock(task)

    return steps


def used(m: Machine, lock: Any, *tasks: tuple[int, int], until: int | None = None) -> LockUse:
    """Run a task on each CPU that takes a lock at an instant, for so long."""
    for cpu, (at, length) in enumerate(tasks):
        m.spawn(cpu, held(lock, at, length), name=f"task {cpu}")
    m.run(until)
    m.contention.finish(m.now)
    (use,) = m.contention.uses.values()
    return use


def test_a_lock_that_is_free_when_it_is_asked_for_is_not_noted() -> None:
    m = machine()
    lock = Spinlock(m, "pgd_lock")
    for cpu, at in enumerate((0, 200)):
        m.spawn(cpu, held(lock, at, 100))
    m.run()
    assert m.contention.uses == {}


def test_who_waits_and_who_held_the_lock_meanwhile_is_noted() -> None:
    m = machine()
    use = used(m, Spinlock(m, "pgd_lock"), (0, 100), (10, 40), (20, 7))
    # CPU 1 goes on at 105, holds it for 40 and hands it over at 145; CPU 2 goes on at 150.
    assert (use.waits, use.waited_ps, use.longest_wait_ps) == (2, 95 + 130, 130)
    assert use.waiters == {("task 1", 1): 95, ("task 2", 2): 130}
    # CPU 0 held it for 100, while others waited for 90 of these; CPU 1 for 45, from when it was
    # handed it.
    assert (use.held_ps, use.held_from_ps) == (90, 10)
    assert (use.holder, use.holder_cpu) == ("task 0", 0)


def test_a_mutex_whose_owner_sleeps_is_waited_for_asleep() -> None:
    m = machine(2)
    lock = Mutex(m, "text_mutex")

    def owner(task: Task) -> Steps:
        yield from lock.lock(task)
        yield from task.sleep(100)
        lock.unlock(task)

    m.spawn(0, owner, name="owner")
    m.spawn(1, held(lock, 10, 1), name="waiter")
    m.run()
    use = m.contention.uses["text_mutex"]
    # Released at 100, the waiter is runnable at 130 and takes it.
    assert (use.waits, use.waited_ps) == (1, 120)
    assert (use.held_ps, use.holder) == (90, "owner")


def test_a_writer_that_waits_for_readers_is_held_up_by_the_last_one() -> None:
    m = machine()
    lock = RwSemaphore(m, "mmap_lock")
    for cpu, length in enumerate((50, 100)):
        m.spawn(cpu, held(lock.read, 0, length), name=f"reader {cpu}")
    m.spawn(2, held(lock, 10, 1), name="writer")
    m.run()
    use = m.contention.uses["mmap_lock"]
    assert (use.waits, use.held_ps, use.holder) == (1, 90, "reader 1")


def test_waits_that_the_end_of_a_run_cuts_are_noted_up_to_there() -> None:
    m = machine(2)
    use = used(m, Spinlock(m, "purge_lock"), (0, 1000), (10, 1), until=400)
    assert (use.waits, use.waited_ps) == (1, 390)
    assert (use.held_ps, use.holder, use.held_from_ps) == (390, "task 0", 10)


def test_a_holder_whose_cpu_is_frozen_holds_others_up_for_that_long() -> None:
    # CPU 0 runs from 0 to 100 and from 200 on, and lets go at 250 what CPU 1 asks for at 110.
    host = Host(overcommit=2, slice=100, phases=(0, 100))
    m = Machine(Topology(cores=2), costs(line=5, wakeup=30), host=host)
    use = used(m, Spinlock(m, "pgd_lock"), (0, 150), (10, 40))
    assert (use.waited_ps, use.held_ps, use.frozen_ps) == (190, 140, 90)
    assert m.holding_frozen.tolist() == [90, 0]
