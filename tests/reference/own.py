"""A protocol that is not pmsim's own: what its code can do, in the reference (section 15)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from pmsim.errors import ProgramError
from pmsim.hardware.shootdown.initiator import Ack, Flush, Initiator, Mode
from pmsim.hardware.topology import ByDistance
from tests.reference.crosscall import Call, Function, called
from tests.reference.latr import has_room, left_note
from tests.reference.program import CallRecord
from tests.reference.tlbi import Invalidation, server_barrier

if TYPE_CHECKING:
    from tests.reference.task import Task, Waits

Gone = Callable[[], int | None]


class ReferenceInitiator(Initiator):
    """The CPU of a task that makes one shootdown."""

    def __init__(self, task: Task, function: Function, flush: Flush) -> None:
        program = task.machine.program
        drops_at = program.shootdown.protocol.drops_at
        n_cpus = program.topology.n_cpus
        goes_on = program.shootdown.protocol.goes_on
        super().__init__(task.cpu.number, n_cpus, program.isolated, drops_at, goes_on)
        self.task = task
        self.machine = task.machine
        self.function = function
        self._flush = flush
        self.acks: dict[int, int] = {}
        self.unwaited: list[Call] = []
        self.gones: list[Gone] = []
        self.deferred: set[int] = set()
        self.has_noted = False

    @property
    def now(self) -> int:
        return self.machine.now

    def between(self, table: ByDistance, cpu: Any) -> int:
        return self.machine.program.topology.cost(table, self.cpu.number, cpu.__index__())

    def holders(self, flush: Flush) -> tuple[int, ...]:
        return flush.targets

    def mode_of(self, number: int) -> Mode:
        cpu = self.machine.cpus[number]
        if cpu.is_frozen():
            return "frozen"
        if cpu.handler_runs or cpu.dropping:
            return "handler"
        if cpu.is_in_user_mode():
            return "user"
        return "idle" if cpu.current is None and not cpu.runnable else "kernel"

    def _cross_call(self, targets: Sequence[int], ack: Ack) -> Waits:
        call = yield from called(self.task, self.function, list(targets), ack)
        self.acks |= call.acknowledged()
        self.gones.append(call.gone_at)

    def _call_and_go_on(self, targets: Sequence[int]) -> Waits:
        call = yield from called(self.task, self.function, list(targets), "", waits=False)
        self.unwaited.append(call)
        self.gones.append(call.gone_at)

    def note_late_acks(self) -> None:
        """At the end of a run, note when data of calls was given back that nobody waited for."""
        for call in self.unwaited:
            for c, at in call.acknowledged().items():
                self.acks[c] = max(self.acks.get(c, 0), at)

    def _broadcast(self) -> Waits:
        if self.machine.costs.tlbi is None:
            raise ProgramError("this machine cannot broadcast")
        tlbi, function = self.machine.tlbi, self.function
        if function.is_full_flush:
            takes = tlbi.operation if function.spares_kernel else tlbi.everything
        else:
            assert self._flush is not None
            takes = -(-(self._flush.pages or 0) // tlbi.pages) * tlbi.operation
        empties = function.is_full_flush and not function.spares_kernel
        asked = Invalidation(self.task, takes + server_barrier(self.machine), empties_tlb=empties)
        asked.start()
        yield
        self.gones.append(lambda: asked.served_at)

    def _spin(self, time: int, drops: Sequence[int]) -> Waits:
        from tests.reference.task import Doing

        at = self.now + time
        if time > 0:
            self.task.doing = Doing.AWAIT
            self.machine.clock.call_at(at, self.task.step_is_due)
            yield
        if drops:
            self.gones.append(lambda: at)

    def _irqs_off(self, time: int) -> Waits:
        yield from self.task.irqs_off(time)

    def _defer(self, cpus: Sequence[int]) -> Generator[Any, Any, bool]:
        if self._drops_at == "tick":
            if self.has_noted:
                raise ProgramError("defers twice until a tick")
            if not cpus:
                return True
            if not has_room(self.task):
                return False
            self.has_noted = True
            note = yield from left_note(self.task, list(cpus), 0)
            self.gones.append(note.gone)
            return True
        for number in set(cpus) - self.deferred:
            self.deferred.add(number)
            cpu, since = self.machine.cpus[number], self.now
            if self._drops_at == "runs":
                cpu.is_to_drop()
            self.gones.append(lambda cpu=cpu, since=since: cpu.entered_after(since))  # type: ignore[misc]
        return True


def shoot(
    task: Task, function: Function, targets: Sequence[int], pages: int, *, frees_pages: bool
) -> Waits:
    """Make a shootdown as the protocol's code does it."""
    machine, start = task.machine, task.machine.now
    flush = Flush(
        function, tuple(c for c in targets if c != task.cpu.number), pages,
        function.purges, function.frees_tables, frees_pages, not function.spares_kernel,
    )  # fmt: skip
    initiator = ReferenceInitiator(task, function, flush)
    assert machine.own is not None
    yield from machine.own.shootdown(initiator, flush)
    record = CallRecord(task.cpu.number, task.number, start, machine.now, initiator.acks)

    def gone() -> int | None:
        initiator.note_late_acks()
        found = [one() for one in initiator.gones]
        return None if None in found else max((at for at in found if at is not None), default=None)

    machine.note_call(record, gone)
