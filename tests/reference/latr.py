"""Frees that CPUs take note of at their ticks and switches (section 14 of the page)."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING

from tests.reference.clock import Phase
from tests.reference.crosscall import Function, Process, cross_call, flush_user
from tests.reference.program import CallRecord

if TYPE_CHECKING:
    from tests.reference.cpu import Cpu
    from tests.reference.machine import ReferenceMachine
    from tests.reference.task import Task, Waits


class Note:
    """What a CPU has written into its ring, until all whom it concerns have looked at it."""

    def __init__(self, targets: list[int], instant: int, over_at: int) -> None:
        self.written_at = instant
        self.over_at = over_at  # of what its CPU did for it
        self.unseen = set(targets)
        self.undropped = set(targets)
        self.dropped_at: list[int] = []

    def gone(self) -> int | None:
        """Return when the last CPU had dropped it; None while one has not."""
        return None if self.undropped else max([self.over_at, *self.dropped_at])

    def drop(self, c: int, instant: int) -> None:
        """A CPU has dropped what it is about."""
        if c in self.undropped:
            self.undropped.discard(c)
            self.dropped_at.append(instant)


class Sweep:
    """One look of a CPU into all rings: what it finds from before, and how long that takes."""

    def __init__(self, cpu: Cpu) -> None:
        machine = cpu.machine
        ticks = machine.program.ticks
        assert ticks is not None
        self.cpu = cpu
        before = [note for note in machine.notes if note.written_at < machine.now]
        self.found = [note for note in before if cpu.number in note.undropped]
        new = [note for note in self.found if cpu.number in note.unseen]
        for note in new:
            note.unseen.discard(cpu.number)
        self.length = len(machine.cpus) * ticks.scan + len(new) * ticks.sweep


class Tick:
    """A tick of one CPU: it stands in the queue like a call, and nobody waits for it."""

    acknowledged_at_start = False
    waits = True  # it runs among those calls in a handler that somebody waits for

    def __init__(self, cpu: Cpu) -> None:
        self.cpu = cpu
        self.sweep = Sweep(cpu)
        self.initiator = cpu.number
        self.queued_at = {cpu.number: cpu.machine.now}
        self.at_targets = Function(self.sweep.length)
        self.acks = {cpu.number: cpu.machine.clock.event()}
        cpu.machine.clock.process(self._comes())

    def _comes(self) -> Process:
        clock = self.cpu.machine.clock
        yield clock.at(clock.now, Phase.QUEUE)
        self.cpu.queue.append(self)
        yield clock.at(clock.now, Phase.QUEUED)
        if self.cpu.calls_in_queue_order()[0] is self:
            yield clock.at(clock.now, Phase.ARRIVE)
            self.cpu.pending = True

    def is_over_on(self, cpu: Cpu, instant: int) -> None:
        """The function of its handler has ended."""
        for note in self.sweep.found:
            note.drop(cpu.number, instant)


def tick(machine: ReferenceMachine) -> None:
    """A tick comes before all else of its instant, to every CPU that is busy."""
    for cpu in machine.cpus:
        waits = any(isinstance(call, Tick) for call in cpu.queue)
        if cpu.has_ticks() and not waits:
            Tick(cpu)


def free(task: Task, pages: int, targets: list[int]) -> Waits:
    """Free pages that others may hold: by a note where there are ticks and there is room."""
    machine = task.machine
    function = flush_user(machine, pages)
    if machine.program.ticks is None or not targets or not has_room(task):
        yield from cross_call(task, function, targets)
        return
    start = machine.now
    task.cpu.empty_tlb(function)
    note = yield from left_note(task, targets, function.cost)
    record = CallRecord(task.cpu.number, task.number, start, machine.now, {})
    machine.note_call(record, note.gone)


def has_room(task: Task) -> bool:
    """Whether the ring of a task's CPU has room for one more note."""
    ticks = task.machine.program.ticks
    assert ticks is not None
    ring = task.machine.rings.setdefault(task.cpu.number, [])
    return len(ring) < ticks.ring or not ring[-ticks.ring].unseen


def left_note(task: Task, targets: list[int], cost: int) -> Generator[None, None, Note]:
    """Work for so long, write a note into the ring of the task's CPU, and return it."""
    machine = task.machine
    ticks = machine.program.ticks
    assert ticks is not None
    over_at = machine.now + cost + ticks.save
    yield from task.local_function(cost + ticks.save)
    note = Note(targets, machine.now, over_at)
    machine.rings[task.cpu.number].append(note)
    machine.notes.append(note)
    return note
