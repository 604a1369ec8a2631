"""Hardware that knows who holds a translation (section 11 of the page): the initiator spins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pmsim.hardware.topology import Distance
from tests.reference.program import CallRecord

if TYPE_CHECKING:
    from tests.reference.task import Task, Waits


def asked(task: Task, argument: object) -> tuple[int, list[int]]:
    """Return the pages that were changed (-1: everything), and the other CPUs that hold them."""
    if isinstance(argument, tuple):
        pages, holders = argument
        return pages, list(holders)
    assert isinstance(argument, int)
    n_cpus = task.machine.program.topology.n_cpus
    return argument, [c for c in range(n_cpus) if c != task.cpu.number]


def coherent(task: Task, argument: object) -> Waits:
    """Change the entries of some pages where TLBs follow stores."""
    pages, holders = asked(task, argument)
    machine, me = task.machine, task.cpu.number
    assert machine.costs.coherent is not None
    table = machine.costs.coherent.store
    topology = machine.program.topology
    store = table[Distance.SELF]
    farthest = (Distance.SELF, 0)
    for c in holders:
        how_far = (topology.distance(me, c), topology.hops_between(me, c))
        if how_far[0] > farthest[0] or (
            how_far[0] == farthest[0] == Distance.PACKAGE and how_far[1] > farthest[1]
        ):
            farthest = how_far
            store = topology.cost(table, me, c)
    lines = -(-pages // 8) if pages > 0 else 0
    yield from spin(task, lines * store)


def directory(task: Task, argument: object) -> Waits:
    """Have a directory tell all holders."""
    pages, holders = asked(task, argument)
    machine, me = task.machine, task.cpu.number
    assert machine.costs.directory is not None
    costs, topology = machine.costs.directory, machine.program.topology
    time = 0
    if pages != 0:
        trips = [topology.cost(costs.round_trip, me, c) for c in holders]
        time = costs.lookup + len(trips) * costs.message + max(trips, default=0)
    yield from spin(task, time)


def spin(task: Task, ps: int) -> Waits:
    """Spin for so long, interrupts on; it is gone then, whenever the task goes on."""
    from tests.reference.task import Doing

    machine = task.machine
    start = machine.now
    gone_at = start + ps
    if ps > 0:
        task.doing = Doing.AWAIT
        machine.clock.call_at(gone_at, task.step_is_due)
        yield
    record = CallRecord(task.cpu.number, task.number, start, machine.now, {})
    machine.note_call(record, lambda: gone_at)
