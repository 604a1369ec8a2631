"""An invalidation that the interconnect broadcasts (section 8 of the page).

All operations pass one server, first come, first served: a SimPy resource with room for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import simpy

from tests.reference.crosscall import Function, Process
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
    empties = pages == 0 or task.machine.program.drops_all
    asked = first = Invalidation(task, *first_request(task.machine, pages), empties_tlb=empties)
    asked.start()
    yield  # to the answer of the farthest CPU, at the earliest
    if task.machine.program.repeat_sync == "per_sync":
        asked = Invalidation(task, task.machine.tlbi.operation + server_barrier(task.machine))
        asked.start()
        yield
    end, served = task.machine.now, asked.served_at
    record = CallRecord(task.cpu.number, task.number, start, end, {}, served)
    task.machine.note_call(record, lambda: first.served_at)


def first_request(machine: ReferenceMachine, pages: int) -> tuple[int, int]:
    """Return how long operations and barriers keep the server, and how many answers come."""
    tlbi, kept = machine.tlbi, server_barrier(machine)
    operations, each = -(-pages // tlbi.pages), tlbi.operation
    if pages == 0:
        operations, each = 1, tlbi.everything
    if machine.program.repeat_sync != "per_operation":
        return operations * each + kept, 1
    return operations * (each + kept + each) + kept, operations + 1


def barrier(machine: ReferenceMachine) -> int:
    """Return what a barrier takes until every other CPU has answered."""
    others = len(machine.cpus) - 1
    return machine.tlbi.barrier + others * machine.tlbi.answer


def server_barrier(machine: ReferenceMachine) -> int:
    """Return how long a barrier keeps the server."""
    return 0 if machine.tlbi.own_barrier else barrier(machine)


class Invalidation:
    """Operations and a barrier, from the initiator to the server, the CPUs, and back."""

    def __init__(
        self, task: Task, alone: int, answers: int = 1, *, empties_tlb: bool = False
    ) -> None:
        self.task = task
        self.machine = task.machine
        self.alone = alone  # what the server takes with nobody else in flight
        self.answers = answers
        self.empties_tlb = empties_tlb
        self.ahead = 0
        self.served_at = -1

    def start(self) -> None:
        """Send it off; the initiator spins."""
        from tests.reference.task import Doing

        self.task.doing = Doing.AWAIT
        server = self.machine.server
        self.ahead = server.count + len(server.queue)
        self.machine.clock.process(self._process())

    def service(self) -> int:
        """Return how long the server works on it."""
        return self.alone + self.ahead * self.machine.tlbi.contention

    def _process(self) -> Process:
        clock = self.machine.clock
        with self.machine.server.request() as turn:
            yield turn
            yield clock.at(clock.now + self.service())
        self.served_at = clock.now
        recovery = self._recovery()
        for cpu in self.machine.cpus:
            self._reaches(cpu, recovery)
        for _ in range(self.answers):
            if self.machine.tlbi.own_barrier:
                yield clock.at(clock.now + barrier(self.machine))
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
        if self.empties_tlb:
            cpu.empty_tlb(Function(0, is_full_flush=True))


def round_trip(machine: ReferenceMachine, initiator: Cpu) -> int:
    """Return the longest way to another CPU and back."""
    a = initiator.number
    others = [cpu.number for cpu in machine.cpus if cpu is not initiator]
    trips = [machine.program.topology.cost(machine.tlbi.round_trip, a, b) for b in others]
    return max(trips, default=0)


def server(machine: ReferenceMachine) -> simpy.Resource:
    """Return the one that everything must pass."""
    return simpy.Resource(machine.clock, capacity=1)
