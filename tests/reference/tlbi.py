"""An invalidation that the interconnect broadcasts (section 8 of the page).

All operations pass one server, first come, first served: a SimPy resource with room for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import simpy

from tests.reference.crosscall import Process
from tests.reference.program import CallRecord

if TYPE_CHECKING:
    from tests.reference.cpu import Cpu
    from tests.reference.machine import ReferenceMachine
    from tests.reference.task import Task, Waits

WHOLE = 1_000_000
"""A share is given in millionths."""


def invalidate(task: Task, pages: int) -> Waits:
    """Invalidate so many pages on every CPU, or everything where they are 0."""
    start = task.machine.now
    invalidation = Invalidation(task, pages)
    invalidation.start()
    yield  # to the answer of the farthest CPU, at the earliest
    end = task.machine.now
    served = invalidation.served_at
    task.machine.calls.append(CallRecord(task.cpu.number, task.number, start, end, {}, served))


class Invalidation:
    """Operations and a barrier, from the initiator to the server, the CPUs, and back."""

    def __init__(self, task: Task, pages: int) -> None:
        self.task = task
        self.machine = task.machine
        self.pages = pages
        self.ahead = 0
        self.served_at = -1

    def start(self) -> None:
        """Send it off; the initiator spins."""
        from tests.reference.task import Doing

        self.task.doing = Doing.SPIN
        server = self.machine.server
        self.ahead = server.count + len(server.queue)
        self.machine.clock.process(self._process())

    def service(self) -> int:
        """Return how long the server works on it."""
        tlbi = self.machine.tlbi
        if self.pages == 0:
            work = tlbi.everything
        else:
            work = -(-self.pages // tlbi.pages) * tlbi.operation
        if not tlbi.own_barrier:
            work += self.barrier()
        return work + self.ahead * tlbi.contention

    def barrier(self) -> int:
        """Return what the barrier takes until every other CPU has answered."""
        others = len(self.machine.cpus) - 1
        return self.machine.tlbi.barrier + others * self.machine.tlbi.answer

    def _process(self) -> Process:
        clock = self.machine.clock
        with self.machine.server.request() as turn:
            yield turn
            yield clock.at(clock.now + self.service())
        self.served_at = clock.now
        recovery = self._recovery()
        for cpu in self.machine.cpus:
            self._reaches(cpu, recovery)
        if self.machine.tlbi.own_barrier:
            yield clock.at(clock.now + self.barrier())
        yield clock.at(clock.now + round_trip(self.machine, self.task.cpu))
        self.task.step_is_due()

    def _recovery(self) -> int:
        """Return how long others recover that did not have to anyway, from those before it."""
        begun, until = self.served_at - self.service(), self.served_at + self.machine.tlbi.recovery
        disturbed = until - max(begun, self.machine.recovers_until)
        self.machine.recovers_until = until
        return disturbed - self.service()

    def _reaches(self, cpu: Cpu, recovery: int) -> None:
        """Charge a CPU for the service: a share of it, and the refill if all is gone."""
        computed = cpu.has_computed()
        if cpu is not self.task.cpu and computed > 0:
            exposed = min(self.service(), computed) + recovery
            cpu.stand_still(exposed * self.machine.tlbi.victim_share_ppm // WHOLE)
        if self.pages == 0:
            cpu.empty_tlb()


def round_trip(machine: ReferenceMachine, initiator: Cpu) -> int:
    """Return the longest way to another CPU and back."""
    a = initiator.number
    others = [cpu.number for cpu in machine.cpus if cpu is not initiator]
    trips = [machine.program.topology.cost(machine.tlbi.round_trip, a, b) for b in others]
    return max(trips, default=0)


def server(machine: ReferenceMachine) -> simpy.Resource:
    """Return the one that everything must pass."""
    return simpy.Resource(machine.clock, capacity=1)
